//! The `handover` shell as an operator or a script runs it: to its end, in the background, or at a terminal.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::binaries::binary;

/// Runs shell commands against one gateway.
#[derive(Debug, Clone)]
pub struct Shell {
    admin: String,
}

/// A command that has ended.
#[derive(Debug)]
pub struct Ran {
    /// Its exit code.
    pub code: i32,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
}

/// A command at a terminal of its own; killed on drop.
#[derive(Debug)]
pub struct Terminal {
    child: Child,
    shown: Arc<Mutex<String>>,
}

impl Shell {
    /// Talks to the admin API at a URL.
    pub fn new(admin: &str) -> Self {
        Self {
            admin: admin.to_owned(),
        }
    }

    /// Runs a command to its end; nothing comes from its stdin.
    ///
    /// # Panics
    /// When it cannot be started, or does not end within a minute.
    pub async fn run(&self, args: &[&str]) -> Ran {
        self.run_with(args, &[]).await
    }

    /// The same with environment variables.
    ///
    /// # Panics
    /// As [`Self::run`].
    pub async fn run_with(&self, args: &[&str], env: &[(&str, &str)]) -> Ran {
        let mut command = tokio::process::Command::new(binary("handover"));
        command
            .args(args)
            .env("HANDOVER_ADMIN", &self.admin)
            .envs(env.iter().copied());
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let output = tokio::time::timeout(RUN_TIMEOUT, command.output());
        let output = output.await.unwrap_or_else(|_| panic!("{args:?} does not end"));
        let output = output.expect("the program is there");
        Ran {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Runs a command at a terminal of 100 columns.
    ///
    /// # Panics
    /// When `script` of util-linux is not there.
    pub fn at_terminal(&self, args: &[&str]) -> Terminal {
        let words: Vec<String> = args.iter().map(|word| format!("'{word}'")).collect();
        let line = format!(
            "stty cols 100 rows 30; exec '{}' {}",
            binary("handover").display(),
            words.join(" ")
        );
        let mut child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .args(["script", "-qefc", &line, "/dev/null"])
            .env("HANDOVER_ADMIN", &self.admin)
            .env("TERM", "xterm")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("util-linux has script");
        let shown = Arc::new(Mutex::new(String::new()));
        let mut out = child.stdout.take().expect("it was piped");
        let copy = Arc::clone(&shown);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(length @ 1..) = std::io::Read::read(&mut out, &mut bytes) {
                let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
                copy.lock().unwrap_or_else(PoisonError::into_inner).push_str(&text);
            }
        });
        Terminal { child, shown }
    }
}

impl Ran {
    /// Reads stdout as one JSON document.
    ///
    /// # Panics
    /// When it is none of that form.
    pub fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Reads each line of stdout as JSON.
    ///
    /// # Panics
    /// When one is none of that form.
    pub fn json_lines<T: DeserializeOwned>(&self) -> Vec<T> {
        let read = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {self:?}"));
        self.stdout.lines().map(read).collect()
    }

    /// Has a POSIX shell read stdout, as a release script would, and returns what it makes of the variables.
    ///
    /// # Panics
    /// When the shell stumbles over it.
    pub async fn env(&self) -> BTreeMap<String, String> {
        let mut shell = tokio::process::Command::new("sh")
            .args(["-eu", "-c", "set -a; eval \"$(cat)\"; env -0"])
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("there is a shell");
        let mut stdin = shell.stdin.take().expect("it was piped");
        stdin.write_all(self.stdout.as_bytes()).await.expect("the shell reads");
        drop(stdin);
        let mut text = String::new();
        let mut stdout = shell.stdout.take().expect("it was piped");
        stdout.read_to_string(&mut text).await.expect("env writes text");
        let status = shell.wait().await.expect("the shell ends");
        assert!(status.success(), "{self:?}");
        let pairs = text.split('\0').filter_map(|pair| pair.split_once('='));
        pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }
}

impl Terminal {
    /// Presses keys.
    ///
    /// # Panics
    /// When the terminal is gone.
    pub fn press(&mut self, keys: &str) {
        let stdin = self.child.stdin.as_mut().expect("it was piped");
        stdin.write_all(keys.as_bytes()).expect("the terminal takes keys");
    }

    /// Returns everything that was shown so far.
    pub fn shown(&self) -> String {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until the command has ended, and returns its exit code.
    ///
    /// # Panics
    /// When it does not within a minute.
    pub async fn ended(&mut self) -> i32 {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                return status.code().unwrap_or(-1);
            }
            assert!(started.elapsed() < RUN_TIMEOUT, "it runs on:\n{}", self.shown());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Far more than any command of a test needs.
const RUN_TIMEOUT: Duration = Duration::from_secs(60);
