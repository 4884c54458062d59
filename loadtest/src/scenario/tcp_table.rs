//! The connections that this machine's kernel knows in this network namespace, as proc_net(5) lists them.

use std::collections::{HashMap, HashSet};

/// One end of a connection, as the table writes it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct End {
    address: String,
    port: u16,
}

/// An open connection as one of its ends sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    local: End,
    remote: End,
    /// Bytes that the other end has not confirmed, or not been sent for want of room there.
    sending: u64,
    /// Bytes that have come and that nobody has read.
    unread: u64,
}

/// Every open connection, at one moment.
#[derive(Debug, Default)]
pub(super) struct TcpTable(Vec<Row>);

/// Some connections and what lies in their queues.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Queues {
    pub(super) connections: u64,
    pub(super) bytes: u64,
}

/// What nobody has read, by the local end; to be compared with the next look.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Unread(HashMap<End, u64>);

impl TcpTable {
    /// Reads the table; empty where the system has none.
    pub(super) fn read() -> Self {
        let read = |table| std::fs::read_to_string(table).unwrap_or_default();
        Self::parse(&(read("/proc/net/tcp") + &read("/proc/net/tcp6")))
    }

    fn parse(text: &str) -> Self {
        Self(text.lines().filter_map(parse_row).collect())
    }

    /// Returns what waits at the other ends of the connections to a port, for those that have long been sent more than
    /// they take; nothing where none of these ends is in this table.
    pub(super) fn waiting_at_other_ends(&self, port: u16) -> Option<Queues> {
        let own: HashSet<_> = self.to(port).map(|row| (&row.remote, &row.local)).collect();
        let others = self.0.iter().filter(|row| own.contains(&(&row.local, &row.remote)));
        let mut others = others.peekable();
        others.peek()?;
        Some(Queues::of(
            others
                .map(|row| row.sending)
                .filter(|bytes| *bytes >= WAITING_BYTES_MIN),
        ))
    }

    /// Returns what has come over the connections to a port and was not read.
    pub(super) fn unread(&self, port: u16) -> Unread {
        let unread = self.to(port).filter(|row| row.unread > 0);
        Unread(unread.map(|row| (row.local.clone(), row.unread)).collect())
    }

    fn to(&self, port: u16) -> impl Iterator<Item = &Row> {
        self.0.iter().filter(move |row| row.remote.port == port)
    }
}

impl Queues {
    fn of(queues: impl Iterator<Item = u64>) -> Self {
        queues.fold(Self::default(), |sum, bytes| Self {
            connections: sum.connections + 1,
            bytes: sum.bytes + bytes,
        })
    }

    /// Returns the larger of each number.
    pub(super) fn max(self, other: Self) -> Self {
        Self {
            connections: self.connections.max(other.connections),
            bytes: self.bytes.max(other.bytes),
        }
    }
}

impl Unread {
    /// Returns what lies as it lay at an earlier look: with a reader it would have gone.
    pub(super) fn as_before(&self, earlier: &Self) -> Queues {
        let same = self.0.iter().filter(|(end, bytes)| earlier.0.get(end) == Some(bytes));
        Queues::of(same.map(|(_, bytes)| *bytes))
    }
}

/// Returns the connection of a line, if there is one and it is open.
fn parse_row(line: &str) -> Option<Row> {
    let mut fields = line.split_whitespace().skip(1);
    let (local, remote, state, queues) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let (sending, unread) = queues.split_once(':')?;
    let row = Row {
        local: parse_end(local)?,
        remote: parse_end(remote)?,
        sending: u64::from_str_radix(sending, 16).ok()?,
        unread: u64::from_str_radix(unread, 16).ok()?,
    };
    (state == ESTABLISHED).then_some(row)
}

fn parse_end(text: &str) -> Option<End> {
    let (address, port) = text.rsplit_once(':')?;
    Some(End {
        // A listener of both families shows IPv4 peers in this form, and they show themselves in the other.
        address: address.strip_prefix(IPV4_IN_IPV6).unwrap_or(address).to_owned(),
        port: u16::from_str_radix(port, 16).ok()?,
    })
}

/// Far more than is under way to somebody who reads.
pub(super) const WAITING_BYTES_MIN: u64 = 256 * 1024;

const ESTABLISHED: &str = "01";

/// `::ffff:0:0/96`, each group of four bytes in the order of a little-endian machine.
#[cfg(target_endian = "little")]
const IPV4_IN_IPV6: &str = "0000000000000000FFFF0000";
#[cfg(target_endian = "big")]
const IPV4_IN_IPV6: &str = "00000000000000000000FFFF";

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    /// Lets a connection fill that nobody reads.
    fn fill(writer: &mut TcpStream) {
        writer.set_nonblocking(true).unwrap();
        let full = loop {
            // Part of it may be written before the buffers are full: it is they that matter here.
            if let Err(error) = writer.write_all(&[0; 64 * 1024]) {
                break error;
            }
        };
        assert_eq!(full.kind(), ErrorKind::WouldBlock);
    }

    #[test]
    fn a_connection_that_nobody_reads_is_found_at_both_ends_with_what_waits() {
        for address in ["127.0.0.1:0", "[::]:0"] {
            let listener = TcpListener::bind(address).unwrap();
            let port = listener.local_addr().unwrap().port();
            assert_eq!(TcpTable::read().waiting_at_other_ends(port), None);
            let _reader = TcpStream::connect(("127.0.0.1", port)).unwrap();
            let (mut writer, _) = listener.accept().unwrap();
            assert_eq!(TcpTable::read().waiting_at_other_ends(port), Some(Queues::default()));
            fill(&mut writer);
            let table = TcpTable::read();
            let found = table.waiting_at_other_ends(port).unwrap();
            assert!(found.connections == 1 && found.bytes > WAITING_BYTES_MIN, "{found:?}");
            let lies = TcpTable::read().unread(port).as_before(&table.unread(port));
            assert!(lies.connections == 1 && lies.bytes > 0, "{lies:?}");
        }
    }

    /// What a client's machine shows of a gateway on another: its own ends only.
    const OF_A_CLIENT: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 20341 1 0 100 0 0 10 0
   1: 0200000A:9C40 0100000A:1F90 01 00000000:00000900 00:00000000 00000000     0        0 20342 1 0 20 4 30 10 -1
   2: 0200000A:9C42 0100000A:1F90 01 00000000:00000040 00:00000000 00000000     0        0 20343 1 0 20 4 30 10 -1
   3: 0200000A:9C44 0100000A:1F90 08 00000000:00000900 00:00000000 00000000     0        0 20344 1 0 20 4 30 10 -1
   4: 0200000A:1F90 0300000A:9C40 01 00090000:00000000 00:00000000 00000000     0        0 20345 1 0 20 4 30 10 -1
";

    #[test]
    fn another_machines_gateway_is_told_from_one_here_and_readers_from_those_who_stopped() {
        let table = TcpTable::parse(OF_A_CLIENT);
        // Row 4 is somebody else's connection to a port of the same number on this machine.
        assert_eq!(table.waiting_at_other_ends(0x1F90), None);
        let later = TcpTable::parse(&OF_A_CLIENT.replace("00000040", "00000041"));
        let lies = later.unread(0x1F90).as_before(&table.unread(0x1F90));
        let (connections, bytes) = (1, 0x900);
        assert_eq!(lies, Queues { connections, bytes });
    }
}
