//! The blackout of a session as its client felt it. Pure: records and times of moves in, samples out.
//!
//! A session whose socket stays open feels the longest time from when a change of its was due to the acknowledgement,
//! among those under way within [hold, switch + 1 s] of its board's move. One that had none under way felt nothing
//! and is no sample.
//!
//! A session that comes back on a new socket feels the time from the last acknowledgement on the old socket to the
//! first on the new. Taken as it stands, a user who draws every two seconds would so measure its own silence: the time
//! counts from the hold (or from the cut, if that came before) where the last acknowledgement is older, and ends with
//! the welcome where the user had nothing to send by then. `silence` keeps the words' plain meaning beside it.

use std::collections::HashMap;

use handover_protocol::id::BoardId;

use crate::user::{Micros, Record, SocketEnd, SocketRecord};

/// When one board was moved.
#[derive(Debug, Clone)]
pub struct MoveTimes {
    /// The board.
    pub board: BoardId,
    /// When its sessions were held.
    pub hold: Micros,
    /// When they went on.
    pub switched: Micros,
}

/// What the sessions felt, one sample for each session that felt anything, in microseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Blackouts {
    /// By the definition above.
    pub felt: Vec<Micros>,
    /// Of those that came back: plainly from the last acknowledgement on the old socket to the first on the new.
    pub silence: Vec<Micros>,
}

/// Measures every session.
pub fn measure_blackouts(records: &[Record], moves: &[MoveTimes]) -> Blackouts {
    let mut of_board: HashMap<&BoardId, Vec<&MoveTimes>> = HashMap::new();
    for times in moves {
        of_board.entry(&times.board).or_default().push(times);
    }
    let mut blackouts = Blackouts::default();
    for record in records {
        let moves = of_board.get(&record.board).map_or(&[][..], Vec::as_slice);
        let felt = moves.iter().filter_map(|times| felt(record, times)).max();
        blackouts.felt.extend(felt);
        let silence = moves.iter().filter_map(|times| silence(record, times)).max();
        blackouts.silence.extend(silence);
    }
    blackouts
}

fn felt(record: &Record, times: &MoveTimes) -> Option<Micros> {
    match crossing(record, times) {
        Some((old, new)) => felt_by_reconnect(record, times, old, new),
        None => felt_on_open_socket(record, times),
    }
}

fn felt_on_open_socket(record: &Record, times: &MoveTimes) -> Option<Micros> {
    let end = times.switched + AFTER_SWITCH;
    let under_way = record.changes.iter().filter(|change| change.due <= end);
    let waits = under_way.filter_map(|change| {
        change
            .acked()
            .filter(|&acked| acked >= times.hold)
            .map(|acked| acked - change.due)
    });
    waits.max()
}

fn felt_by_reconnect(record: &Record, times: &MoveTimes, old: &SocketRecord, new: &SocketRecord) -> Option<Micros> {
    let cut = old.told?.min(times.hold);
    let start = last_ack_until(record, old).map_or(cut, |ack| ack.max(cut));
    let welcomed = new.welcomed?;
    let had_something_to_send = record
        .changes
        .iter()
        .any(|change| change.due <= welcomed && change.acked().is_some_and(|acked| acked >= welcomed));
    let end = if had_something_to_send {
        new.first_ack?
    } else {
        welcomed
    };
    Some(end.saturating_sub(start))
}

fn silence(record: &Record, times: &MoveTimes) -> Option<Micros> {
    let (old, new) = crossing(record, times)?;
    Some(new.first_ack?.saturating_sub(last_ack_until(record, old)?))
}

/// Finds the socket that ended by the move and the first one after it on which the user was served.
fn crossing<'a>(record: &'a Record, times: &MoveTimes) -> Option<(&'a SocketRecord, &'a SocketRecord)> {
    let window = times.hold.saturating_sub(BEFORE_HOLD)..=times.switched + AFTER_SWITCH;
    let place = record.sockets.iter().position(|socket| {
        !matches!(socket.end, Some(SocketEnd::Left | SocketEnd::Dropped))
            && socket.told.is_some_and(|told| window.contains(&told))
    })?;
    let (old, later) = record.sockets[place..].split_first()?;
    Some((old, later.iter().find(|socket| socket.welcomed.is_some())?))
}

/// Returns the last acknowledgement on the socket, or on one before it if it brought none.
fn last_ack_until(record: &Record, old: &SocketRecord) -> Option<Micros> {
    let earlier = record.sockets.iter().filter(|socket| socket.begun <= old.begun);
    earlier.filter_map(|socket| socket.last_ack).max()
}

/// So long after the switch a late answer is laid to the move.
const AFTER_SWITCH: Micros = 1_000_000;
/// By a text command users leave before the hold: up to its close deadline of 1 s, and some.
const BEFORE_HOLD: Micros = 2_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::UserName;
    use crate::user::Change;

    const MS: Micros = 1_000;

    fn record(changes: &[(Micros, Micros)]) -> Record {
        let mut record = Record::new("board".parse().unwrap(), UserName::new("u1"));
        for &(due, acked) in changes {
            let mut change = Change::due(due * MS);
            change.note_sent(due * MS);
            change.note_acked(acked * MS);
            record.changes.push(change);
        }
        record
    }

    fn times(hold: Micros, switched: Micros) -> MoveTimes {
        MoveTimes {
            board: "board".parse().unwrap(),
            hold: hold * MS,
            switched: switched * MS,
        }
    }

    fn socket(begun: Micros, acks: Option<(Micros, Micros)>, told: Option<Micros>) -> SocketRecord {
        SocketRecord {
            begun: begun * MS,
            welcomed: Some((begun + 1) * MS),
            first_ack: acks.map(|(first, _)| first * MS),
            last_ack: acks.map(|(_, last)| last * MS),
            told: told.map(|told| told * MS),
            end: told.map(|_| SocketEnd::Closed(1012)),
            ..SocketRecord::default()
        }
    }

    #[test]
    fn an_open_socket_feels_its_slowest_change_within_the_window() {
        let record = record(&[(0, 900), (995, 1_030), (1_010, 1_035), (2_900, 3_500)]);
        let blackouts = measure_blackouts(&[record], &[times(1_000, 1_025)]);
        assert_eq!(blackouts.felt, [35 * MS]);
        assert!(blackouts.silence.is_empty());
    }

    #[test]
    fn a_session_without_a_change_under_way_is_no_sample() {
        let record = record(&[(0, 5), (5_000, 5_005)]);
        assert_eq!(
            measure_blackouts(&[record], &[times(1_000, 1_025)]),
            Blackouts::default()
        );
    }

    #[test]
    fn a_busy_session_that_comes_back_feels_from_ack_to_ack() {
        let mut record = record(&[(1_001, 1_003), (1_010, 1_060)]);
        record.sockets = vec![
            socket(0, Some((3, 1_003)), Some(1_040)),
            socket(1_041, Some((1_060, 1_060)), None),
        ];
        let blackouts = measure_blackouts(&[record], &[times(1_000, 1_035)]);
        assert_eq!(blackouts.felt, [57 * MS]);
        assert_eq!(blackouts.silence, [57 * MS]);
    }

    #[test]
    fn a_silent_session_that_comes_back_feels_from_hold_to_welcome() {
        let mut record = record(&[(3, 5), (2_000, 2_004)]);
        record.sockets = vec![
            socket(0, Some((5, 5)), Some(1_040)),
            socket(1_041, Some((2_004, 2_004)), None),
        ];
        let blackouts = measure_blackouts(&[record], &[times(1_000, 1_035)]);
        assert_eq!(blackouts.felt, [42 * MS]);
        assert_eq!(blackouts.silence, [1_999 * MS]);
    }
}
