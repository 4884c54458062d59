//! A process of the demo: it ends with the demo, however the demo ends.
//!
//! Three nets: the demo ends its children in order; a child that is forgotten is killed on drop; and the kernel kills
//! every child when the demo itself is killed. For the last, a child is this very program at first, which asks the
//! kernel for that and then becomes the other program. The kernel looks at the *thread* that started the child, so
//! children are started from the main thread, which lives as long as the demo.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal, getppid, getrlimit, kill_process, setrlimit};
use tokio::time::{Instant, sleep, timeout};

/// A running process and its log.
pub(super) struct Child {
    name: String,
    process: tokio::process::Child,
    log: PathBuf,
    program: PathBuf,
    args: Vec<String>,
}

/// Why a process is not as it should be.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    /// It could not be started.
    #[error("cannot start {name}")]
    Start {
        /// Which.
        name: String,
        /// What failed.
        #[source]
        source: io::Error,
    },
    /// It ended by itself.
    #[error("{name} ended with {status}; the end of its log:\n{log}")]
    Ended {
        /// Which.
        name: String,
        /// How.
        status: ExitStatus,
        /// What it said last.
        log: String,
    },
    /// It runs and does not answer.
    #[error("{name} is not ready after {waited:?}; the end of its log:\n{log}")]
    NotReady {
        /// Which.
        name: String,
        /// How long it had.
        waited: Duration,
        /// What it said last.
        log: String,
    },
}

impl Child {
    /// Starts a program whose output goes to files in `directory`. To be called from the main thread.
    pub(super) fn start(name: &str, program: &Path, args: &[String], directory: &Path) -> Result<Self, ChildError> {
        let log = directory.join(format!("{name}.log"));
        let spawn = || {
            let mut command = Command::new(std::env::current_exe()?);
            command
                .args([BIND, &std::process::id().to_string()])
                .arg(program)
                .args(args)
                .current_dir(directory)
                // A group of its own: Ctrl-C goes to the demo alone, which then ends the others in order.
                .process_group(0)
                .stdin(Stdio::null())
                .stdout(File::create(log.with_extension("out"))?)
                .stderr(File::create(&log)?);
            tokio::process::Command::from(command).kill_on_drop(true).spawn()
        };
        let process = spawn().map_err(|source| ChildError::Start {
            name: name.to_owned(),
            source,
        })?;
        Ok(Self {
            name: name.to_owned(),
            process,
            log,
            program: program.to_owned(),
            args: args.to_vec(),
        })
    }

    /// Reads whether the process has this name.
    pub(super) fn is(&self, name: &str) -> bool {
        self.name == name
    }

    /// Returns the id of the process, while it runs.
    pub(super) fn pid(&self) -> Option<i32> {
        self.process.id().map(u32::cast_signed)
    }

    /// Sets what a later start says in the place of an argument.
    pub(super) fn say_next_time(&mut self, option: &str, value: String) {
        if let Some(place) = self.args.iter().position(|arg| arg == option)
            && let Some(arg) = self.args.get_mut(place + 1)
        {
            *arg = value;
        }
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// When the process has ended.
    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        let pid = self.pid().and_then(Pid::from_raw);
        Ok(kill_process(
            pid.ok_or_else(|| io::Error::other("the process has ended"))?,
            signal,
        )?)
    }

    /// Kills what is left of the process and starts it again. To be called from the main thread.
    pub(super) async fn restart(&mut self, directory: &Path) -> Result<(), ChildError> {
        let _ = self.process.kill().await;
        let next = Self::start(&self.name, &self.program, &self.args, directory)?;
        *self = next;
        Ok(())
    }

    /// Tries until `check` answers, as long as the process runs.
    pub(super) async fn ready<T>(
        &mut self,
        limit: Duration,
        check: impl AsyncFn() -> Option<T>,
    ) -> Result<T, ChildError> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(answer) = check().await {
                return Ok(answer);
            }
            self.running()?;
            if Instant::now() >= deadline {
                return Err(ChildError::NotReady {
                    name: self.name.clone(),
                    waited: limit,
                    log: self.log_tail(),
                });
            }
            sleep(READY_POLL).await;
        }
    }

    /// Complains when the process has ended.
    pub(super) fn running(&mut self) -> Result<(), ChildError> {
        match self.process.try_wait() {
            Ok(Some(status)) => Err(ChildError::Ended {
                name: self.name.clone(),
                status,
                log: self.log_tail(),
            }),
            Ok(None) | Err(_) => Ok(()),
        }
    }

    /// Returns the file of its standard output.
    pub(super) fn output(&self) -> PathBuf {
        self.log.with_extension("out")
    }

    /// Asks the process to end, waits for it, and kills it where it does not.
    pub(super) async fn stop(mut self) {
        if let Some(pid) = self.process.id().and_then(|id| Pid::from_raw(id.cast_signed())) {
            // It may have ended by itself.
            let _ = kill_process(pid, Signal::TERM);
        }
        if timeout(STOP_TIMEOUT, self.process.wait()).await.is_err() {
            let _ = self.process.kill().await;
        }
    }

    fn log_tail(&self) -> String {
        let log = std::fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }
}

/// Returns the first whole line of JSON in a file.
pub(super) fn first_json(output: &Path) -> Option<serde_json::Value> {
    let output = std::fs::read_to_string(output).ok()?;
    let line = output
        .split_inclusive('\n')
        .find(|line| line.starts_with('{') && line.ends_with('\n'))?;
    serde_json::from_str(line).ok()
}

/// Becomes another program that dies with its parent, when the command line says so. Call it first in `main`.
///
/// # Errors
/// When the program cannot be started. It does not return otherwise, unless the command line says no such thing.
pub fn become_bound_program() -> io::Result<()> {
    let mut args = std::env::args_os().skip(1);
    if args.next() != Some(OsString::from(BIND)) {
        return Ok(());
    }
    let parent = args.next().and_then(|parent| parent.to_str()?.parse::<i32>().ok());
    let program = args.next().ok_or_else(|| io::Error::other("no program to become"))?;
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    // The parent may have died before the kernel was asked.
    if getppid() != parent.and_then(Pid::from_raw) {
        return Err(io::Error::other("the demo has ended"));
    }
    Err(Command::new(program).args(args).exec())
}

/// Lets this process, and those it starts, open as many sockets as the system allows.
///
/// # Errors
/// When the system does not even allow that.
pub fn raise_open_files() -> io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    Ok(setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    )?)
}

/// The first argument of a child that is still this program; the second is its parent.
const BIND: &str = "--become-bound-program";
const READY_POLL: Duration = Duration::from_millis(20);
/// The gateway tells its sessions before it ends; nobody needs longer for that here.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);
const LOG_LINES: usize = 30;
