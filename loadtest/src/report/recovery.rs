//! How long sessions were without service after something was struck down. Pure: records and a time in, a report out.
//!
//! A session was hit if its socket ended, by whatever hand, after the strike. It is served again with the welcome on a
//! later socket where it had nothing to send by then, else with the first acknowledgement there.

use serde::Serialize;

use crate::user::{Micros, Record, SocketEnd, SocketRecord};

use super::Quantiles;

/// What became of the sessions. Times count from the strike.
#[derive(Debug, Clone, Serialize)]
pub struct CrashReport {
    /// Which process was struck.
    pub process: String,
    /// `kill` or `stop`.
    pub how: &'static str,
    /// Sessions whose socket ended.
    pub sessions_hit: u64,
    /// Those of them that were served again.
    pub sessions_back: u64,
    /// Until each was told, or felt the cut.
    pub told_ms: Quantiles,
    /// Until each was served again; `max` is the last session.
    pub served_ms: Quantiles,
    /// Until each had a change acknowledged again, which may wait until it draws.
    pub acked_ms: Quantiles,
    /// Of every session, hit or not, the longest wait of a change for its acknowledgement, as far as it lies behind the
    /// strike: a session that hangs on an open socket shows here and nowhere else.
    pub waited_ms: Quantiles,
}

impl CrashReport {
    /// Measures every session.
    pub fn measure(process: &str, how: &'static str, records: &[Record], strike: Micros) -> Self {
        let mut hit = 0;
        let (mut told, mut served, mut acked) = (Vec::new(), Vec::new(), Vec::new());
        for record in records {
            let Some((cut, later)) = cut_after(record, strike) else {
                continue;
            };
            hit += 1;
            told.push(cut - strike);
            served.extend(
                later
                    .iter()
                    .find_map(|socket| served_at(record, socket))
                    .map(|at| at - strike),
            );
            acked.extend(later.iter().find_map(|socket| socket.first_ack).map(|at| at - strike));
        }
        Self {
            process: process.to_owned(),
            how,
            sessions_hit: hit,
            sessions_back: served.len() as u64,
            told_ms: Quantiles::of(told),
            served_ms: Quantiles::of(served),
            acked_ms: Quantiles::of(acked),
            waited_ms: Quantiles::of(records.iter().filter_map(|record| longest_wait(record, strike))),
        }
    }
}

/// Finds the first socket that ended after the strike, and those behind it.
fn cut_after(record: &Record, strike: Micros) -> Option<(Micros, &[SocketRecord])> {
    let place = record
        .sockets
        .iter()
        .position(|socket| socket.end != Some(SocketEnd::Left) && socket.told.is_some_and(|told| told >= strike))?;
    Some((record.sockets[place].told?, &record.sockets[place + 1..]))
}

fn longest_wait(record: &Record, strike: Micros) -> Option<Micros> {
    let acked = record
        .changes
        .iter()
        .filter_map(|change| Some((change.due, change.acked()?)));
    let waits = acked
        .filter(|&(_, acked)| acked >= strike)
        .map(|(due, acked)| acked - due.max(strike));
    waits.max()
}

fn served_at(record: &Record, socket: &SocketRecord) -> Option<Micros> {
    let welcomed = socket.welcomed?;
    let has_waiting = record
        .changes
        .iter()
        .any(|change| change.due <= welcomed && change.acked().is_none_or(|acked| acked >= welcomed));
    if has_waiting { socket.first_ack } else { Some(welcomed) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::UserName;
    use crate::user::Change;

    fn socket(begun: Micros, first_ack: Option<Micros>, told: Option<Micros>) -> SocketRecord {
        SocketRecord {
            begun,
            welcomed: Some(begun + 10),
            first_ack,
            told,
            end: told.map(|_| SocketEnd::Broken),
            ..SocketRecord::default()
        }
    }

    fn record(changes: &[(Micros, Micros)], sockets: Vec<SocketRecord>) -> Record {
        let mut record = Record::new("board".parse().unwrap(), UserName::new("u1"));
        for &(due, acked) in changes {
            let mut change = Change::due(due);
            change.note_acked(acked);
            record.changes.push(change);
        }
        record.sockets = sockets;
        record
    }

    #[test]
    fn a_session_is_back_with_its_ack_or_with_the_welcome_where_it_had_nothing_to_send() {
        let strike = 1_000_000;
        let busy = record(
            &[(1_100_000, 1_900_000)],
            vec![
                socket(0, None, Some(1_050_000)),
                socket(1_500_000, Some(1_900_000), None),
            ],
        );
        let silent = record(
            &[],
            vec![socket(0, None, Some(1_040_000)), socket(1_200_000, None, None)],
        );
        let untouched = record(&[], vec![socket(0, None, None)]);
        let never = record(&[], vec![socket(0, None, Some(1_040_000))]);
        let report = CrashReport::measure("board-1", "kill", &[busy, silent, untouched, never], strike);
        assert_eq!((report.sessions_hit, report.sessions_back), (3, 2));
        assert!((report.served_ms.max.unwrap() - 900.0).abs() < 1.0, "{report:?}");
        assert!((report.served_ms.p50.unwrap() - 200.0).abs() < 1.0, "{report:?}");
        assert_eq!(report.acked_ms.n, 1);
        assert!((report.waited_ms.max.unwrap() - 800.0).abs() < 1.0, "{report:?}");
    }
}
