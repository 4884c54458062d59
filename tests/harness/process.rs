//! One process under test: started, watched, stopped, killed, and its output kept.

use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Sender, SyncSender, channel, sync_channel};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::binaries::workspace;
use crate::eventually::eventually;

/// A running process; killed on drop, and when the test process dies.
#[derive(Debug)]
pub struct Process {
    name: String,
    pid: Pid,
    child: Mutex<Child>,
    log: PathBuf,
}

impl Process {
    /// Starts a process whose output goes to files named after `name`.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(name: &str, command: &Command) -> Self {
        Self::start_with(name, command, Stdio::null())
    }

    /// Starts a process that reads from there.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start_with(name: &str, command: &Command, stdin: Stdio) -> Self {
        let log = log_path(name);
        let mut bound = bound_to_us(command);
        bound
            .stdin(stdin)
            .stdout(File::create(with_suffix(&log, "out")).expect("the log directory was just made"))
            .stderr(File::create(with_suffix(&log, "err")).expect("the log directory was just made"));
        let child = spawn_for_good(bound).unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        Self {
            name: name.to_owned(),
            pid: Pid::from_child(&child),
            child: Mutex::new(child),
            log,
        }
    }

    /// Returns the process's number.
    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Returns what the process has in memory, in KiB.
    ///
    /// # Panics
    /// When it has ended.
    pub fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("the process runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        number.expect("Linux tells it")
    }

    /// Reads whether the process still runs; a stopped one does.
    pub fn is_running(&self) -> bool {
        matches!(self.child().try_wait(), Ok(None))
    }

    /// Kills the process at once (SIGKILL) and waits until the kernel has taken its sockets down.
    pub fn kill(&self) {
        let mut child = self.child();
        if matches!(child.try_wait(), Ok(None)) {
            let _ = kill_process(self.pid, Signal::KILL);
        }
        let _ = child.wait();
    }

    /// Stops the process (SIGSTOP): its sockets stay open and nobody answers. Returns once it really stands still.
    ///
    /// # Panics
    /// When the process has ended.
    pub fn stop(&self) {
        self.signal(Signal::STOP);
        let deadline = Instant::now() + Duration::from_secs(2);
        while !self.is_stopped() {
            assert!(Instant::now() < deadline, "{} does not stop", self.name);
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Lets a stopped process go on (SIGCONT).
    ///
    /// # Panics
    /// When the process has ended.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Tells the process to read its configuration anew (SIGHUP).
    ///
    /// # Panics
    /// When the process has ended.
    pub fn hang_up(&self) {
        self.signal(Signal::HUP);
    }

    /// Asks the process to end (SIGTERM).
    ///
    /// # Panics
    /// When the process has ended.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Waits until the process has ended by itself.
    ///
    /// # Panics
    /// When it has not within `deadline`.
    pub async fn exited(&self, deadline: Duration) -> ExitStatus {
        let started = Instant::now();
        loop {
            let status = self.child().try_wait().expect("the process is our child");
            if let Some(status) = status {
                return status;
            }
            assert!(started.elapsed() < deadline, "{} runs on after {deadline:?}", self.name);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits for the first line of JSON on the standard output.
    ///
    /// # Panics
    /// When the process ends first, or none comes within 30 s.
    pub async fn first_json_line(&self) -> serde_json::Value {
        let started = Instant::now();
        loop {
            let output = self.output();
            let line = output.split_inclusive('\n').find(|line| line.starts_with('{'));
            if let Some(line) = line.filter(|line| line.ends_with('\n')) {
                return serde_json::from_str(line).unwrap_or_else(|error| panic!("{}: {error}: {line}", self.name));
            }
            assert!(self.is_running(), "{} ended at its start:\n{}", self.name, self.tail());
            assert!(
                started.elapsed() < Duration::from_secs(30),
                "{} says nothing:\n{}",
                self.name,
                self.tail()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Returns what the process has written to its standard output.
    pub fn output(&self) -> String {
        read_lossy(&with_suffix(&self.log, "out"))
    }

    /// Returns what the process has written to its standard error.
    pub fn errors(&self) -> String {
        read_lossy(&with_suffix(&self.log, "err"))
    }

    /// Waits until the process has written a text to its standard error: a log may come behind what it tells of.
    ///
    /// # Panics
    /// When it does not.
    pub async fn logs(&self, text: &str) {
        eventually(
            &format!("the log of {} has {text:?}", self.name),
            LOG_PATIENCE,
            || async { self.errors().contains(text) },
        )
        .await;
    }

    /// Returns the last lines of both.
    pub fn tail(&self) -> String {
        let part = |text: String| {
            let lines: Vec<&str> = text.lines().collect();
            lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
        };
        format!("{}\n{}", part(self.output()), part(self.errors()))
    }

    fn signal(&self, signal: Signal) {
        // Held so that nobody reaps the child, and its number is not given to another process, in between.
        let mut child = self.child();
        assert!(
            matches!(child.try_wait(), Ok(None)),
            "{} has ended:\n{}",
            self.name,
            self.tail()
        );
        kill_process(self.pid, signal).unwrap_or_else(|error| panic!("cannot signal {}: {error}", self.name));
    }

    fn is_stopped(&self) -> bool {
        let stat = read_lossy(Path::new(&format!("/proc/{}/stat", self.pid())));
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        let keep = std::env::var_os("KEEP_LOGS").is_some();
        if std::thread::panicking() {
            eprintln!("---- {} ({}.*)\n{}", self.name, self.log.display(), self.tail());
        } else if !keep {
            let _ = fs::remove_file(with_suffix(&self.log, "out"));
            let _ = fs::remove_file(with_suffix(&self.log, "err"));
            // Goes once the last log of the test has gone.
            let _ = self.log.parent().map(fs::remove_dir);
        }
    }
}

/// Reads an address out of the line with which a server says that it is up.
pub(crate) fn address(line: &serde_json::Value, key: &str) -> Option<SocketAddr> {
    line.get(key)?.as_str()?.parse().ok()
}

/// Wraps a command so that the kernel kills it when its parent dies: a test run that is killed leaves nothing behind.
fn bound_to_us(command: &Command) -> Command {
    let mut bound = Command::new("setpriv");
    bound.args(["--pdeathsig", "KILL", "--"]);
    bound.arg(command.get_program()).args(command.get_args());
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => bound.env(key, value),
            None => bound.env_remove(key),
        };
    }
    if let Some(directory) = command.get_current_dir() {
        bound.current_dir(directory);
    }
    bound
}

/// Spawns from one thread that never ends: the kernel's parent death signal is sent when the *thread* that spawned
/// dies, and the threads of tests come and go.
fn spawn_for_good(command: Command) -> io::Result<Child> {
    type Order = (Command, SyncSender<io::Result<Child>>);
    static SPAWNER: OnceLock<Sender<Order>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (orders, inbox) = channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, answer) in inbox {
                let _ = answer.send(command.spawn());
            }
        });
        orders
    });
    let (answer, child) = sync_channel(1);
    spawner
        .send((command, answer))
        .map_err(|_| io::Error::other("the spawning thread has ended"))?;
    child
        .recv()
        .map_err(|_| io::Error::other("the spawning thread has ended"))?
}

fn log_path(name: &str) -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let test = std::thread::current().name().unwrap_or("test").replace("::", ".");
    let directory = workspace()
        .join("target/tests/logs")
        .join(format!("{test}-{}", std::process::id()));
    fs::create_dir_all(&directory).expect("the target directory can be written");
    directory.join(format!("{:03}-{name}", NUMBER.fetch_add(1, Ordering::Relaxed)))
}

/// Not `with_extension`: names of servers may have dots.
fn with_suffix(log: &Path, suffix: &str) -> PathBuf {
    PathBuf::from(format!("{}.{suffix}", log.display()))
}

fn read_lossy(path: &Path) -> String {
    fs::read(path).map_or_else(|_| String::new(), |bytes| String::from_utf8_lossy(&bytes).into_owned())
}

const LOG_PATIENCE: Duration = Duration::from_secs(60);

const TAIL_LINES: usize = 60;
