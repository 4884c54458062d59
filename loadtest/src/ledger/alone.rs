//! The judgement where there is no database to look into: what users sent against what came back to them.

use std::collections::{HashMap, HashSet};

use super::evidence::{Testimony, UserName};
use super::verdict::{Offender, Verdict};

/// What a server tells its users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heeded {
    /// To the author, that a message was taken.
    Acks,
    /// That, and the message to everybody else on the board.
    AcksAndBroadcasts,
}

/// Compares what users sent with what they and the others on their boards heard.
///
/// Of a user with more than one connection nobody knows what it should have heard between them; only what it sent is
/// judged then, and what came twice or late on one connection.
pub fn judge_alone(testimonies: &[Testimony], heeded: Heeded) -> Verdict {
    let mut verdict = Verdict::default();
    for testimony in testimonies {
        judge_acks(testimony, &mut verdict);
        judge_hearing(testimony, &mut verdict);
        super::judge::judge_session(testimony, &mut verdict);
        super::judge::add_totals(testimony, &mut verdict);
    }
    if heeded == Heeded::AcksAndBroadcasts {
        judge_reach(testimonies, &mut verdict);
    }
    super::judge::gather_lost(&mut verdict);
    verdict
}

fn judge_acks(testimony: &Testimony, verdict: &mut Verdict) {
    let mut answers: HashMap<u64, u64> = HashMap::new();
    for socket in &testimony.sockets {
        let mut latest = 0;
        for n in socket.acked.iter() {
            let count = answers.entry(n).or_default();
            *count += 1;
            if *count == 1 && n < latest {
                let place = format_args!("was acknowledged after {latest}");
                verdict.reordered.note(of(testimony, &testimony.user, n), place);
            }
            latest = latest.max(n);
        }
    }
    for (&n, &count) in &answers {
        if n == 0 || n > testimony.sent {
            let place = format_args!("was acknowledged and never sent");
            verdict.invented.note(of(testimony, &testimony.user, n), place);
        } else if count > 1 + testimony.resent.get(&n).copied().unwrap_or(0) {
            let place = format_args!("was acknowledged {count} times");
            verdict.doubled.note(of(testimony, &testimony.user, n), place);
        }
    }
    for n in (1..=testimony.sent).filter(|n| !answers.contains_key(n)) {
        let place = format_args!("was sent and never acknowledged");
        verdict.unanswered.note(of(testimony, &testimony.user, n), place);
    }
}

fn judge_hearing(testimony: &Testimony, verdict: &mut Verdict) {
    for (author, drawn) in testimony.sockets.iter().flat_map(|socket| &socket.drawn) {
        let (mut heard, mut latest) = (HashSet::new(), 0);
        for n in drawn.iter() {
            if !heard.insert(n) {
                let place = format_args!("came twice to {}", testimony.user);
                verdict.doubled.note(of(testimony, author, n), place);
            } else if n < latest {
                let place = format_args!("came to {} after {latest}", testimony.user);
                verdict.reordered.note(of(testimony, author, n), place);
            }
            latest = latest.max(n);
        }
    }
}

/// What was acknowledged to one must have come to the others on its board.
fn judge_reach(testimonies: &[Testimony], verdict: &mut Verdict) {
    let mut boards: HashMap<_, Vec<&Testimony>> = HashMap::new();
    for testimony in testimonies {
        boards.entry(&testimony.board).or_default().push(testimony);
    }
    for users in boards.values() {
        for observer in users {
            let [socket] = &observer.sockets[..] else {
                continue;
            };
            let heard: HashMap<&UserName, HashSet<u64>> = socket
                .drawn
                .iter()
                .map(|(author, runs)| (author, runs.iter().collect()))
                .collect();
            for author in users.iter().filter(|author| author.user != observer.user) {
                let came = heard.get(&author.user);
                for n in author.sockets.iter().flat_map(|socket| socket.acked.iter()) {
                    if !came.is_some_and(|came| came.contains(&n)) {
                        let place = format_args!("was acknowledged and never came to {}", observer.user);
                        verdict.unseen.note(of(author, &author.user, n), place);
                    }
                }
            }
        }
    }
}

fn of(testimony: &Testimony, author: &UserName, n: u64) -> Offender {
    Offender {
        board: testimony.board.clone(),
        user: Some(author.clone()),
        seq: Some(n),
    }
}

#[cfg(test)]
mod tests {
    use super::super::SocketTestimony;
    use super::*;

    fn user(name: &str, sent: u64, acked: &[u64], drawn: &[u64]) -> Testimony {
        let other = if name == "a" { "b" } else { "a" };
        Testimony {
            board: "board".parse().unwrap(),
            user: UserName::new(name),
            sent,
            resent: Default::default(),
            sockets: vec![SocketTestimony {
                welcomed_at: Some(0),
                acked: acked.iter().copied().collect(),
                drawn: vec![(UserName::new(other), drawn.iter().copied().collect())],
                ..SocketTestimony::default()
            }],
            is_served: true,
            stayed: true,
        }
    }

    fn counts(a: Testimony, b: Testimony) -> [u64; 4] {
        let verdict = judge_alone(&[a, b], Heeded::AcksAndBroadcasts);
        [&verdict.lost, &verdict.doubled, &verdict.reordered, &verdict.invented].map(|finding| finding.count())
    }

    #[test]
    fn what_is_lost_doubled_reordered_or_invented_is_found() {
        let b = || user("b", 0, &[], &[1, 2, 3]);
        assert_eq!(counts(user("a", 3, &[1, 2, 3], &[]), b()), [0, 0, 0, 0]);
        assert_eq!(counts(user("a", 4, &[1, 2, 3], &[]), b()), [1, 0, 0, 0]);
        assert_eq!(counts(user("a", 3, &[1, 2, 2, 3], &[]), b()), [0, 1, 0, 0]);
        assert_eq!(counts(user("a", 3, &[1, 3, 2], &[]), b()), [0, 0, 1, 0]);
        assert_eq!(
            counts(user("a", 3, &[1, 2, 3, 9], &[]), user("b", 0, &[], &[1, 2, 3, 9])),
            [0, 0, 0, 1]
        );
        assert_eq!(
            counts(user("a", 3, &[1, 2, 3], &[]), user("b", 0, &[], &[1, 3])),
            [1, 0, 0, 0]
        );
        assert_eq!(
            counts(user("a", 3, &[1, 2, 3], &[]), user("b", 0, &[], &[1, 3, 2, 2])),
            [0, 1, 1, 0]
        );
    }
}
