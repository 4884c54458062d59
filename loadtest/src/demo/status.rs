//! What the demo shows while it runs, on the terminal and on its page alike.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::scenario::AdminClient;
use crate::user::Progress;

use super::fleet::SERVERS;

/// One look at everything.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub(super) struct Status {
    /// What is going on.
    pub(super) phase: Phase,
    /// Open boards of each server.
    pub(super) servers: Vec<ServerStatus>,
    /// Users that are connected and welcomed.
    pub(super) users: u64,
    /// Changes sent.
    pub(super) sent: u64,
    /// Changes acknowledged.
    pub(super) saved: u64,
    /// Connections beyond each user's first.
    pub(super) reconnects: u64,
    /// Where one draws along.
    pub(super) page: String,
    /// Whether somebody attends, who is then told what Enter does.
    pub(super) is_attended: bool,
}

/// Open boards of one server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct ServerStatus {
    pub(super) name: &'static str,
    pub(super) release: &'static str,
    pub(super) boards: u64,
}

/// What is going on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Phase {
    /// Users connect.
    #[default]
    Gathering,
    /// Users draw on the servers of the first release.
    Drawing,
    /// Boards move.
    Releasing,
    /// Users draw on the servers of the second release.
    Released,
    /// The ledger looks.
    Judging,
}

impl Phase {
    /// Says it to people.
    pub(super) fn in_words(self) -> &'static str {
        match self {
            Self::Gathering => "users are coming",
            Self::Drawing => "users are drawing",
            Self::Releasing => "the release is under way",
            Self::Released => "released; users are drawing on",
            Self::Judging => "the ledger compares what was sent, seen and saved",
        }
    }

    /// Says what a press of Enter does now; empty where it does nothing.
    pub(super) fn enter_in_words(self) -> &'static str {
        match self {
            Self::Drawing => "Enter: release",
            Self::Released => "Enter: verdict",
            Self::Gathering | Self::Releasing | Self::Judging => "",
        }
    }
}

/// Looks again and again, for ever; the phase is set by others.
pub(super) async fn keep_looking(admin: AdminClient, progress: Arc<Progress>, status: watch::Sender<Status>) {
    loop {
        // What cannot be asked for now is shown as it was.
        let boards = admin.boards().await.ok();
        status.send_if_modified(|status| {
            let before = status.clone();
            if let Some(boards) = &boards {
                let of = |name: &str| {
                    let owned = boards
                        .iter()
                        .filter(|view| view.server.as_ref().is_some_and(|server| server.as_str() == name));
                    owned.count() as u64
                };
                status.servers = SERVERS
                    .map(|(name, release)| ServerStatus {
                        name,
                        release,
                        boards: of(name),
                    })
                    .into();
            }
            status.users = progress.served.load(Relaxed);
            status.sent = progress.sent.load(Relaxed);
            status.saved = progress.acked.load(Relaxed);
            status.reconnects = progress.reconnects.load(Relaxed);
            *status != before
        });
        sleep(LOOK_EVERY).await;
    }
}

const LOOK_EVERY: Duration = Duration::from_millis(250);
