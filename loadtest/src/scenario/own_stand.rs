//! A gateway and four board servers of one's own, for a run that was told of none: started beside it, ended with it.

use std::io;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::demo::{BuildError, Fleet, FleetError, Options, Programs};

use super::run::Stand;

/// The processes and the directory in which they live.
pub struct OwnStand {
    fleet: Fleet,
    directory: TempDir,
}

/// Why there is no stand.
#[derive(Debug, thiserror::Error)]
pub enum OwnStandError {
    /// The programs are not there.
    #[error(transparent)]
    Programs(#[from] BuildError),
    /// A process does not come up.
    #[error(transparent)]
    Fleet(#[from] FleetError),
    /// There is no place for its files, or a process to be struck is not there.
    #[error("cannot handle the stand")]
    System(#[from] io::Error),
}

impl OwnStand {
    /// Starts everything. To be called from the main thread, to which the processes are bound.
    ///
    /// # Errors
    /// When the programs are missing or a process does not come up.
    pub async fn start(options: &Options) -> Result<Self, OwnStandError> {
        let programs = Programs::beside_this()?;
        let directory = tempfile::Builder::new().prefix("handover-loadtest-").tempdir()?;
        let fleet = Fleet::start(options, &programs, directory.path()).await?;
        Ok(Self { fleet, directory })
    }

    /// Returns where everything stands.
    pub fn stand(&self) -> Stand {
        self.fleet.stand().clone()
    }

    /// Returns the names and ids of the processes, the gateway first.
    pub fn pids(&self) -> Vec<(String, i32)> {
        self.fleet.pids()
    }

    /// Sends a signal to a process.
    ///
    /// # Errors
    /// When it does not run.
    pub fn signal(&self, name: &str, signal: Signal) -> Result<(), OwnStandError> {
        Ok(self.fleet.signal(name, signal)?)
    }

    /// Starts a process again, where it listened before. To be called from the main thread.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn restart(&mut self, name: &str) -> Result<(), OwnStandError> {
        Ok(self.fleet.restart(name, self.directory.path()).await?)
    }

    /// Ends everything; with `keep`, files stay and the path is returned.
    pub async fn stop(self, keep: bool) -> Option<std::path::PathBuf> {
        self.fleet.stop().await;
        keep.then(|| self.directory.keep())
    }
}
