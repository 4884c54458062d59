//! The demo: a release of a stateful server underneath people who are drawing.
//!
//! ```text
//! build ─▶ fleet ─▶ users draw ─▶ told ─▶ drain r1 to r2 ─▶ users draw on ─▶ ledger ─▶ verdict
//! ```

mod build;
mod child;
mod control;
mod fleet;
mod options;
mod screen;
mod status;

use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::ending::Ending;
use crate::report::Report;
use crate::scenario::{Run, RunError, Stand};

use build::find;
use status::{Phase, Status};

pub use build::{BuildError, Programs};
pub use child::{ChildError, become_bound_program, raise_open_files};
pub use fleet::{Fleet, FleetError};
pub use options::{Mode, Options};

/// Why the demo ended without a verdict.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The programs do not compile.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The processes do not stand.
    #[error(transparent)]
    Fleet(#[from] FleetError),
    /// A process ended in the middle.
    #[error(transparent)]
    Child(#[from] ChildError),
    /// The run could not be carried through.
    #[error(transparent)]
    Run(#[from] RunError),
    /// Something of the system is missing.
    #[error("cannot run the demo")]
    System(#[from] std::io::Error),
    /// Ctrl-C, or another request to end.
    #[error("ended before the verdict")]
    Interrupted,
}

/// Runs the demo to its verdict. To be called from the main thread, to which the processes are bound.
///
/// # Errors
/// When there is no verdict; no process is left behind in any case.
pub async fn demo(options: &Options) -> Result<Report, DemoError> {
    let programs = tokio::task::block_in_place(find)?;
    let mut report = perform(options, &programs).await?;
    if options.dense {
        eprintln!("\nThe dense run: few users who draw much.");
        report.dense = Some(Box::new(perform(&options.dense_run(), &programs).await?));
    }
    Ok(report)
}

/// Runs one crowd through one release, and ends the processes however that went.
async fn perform(options: &Options, programs: &Programs) -> Result<Report, DemoError> {
    let directory = tempfile::Builder::new().prefix("handover-demo-").tempdir()?;
    let result = perform_in(options, programs, directory.path()).await;
    let is_clean = result.as_ref().is_ok_and(|report| report.ok);
    let is_failure = !is_clean && !matches!(result, Err(DemoError::Interrupted));
    if options.keep || is_failure {
        keep(directory);
    }
    result
}

async fn perform_in(options: &Options, programs: &Programs, directory: &Path) -> Result<Report, DemoError> {
    let mut ending = Ending::new()?;
    let mut fleet = tokio::select! {
        fleet = Fleet::start(options, programs, directory) => fleet?,
        () = ending.asked_for() => return Err(DemoError::Interrupted),
    };
    let stand = fleet.stand().clone();
    let result = tokio::select! {
        // The first that holds is told: a process that has ended explains what users and calls ran into.
        biased;
        () = ending.asked_for() => Err(DemoError::Interrupted),
        ended = fleet.ended() => Err(ended.into()),
        result = release_underneath(options, &stand) => result,
    };
    fleet.stop().await;
    result
}

/// The run itself.
async fn release_underneath(options: &Options, stand: &Stand) -> Result<Report, DemoError> {
    let page = format!("http://{}/boards/board-1/", stand.endpoint.authority());
    let (listener, own_page) = control::listen().await?;
    let (status, look) = watch::channel(Status {
        page: page.clone(),
        is_attended: !options.unattended,
        ..Status::default()
    });
    let (told, mut tellings) = mpsc::channel(1);
    // Everything that is shown ends with this function.
    let mut show = JoinSet::new();
    show.spawn(control::serve(listener, look.clone(), told.clone()));

    let load = options.load();
    eprintln!(
        "{} users go to {} boards through the gateway at {}.",
        load.sessions,
        load.boards,
        stand.endpoint.authority()
    );
    let mut run = Run::begin(stand.clone(), load).await?;
    if let Some(admin) = stand.admin.clone() {
        show.spawn(status::keep_looking(admin, run.progress(), status.clone()));
    }
    eprintln!("Draw along at   {page}");
    eprintln!("Watch it all at http://{own_page}/");
    if !options.unattended {
        eprintln!("Press Enter here, or the button there, for the release.\n");
        listen_to_keys(told);
    }
    show.spawn(screen::show(look));

    let enter = |phase| status.send_modify(|status| status.phase = phase);
    enter(Phase::Drawing);
    wait(options, &mut tellings).await;
    enter(Phase::Releasing);
    run.release(options.drain(), DRAIN_LIMIT, |_| {}).await?;
    enter(Phase::Released);
    wait(options, &mut tellings).await;
    enter(Phase::Judging);
    let report = run.finish().await?;
    show.shutdown().await;
    Ok(report)
}

/// Waits until somebody says so, or for a while where nobody attends.
async fn wait(options: &Options, tellings: &mut mpsc::Receiver<()>) {
    if options.unattended {
        sleep(options.steady).await;
    } else {
        // What was pressed meanwhile was not meant for this.
        while tellings.try_recv().is_ok() {}
        tellings.recv().await;
    }
}

/// Takes each line on standard input for a word to go on.
fn listen_to_keys(told: mpsc::Sender<()>) {
    // A thread of its own that is not waited for: reading a terminal cannot be called off.
    std::thread::spawn(move || {
        for line in std::io::stdin().lines() {
            if line.is_err() || told.blocking_send(()).is_err() {
                break;
            }
        }
    });
}

fn keep(directory: TempDir) {
    eprintln!(
        "Configuration, logs and database are kept in {}",
        directory.keep().display()
    );
}

/// No release of the demo takes longer.
const DRAIN_LIMIT: Duration = Duration::from_secs(300);
