//! Users on other people's libraries, which compress and fragment: processes that draw until they are told to end.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use handover_protocol::id::BoardId;
use serde_json::Value;

use crate::binaries::workspace;
use crate::eventually::eventually;
use crate::process::Process;

/// Which library a user is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClientLibrary {
    /// Python `websockets`.
    Websockets,
    /// Python `aiohttp`; it cannot send fragments.
    Aiohttp,
    /// node `ws`.
    NodeWs,
}

/// A user that draws, and notes all it hears.
#[derive(Debug)]
pub struct LibraryUser {
    name: String,
    process: Process,
}

/// How a user draws.
#[derive(Debug, Clone)]
pub struct Strokes {
    /// Between two changes.
    pub interval: Duration,
    /// Letters of padding in each change: the same each time, so that only a kept context compresses them.
    pub padding: usize,
    /// Fragments of each message.
    pub fragments: u32,
    /// Whether messages are binary.
    pub is_binary: bool,
}

impl ClientLibrary {
    /// Every library.
    pub const ALL: [Self; 3] = [Self::Websockets, Self::Aiohttp, Self::NodeWs];

    fn command(self) -> Command {
        let servers = workspace().join("tests/servers");
        let (interpreter, file) = match self {
            Self::Websockets => (workspace().join("tests/.venv/bin/python"), "websockets_client.py"),
            Self::Aiohttp => (workspace().join("tests/.venv/bin/python"), "aiohttp_client.py"),
            Self::NodeWs => ("node".into(), "ws_client.mjs"),
        };
        let mut command = Command::new(interpreter);
        command.arg(servers.join(file));
        command
    }
}

impl std::fmt::Display for ClientLibrary {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Websockets => "websockets",
            Self::Aiohttp => "aiohttp",
            Self::NodeWs => "ws",
        })
    }
}

impl Default for Strokes {
    fn default() -> Self {
        Self {
            interval: Duration::from_millis(20),
            padding: 1000,
            fragments: 1,
            is_binary: false,
        }
    }
}

impl LibraryUser {
    /// Starts a user on the board and waits until it is welcomed.
    ///
    /// # Panics
    /// When it is not within 20 s.
    pub async fn join(library: ClientLibrary, to: SocketAddr, board: &str, name: &str, strokes: &Strokes) -> Self {
        let board: BoardId = board.parse().expect("tests use good board ids");
        let mut command = library.command();
        command
            .args([
                "--url",
                &format!("ws://{to}/boards/{}/ws?user={name}", board.to_url_segment()),
            ])
            .args([
                "--user",
                name,
                "--interval",
                &strokes.interval.as_secs_f64().to_string(),
            ])
            .args([
                "--pad",
                &strokes.padding.to_string(),
                "--fragments",
                &strokes.fragments.to_string(),
            ]);
        if strokes.is_binary {
            command.arg("--binary");
        }
        let user = Self {
            name: name.to_owned(),
            process: Process::start(name, &command),
        };
        eventually("the user is welcomed", Duration::from_secs(20), || async {
            !user.heard_of("welcome").is_empty() || !user.process.is_running()
        })
        .await;
        assert!(user.process.is_running(), "{name} ended:\n{}", user.process.tail());
        user
    }

    /// Returns all that the user has heard, in order.
    pub fn heard(&self) -> Vec<Value> {
        let output = self.process.output();
        let whole = output.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        whole.filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Returns what the user has heard of one type: `open`, `welcome`, `saved`, `drawn`, `joined`, `left`, `closed`.
    pub fn heard_of(&self, kind: &str) -> Vec<Value> {
        self.heard().into_iter().filter(|heard| heard["type"] == kind).collect()
    }

    /// Returns the numbers of the user's own changes that were acknowledged, in order of arrival.
    pub fn saved(&self) -> Vec<u64> {
        self.heard_of("saved")
            .iter()
            .filter_map(|saved| saved["seq"].as_u64())
            .collect()
    }

    /// Returns the numbers of another user's changes, in order of arrival.
    pub fn drawn_by(&self, other: &str) -> Vec<u64> {
        let drawn = self.heard_of("drawn");
        let theirs = drawn.iter().filter(|drawn| drawn["user"] == other);
        theirs.filter_map(|drawn| drawn["seq"].as_u64()).collect()
    }

    /// Tells the user to draw no more, waits until all is acknowledged and the user has left; returns how many changes
    /// were sent.
    ///
    /// # Panics
    /// When the user had ended before, or a change was not acknowledged.
    pub async fn finish(&self) -> u64 {
        self.process.terminate();
        self.process.exited(Duration::from_secs(20)).await;
        let closed = self.heard_of("closed");
        let end = closed
            .first()
            .unwrap_or_else(|| panic!("{} said no word:\n{}", self.name, self.process.tail()));
        assert_eq!(end["saved"], end["sent"], "{}", self.name);
        end["sent"].as_u64().unwrap_or_else(|| panic!("{}: {end}", self.name))
    }

    /// Returns the process.
    pub fn process(&self) -> &Process {
        &self.process
    }
}
