//! The proxies that are measured: each started on a core of its own, in front of the same backend.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use rustls::ClientConfig;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::certificate::Certificate;
use crate::cpu;
use crate::load::Door;

/// What stands between clients and backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Peer {
    /// Nothing.
    Direct,
    /// A relay of bare TCP.
    Relay,
    /// nginx.
    Nginx,
    /// `HAProxy`.
    Haproxy,
    /// Handover.
    Handover,
}

/// A process that is killed when it is no longer needed.
#[derive(Debug)]
pub struct Running {
    child: Child,
    /// Holds its configuration and what it writes.
    directory: Option<TempDir>,
    plain: SocketAddr,
    tls: Option<SocketAddr>,
}

impl Peer {
    /// Every peer.
    pub const ALL: [Self; 5] = [Self::Direct, Self::Relay, Self::Nginx, Self::Haproxy, Self::Handover];

    /// Returns its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Relay => "relay",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Handover => "handover",
        }
    }

    /// Reads whether it speaks TLS to clients.
    pub fn speaks_tls(self) -> bool {
        match self {
            Self::Direct | Self::Relay => false,
            Self::Nginx | Self::Haproxy | Self::Handover => true,
        }
    }

    /// Starts it on `core` in front of `backend`, under `wrapper` where there is one, and waits until it takes
    /// connections; nothing for the direct way, which needs no process.
    ///
    /// # Errors
    /// When its program is missing or does not come up.
    pub fn start(
        self,
        programs: &Programs,
        backend: SocketAddr,
        certificate: &Certificate,
        core: usize,
        wrapper: &[&str],
    ) -> io::Result<Option<Running>> {
        let (template, name) = match self {
            Self::Direct => return Ok(None),
            Self::Relay => {
                let mut command = on_core(core, wrapper, &programs.own);
                command.args(["relay", &backend.to_string()]);
                return Running::announced(command).map(Some);
            }
            Self::Nginx => (include_str!("../peers/nginx.conf"), "nginx.conf"),
            Self::Haproxy => (include_str!("../peers/haproxy.cfg"), "haproxy.cfg"),
            Self::Handover => (include_str!("../peers/handover.toml"), "handover.toml"),
        };
        let directory = tempfile::Builder::new().prefix("handover-bench-").tempdir()?;
        let (plain, tls) = (free_address()?, free_address()?);
        let text = template
            .replace("{directory}", &directory.path().display().to_string())
            .replace("{plain}", &plain.to_string())
            .replace("{tls}", &tls.to_string())
            .replace("{backend}", &backend.to_string());
        let config = directory.path().join(name);
        fs::write(&config, text)?;
        certificate.write(directory.path())?;
        let mut command = match self {
            Self::Nginx => {
                let mut command = on_core(core, wrapper, &programs.nginx);
                command.arg("-p").arg(directory.path()).arg("-c").arg(&config);
                command
            }
            Self::Haproxy => {
                let mut command = on_core(core, wrapper, &programs.haproxy);
                command.arg("-db").arg("-f").arg(&config);
                command
            }
            Self::Handover | Self::Direct | Self::Relay => {
                let mut command = on_core(core, wrapper, &programs.handover);
                command.args(["serve", "--config"]).arg(&config);
                command
            }
        };
        command.current_dir(directory.path());
        let log = fs::File::create(directory.path().join("output.log"))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().map_err(|error| naming(&command, &error))?;
        let mut running = Running {
            child,
            directory: Some(directory),
            plain,
            tls: Some(tls),
        };
        running.comes_up()?;
        Ok(Some(running))
    }
}

impl Running {
    /// Starts one of our own programs, which says on its first line where it listens.
    ///
    /// # Errors
    /// When it says nothing.
    pub fn announced(mut command: Command) -> io::Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| naming(&command, &error))?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let plain = line.trim().parse().map_err(io::Error::other)?;
        Ok(Self {
            child,
            directory: None,
            plain,
            tls: None,
        })
    }

    /// Returns its process id.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// Returns where it takes plain sessions.
    pub fn address(&self) -> SocketAddr {
        self.plain
    }

    /// Returns where it takes sessions, plain or by `tls`.
    pub fn door(&self, tls: Option<Arc<ClientConfig>>) -> Option<Door> {
        match tls {
            None => Some(Door {
                address: self.plain,
                tls: None,
            }),
            Some(config) => self.tls.map(|address| Door {
                address,
                tls: Some(config),
            }),
        }
    }

    /// Has it end in order, as a tracer needs to say what it has seen, and waits until it has.
    ///
    /// # Errors
    /// When it does not end within a minute.
    pub fn end(mut self) -> io::Result<()> {
        // A tracer that runs as a process of its own passes the signal on to nobody.
        let own = self.child.id();
        let traced = fs::read_to_string(format!("/proc/{own}/task/{own}/children"))?;
        let traced = traced
            .split_ascii_whitespace()
            .next()
            .and_then(|child| child.parse().ok());
        let process = rustix::process::Pid::from_raw(traced.unwrap_or(own as i32));
        rustix::process::kill_process(process.ok_or(io::ErrorKind::NotFound)?, rustix::process::Signal::TERM)?;
        let patience = Instant::now() + PATIENCE;
        while self.child.try_wait()?.is_none() {
            if Instant::now() > patience {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "it does not end"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Waits until it takes connections.
    fn comes_up(&mut self) -> io::Result<()> {
        let patience = Instant::now() + PATIENCE;
        loop {
            if TcpStream::connect(self.plain).is_ok() {
                return Ok(());
            }
            let output = || {
                let log = self
                    .directory
                    .as_ref()
                    .map(|directory| directory.path().join("output.log"));
                log.and_then(|log| fs::read_to_string(log).ok()).unwrap_or_default()
            };
            if let Some(status) = self.child.try_wait()? {
                return Err(io::Error::other(format!("it ended with {status}: {}", output())));
            }
            if Instant::now() > patience {
                return Err(io::Error::other(format!("it takes no connections: {}", output())));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where the programs are.
#[derive(Debug, Clone)]
pub struct Programs {
    /// This program, which is backend and relay too.
    pub own: PathBuf,
    /// nginx.
    pub nginx: PathBuf,
    /// `HAProxy`.
    pub haproxy: PathBuf,
    /// The gateway.
    pub handover: PathBuf,
}

/// Makes the command of a program that runs on one core only, in a wrapper such as a tracer where one is given.
pub fn on_core(core: usize, wrapper: &[&str], program: &Path) -> Command {
    // A thread of ours that spawned it from its own core would do too, but the load must not leave its core for that.
    let mut command = Command::new("taskset");
    command.args(["-c", &core.to_string()]).args(wrapper).arg(program);
    command
}

/// Reads what a peer uses; the direct way uses nothing.
pub fn cpu_of(running: Option<&Running>) -> Duration {
    running.map_or(Duration::ZERO, |running| {
        cpu::cpu_of(running.process()).expect("the peer lives as long as it is held")
    })
}

fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?.local_addr()
}

fn naming(command: &Command, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{command:?}: {error}"))
}

const PATIENCE: Duration = Duration::from_secs(60);
