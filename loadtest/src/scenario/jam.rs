//! Readers that stop: what waits for them in the kernel of the gateway while they do, so that a run can tell whether
//! they were felt at all.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::report::Jammed;
use crate::user::Micros;

/// Looks on from the moment in which readers stop.
pub(super) struct Jam {
    at: Micros,
    gateway_bytes: Option<u64>,
    seen: Arc<Mutex<Queues>>,
    look: JoinSet<()>,
}

/// What waited at one moment to be read, and was not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Queues {
    connections: u64,
    bytes: u64,
}

impl Jam {
    /// Begins to look at the connections of the local port, which is the gateway's where it is on this machine.
    pub(super) fn begin(at: Micros, port: Option<u16>, gateway_bytes: Option<u64>) -> Self {
        let seen = Arc::new(Mutex::new(Queues::default()));
        let (most, mut look) = (Arc::clone(&seen), JoinSet::new());
        if let Some(port) = port {
            look.spawn(async move {
                loop {
                    let now = queues(port);
                    {
                        // Two numbers are whole at any time.
                        let mut most = most.lock().unwrap_or_else(PoisonError::into_inner);
                        most.connections = most.connections.max(now.connections);
                        most.bytes = most.bytes.max(now.bytes);
                    }
                    sleep(BEAT).await;
                }
            });
        }
        Self {
            at,
            gateway_bytes,
            seen,
            look,
        }
    }

    /// Looks away.
    pub(super) async fn end(mut self) -> Jammed {
        self.look.shutdown().await;
        let most = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        Jammed {
            at: self.at,
            gateway_bytes: self.gateway_bytes,
            waiting_connections: most.connections,
            waiting_bytes: most.bytes,
        }
    }
}

/// Counts the connections of a local port that have long been sent more than their peers take.
fn queues(port: u16) -> Queues {
    let mut queues = Queues::default();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let text = std::fs::read_to_string(table).unwrap_or_default();
        for bytes in text.lines().skip(1).filter_map(|line| waiting(line, port)) {
            if bytes >= WAITING_BYTES_MIN {
                queues.connections += 1;
                queues.bytes += bytes;
            }
        }
    }
    queues
}

/// Returns how many bytes wait to be sent by the connection of a line of proc_net(5), if it is one of the port.
fn waiting(line: &str, port: u16) -> Option<u64> {
    let mut fields = line.split_whitespace().skip(1);
    let (local, _, state, queues) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let (_, local_port) = local.rsplit_once(':')?;
    let is_meant = u16::from_str_radix(local_port, 16).ok()? == port && state == ESTABLISHED;
    let (sending, _) = queues.split_once(':')?;
    is_meant.then(|| u64::from_str_radix(sending, 16).ok())?
}

/// Far more than is under way to somebody who reads.
const WAITING_BYTES_MIN: u64 = 256 * 1024;

const BEAT: Duration = Duration::from_millis(500);

const ESTABLISHED: &str = "01";

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_connection_that_nobody_reads_is_found_with_what_waits() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let _reader = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let (mut writer, _) = listener.accept().unwrap();
        assert_eq!(queues(port), Queues::default());
        writer.set_nonblocking(true).unwrap();
        let full = loop {
            // Part of it may be written before the buffers are full: it is they that matter here.
            if let Err(error) = writer.write_all(&[0; 64 * 1024]) {
                break error;
            }
        };
        assert_eq!(full.kind(), ErrorKind::WouldBlock);
        let found = queues(port);
        assert!(found.connections == 1 && found.bytes > WAITING_BYTES_MIN, "{found:?}");
    }
}
