//! Readers that stop: what waits for them while they do, so that a run can tell whether they were felt at all.
//!
//! Where the other ends of the users' connections are on this machine and in this network namespace, the kernel says what
//! waits there. Elsewhere it says only what has come to the users and lies unread; the rest is reckoned in the report from
//! what others on their boards were shown.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::report::{Jammed, SeenAt};
use crate::user::Micros;

use super::tcp_table::{Queues, TcpTable, Unread};

/// Looks on from the moment in which readers stop.
pub(super) struct Jam {
    at: Micros,
    stalls_before: Option<u64>,
    seen: Arc<Mutex<Seen>>,
    look: JoinSet<()>,
}

/// The most that was seen at one moment.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    /// At the other ends; nothing where they are not here.
    waiting: Option<Queues>,
    unread: Queues,
}

impl Jam {
    /// Begins to look at the connections to a port; the gateway has counted so many stalls before.
    pub(super) fn begin(at: Micros, port: Option<u16>, stalls_before: Option<u64>) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (most, mut look) = (Arc::clone(&seen), JoinSet::new());
        if let Some(port) = port {
            look.spawn(async move {
                let mut before = Unread::default();
                loop {
                    let table = TcpTable::read();
                    let unread = table.unread(port);
                    {
                        // Numbers are whole at any time.
                        let mut most = most.lock().unwrap_or_else(PoisonError::into_inner);
                        if let Some(waiting) = table.waiting_at_other_ends(port) {
                            most.waiting = Some(most.waiting.unwrap_or_default().max(waiting));
                        }
                        most.unread = most.unread.max(unread.as_before(&before));
                    }
                    before = unread;
                    sleep(BEAT).await;
                }
            });
        }
        Self {
            at,
            stalls_before,
            seen,
            look,
        }
    }

    /// Looks away; the gateway has counted so many stalls by now.
    pub(super) async fn end(mut self, stalls: Option<u64>) -> Jammed {
        self.look.shutdown().await;
        let most = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let stalls = stalls.zip(self.stalls_before);
        Jammed {
            at: self.at,
            seen: match most.waiting {
                Some(Queues { connections, bytes }) => SeenAt::OtherEnd { connections, bytes },
                None => SeenAt::OwnEnd {
                    connections: most.unread.connections,
                    unread_bytes: most.unread.bytes,
                },
            },
            stalls: stalls.map(|(stalls, before)| stalls.saturating_sub(before)),
        }
    }
}

const BEAT: Duration = Duration::from_millis(500);
