//! A real HAProxy before a gateway.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::eventually::eventually;
use crate::port::free_port;
use crate::process::Process;

/// A running HAProxy.
#[derive(Debug)]
pub struct HaProxy {
    ports: Vec<u16>,
    _process: Process,
    _directory: TempDir,
}

impl HaProxy {
    /// Starts HAProxy with a listener for each of the `lines`: its mode, options and one server.
    ///
    /// # Panics
    /// When it is not installed, or does not listen within 30 s.
    pub async fn start(lines: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("there is room for a temporary directory");
        let ports: Vec<u16> = lines.iter().map(|_| free_port()).collect();
        let mut text =
            "defaults\n  timeout connect 30s\n  timeout client 60s\n  timeout server 60s\n  timeout check 30s\n"
                .to_owned();
        for (number, (port, lines)) in ports.iter().zip(lines).enumerate() {
            text.push_str(&format!("listen l{number}\n  bind 127.0.0.1:{port}\n{lines}\n"));
        }
        let file = directory.path().join("haproxy.cfg");
        std::fs::write(&file, text).expect("the directory was just made");
        let mut command = Command::new(program());
        command.arg("-db").arg("-f").arg(&file);
        let process = Process::start("haproxy", &command);
        for port in &ports {
            eventually("HAProxy listens", Duration::from_secs(30), || async {
                assert!(process.is_running(), "HAProxy ended:\n{}", process.tail());
                TcpStream::connect(("127.0.0.1", *port)).await.is_ok()
            })
            .await;
        }
        Self {
            ports,
            _process: process,
            _directory: directory,
        }
    }

    /// Returns the port of a listener.
    pub fn port(&self, number: usize) -> u16 {
        self.ports[number]
    }
}

/// Debian keeps it where users who are not root do not look.
fn program() -> &'static str {
    match Path::new("/usr/sbin/haproxy").exists() {
        true => "/usr/sbin/haproxy",
        false => "haproxy",
    }
}
