//! The ledger itself, against histories of which every fault is known because it was put there.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::{BTreeMap, BTreeSet};

use handover_loadtest::ledger::{Evidence, Finding, Repeat, Runs, SocketTestimony, Stored, Testimony, UserName, judge};
use handover_protocol::id::BoardId;
use proptest::prelude::*;
use proptest::sample::Index;

/// A change of a history: its author's place among the users of the board, and its number.
type Change = (usize, u64);

/// One board on which everything went well: `draws` names the author of each change in the order in which all were
/// saved; the user `mover`, when there is one, came back on a second socket after half of them.
fn truth(users: usize, draws: &[usize], mover: Option<usize>) -> Evidence {
    let mut numbers = vec![0; users];
    let mut order: Vec<Change> = Vec::new();
    for draw in draws {
        let author = draw % users;
        numbers[author] += 1;
        order.push((author, numbers[author]));
    }
    let stored = order
        .iter()
        .enumerate()
        .map(|(place, &(author, seq))| Stored {
            board: board(),
            revision: place as u64 + 1,
            author: user(author),
            seq,
            is_intact: true,
        })
        .collect();
    let testimonies = (0..users)
        .map(|me| {
            let cut = if mover == Some(me) {
                order.len() / 2
            } else {
                order.len()
            };
            let mut sockets = vec![socket(me, &[], &order[..cut])];
            if mover == Some(me) {
                sockets.push(socket(me, &order[..cut], &order[cut..]));
            }
            Testimony {
                board: board(),
                user: user(me),
                sent: numbers[me],
                resent: BTreeMap::new(),
                sockets,
                is_served: true,
                stayed: true,
            }
        })
        .collect();
    Evidence {
        testimonies,
        stored,
        repeats: Vec::new(),
        left_on_sources: Vec::new(),
    }
}

fn socket(me: usize, before: &[Change], live: &[Change]) -> SocketTestimony {
    let mut socket = SocketTestimony {
        welcomed_at: Some(before.len() as u64),
        latest_revision: (before.len() + live.len()) as u64,
        ..SocketTestimony::default()
    };
    for &(author, seq) in before {
        SocketTestimony::of_author(&mut socket.listed, user(author).as_str()).push(seq);
    }
    for &(author, seq) in live {
        if author == me {
            socket.acked.push(seq);
        } else {
            SocketTestimony::of_author(&mut socket.drawn, user(author).as_str()).push(seq);
        }
    }
    socket
}

fn board() -> BoardId {
    "board".parse().unwrap()
}

fn user(place: usize) -> UserName {
    UserName::new(&format!("u{place}"))
}

fn found(finding: &Finding) -> BTreeSet<(String, u64)> {
    finding
        .offenders()
        .map(|offender| (offender.user.as_ref().unwrap().to_string(), offender.seq.unwrap()))
        .collect()
}

fn named(stored: &Stored) -> (String, u64) {
    (stored.author.to_string(), stored.seq)
}

/// Rewrites what `observer` saw live of `author` on its first socket.
fn rewrite_sightings(evidence: &mut Evidence, observer: usize, author: &UserName, edit: impl Fn(Vec<u64>) -> Vec<u64>) {
    for socket in &mut evidence.testimonies[observer].sockets {
        for (name, runs) in &mut socket.drawn {
            if name == author {
                *runs = edit(runs.iter().collect()).into_iter().collect();
            }
        }
    }
}

fn rewrite_answers(testimony: &mut Testimony, edit: impl Fn(Vec<u64>) -> Vec<u64>) {
    for socket in &mut testimony.sockets {
        socket.acked = edit(socket.acked.iter().collect()).into_iter().collect::<Runs>();
    }
}

fn author_of(stored: &Stored) -> usize {
    stored.author.as_str()[1..].parse().unwrap()
}

prop_compose! {
    fn histories()(
        users in 2_usize..6,
        draws in proptest::collection::vec(0_usize..100, 2..200),
        mover in proptest::option::of(any::<Index>()),
    ) -> Evidence {
        truth(users, &draws, mover.map(|index| index.index(users)))
    }
}

proptest! {
    #[test]
    fn a_true_history_is_clean(evidence in histories()) {
        let verdict = judge(&evidence);
        prop_assert!(verdict.is_clean(), "{verdict:?}");
        prop_assert_eq!(verdict.totals.sent, evidence.stored.len() as u64);
        prop_assert_eq!(verdict.totals.acked, verdict.totals.sent);
        prop_assert_eq!(verdict.totals.saved, verdict.totals.sent);
    }

    #[test]
    fn changes_missing_everywhere_are_lost_and_no_other(
        mut evidence in histories(),
        victims in proptest::collection::vec(any::<Index>(), 1..4),
    ) {
        let places: BTreeSet<usize> = victims.iter().map(|index| index.index(evidence.stored.len())).collect();
        let gone: BTreeSet<_> = places.iter().map(|&place| named(&evidence.stored[place])).collect();
        evidence.stored.retain(|row| !gone.contains(&named(row)));
        for testimony in &mut evidence.testimonies {
            let me = testimony.user.to_string();
            rewrite_answers(testimony, |answers| {
                answers.into_iter().filter(|&seq| !gone.contains(&(me.clone(), seq))).collect()
            });
            for socket in &mut testimony.sockets {
                for (name, runs) in socket.drawn.iter_mut().chain(&mut socket.listed) {
                    *runs = runs.iter().filter(|&seq| !gone.contains(&(name.to_string(), seq))).collect();
                }
            }
        }
        let verdict = judge(&evidence);
        prop_assert_eq!(found(&verdict.lost), gone.clone());
        prop_assert_eq!(found(&verdict.missing), gone);
        prop_assert_eq!(verdict.doubled.count() + verdict.reordered.count() + verdict.not_saved.count(), 0);
        prop_assert_eq!(verdict.unseen.count(), 0);
    }

    #[test]
    fn a_change_acknowledged_and_not_in_the_database_is_not_saved(mut evidence in histories(), victim in any::<Index>()) {
        let row = evidence.stored.remove(victim.index(evidence.stored.len()));
        let verdict = judge(&evidence);
        prop_assert_eq!(found(&verdict.not_saved), BTreeSet::from([named(&row)]));
        prop_assert_eq!(found(&verdict.lost), BTreeSet::from([named(&row)]));
        prop_assert_eq!(verdict.doubled.count() + verdict.reordered.count(), 0);
    }

    #[test]
    fn an_arrival_more_than_was_sent_is_doubled(mut evidence in histories(), victim in any::<Index>(), resends in 0_u64..3) {
        let row = evidence.stored[victim.index(evidence.stored.len())].clone();
        evidence.testimonies[author_of(&row)].resent.insert(row.seq, resends);
        for _ in 0..resends {
            evidence.repeats.push(Repeat { board: board(), author: row.author.clone(), seq: row.seq });
        }
        prop_assert!(judge(&evidence).is_clean());
        evidence.repeats.push(Repeat { board: board(), author: row.author.clone(), seq: row.seq });
        let verdict = judge(&evidence);
        prop_assert_eq!(found(&verdict.doubled), BTreeSet::from([named(&row)]));
        prop_assert_eq!(verdict.lost.count() + verdict.reordered.count() + verdict.not_saved.count(), 0);
    }

    #[test]
    fn a_change_that_came_twice_to_one_user_is_doubled(mut evidence in histories(), victim in any::<Index>(), eye in any::<Index>()) {
        let row = evidence.stored[victim.index(evidence.stored.len())].clone();
        let observer = (author_of(&row) + 1 + eye.index(evidence.testimonies.len() - 1)) % evidence.testimonies.len();
        rewrite_sightings(&mut evidence, observer, &row.author, |numbers| {
            numbers.into_iter().flat_map(|seq| vec![seq; if seq == row.seq { 2 } else { 1 }]).collect()
        });
        let verdict = judge(&evidence);
        prop_assert_eq!(found(&verdict.doubled), BTreeSet::from([named(&row)]));
        prop_assert_eq!(verdict.lost.count() + verdict.reordered.count() + verdict.not_saved.count(), 0);
    }

    #[test]
    fn a_change_that_never_came_to_one_user_is_unseen_and_so_lost(
        mut evidence in histories(), victim in any::<Index>(), eye in any::<Index>(),
    ) {
        let row = evidence.stored[victim.index(evidence.stored.len())].clone();
        let observer = (author_of(&row) + 1 + eye.index(evidence.testimonies.len() - 1)) % evidence.testimonies.len();
        rewrite_sightings(&mut evidence, observer, &row.author, |numbers| {
            numbers.into_iter().filter(|&seq| seq != row.seq).collect()
        });
        for socket in &mut evidence.testimonies[observer].sockets {
            for (name, runs) in &mut socket.listed {
                if *name == row.author {
                    *runs = runs.iter().filter(|&seq| seq != row.seq).collect();
                }
            }
        }
        let verdict = judge(&evidence);
        prop_assert_eq!(found(&verdict.unseen), BTreeSet::from([named(&row)]));
        prop_assert_eq!(found(&verdict.lost), BTreeSet::from([named(&row)]));
        prop_assert_eq!(verdict.missing.count() + verdict.doubled.count() + verdict.reordered.count(), 0);
    }

    #[test]
    fn two_changes_swapped_in_the_database_are_reordered(mut evidence in histories(), victim in any::<Index>()) {
        let row = evidence.stored[victim.index(evidence.stored.len())].clone();
        let next = evidence.stored.iter().position(|other| other.author == row.author && other.seq == row.seq + 1);
        prop_assume!(next.is_some());
        let place = evidence.stored.iter().position(|other| *other == row).unwrap();
        let next = next.unwrap();
        evidence.stored[place].seq = row.seq + 1;
        evidence.stored[next].seq = row.seq;
        let verdict = judge(&evidence);
        prop_assert_eq!(found(&verdict.reordered), BTreeSet::from([named(&row)]));
        prop_assert_eq!(verdict.lost.count() + verdict.doubled.count() + verdict.not_saved.count(), 0);
    }

    #[test]
    fn two_changes_swapped_on_the_way_to_one_user_are_reordered(mut evidence in histories(), victim in any::<Index>(), eye in any::<Index>()) {
        let row = evidence.stored[victim.index(evidence.stored.len())].clone();
        let observer = (author_of(&row) + 1 + eye.index(evidence.testimonies.len() - 1)) % evidence.testimonies.len();
        prop_assume!(evidence.testimonies[observer].sockets.iter().any(|socket| {
            socket.drawn.iter().any(|(name, runs)| {
                *name == row.author && runs.iter().any(|seq| seq == row.seq) && runs.iter().any(|seq| seq == row.seq + 1)
            })
        }));
        rewrite_sightings(&mut evidence, observer, &row.author, |mut numbers| {
            let first = numbers.iter().position(|&seq| seq == row.seq);
            let second = numbers.iter().position(|&seq| seq == row.seq + 1);
            if let (Some(first), Some(second)) = (first, second) {
                numbers.swap(first, second);
            }
            numbers
        });
        let verdict = judge(&evidence);
        prop_assert_eq!(found(&verdict.reordered), BTreeSet::from([named(&row)]));
        prop_assert_eq!(verdict.lost.count() + verdict.doubled.count() + verdict.not_saved.count(), 0);
    }

    #[test]
    fn an_answer_that_never_came_and_one_that_came_twice_are_found(mut evidence in histories(), victim in any::<Index>()) {
        let row = evidence.stored[victim.index(evidence.stored.len())].clone();
        let mut twice = evidence.clone();
        rewrite_answers(&mut evidence.testimonies[author_of(&row)], |answers| {
            answers.into_iter().filter(|&seq| seq != row.seq).collect()
        });
        let verdict = judge(&evidence);
        prop_assert_eq!(found(&verdict.unanswered), BTreeSet::from([named(&row)]));
        prop_assert_eq!(found(&verdict.lost), BTreeSet::from([named(&row)]));

        rewrite_answers(&mut twice.testimonies[author_of(&row)], |answers| {
            answers.into_iter().flat_map(|seq| vec![seq; if seq == row.seq { 2 } else { 1 }]).collect()
        });
        prop_assert_eq!(found(&judge(&twice).doubled), BTreeSet::from([named(&row)]));
    }

    #[test]
    fn a_change_stored_with_another_content_is_altered_and_so_lost(mut evidence in histories(), victim in any::<Index>()) {
        let place = victim.index(evidence.stored.len());
        evidence.stored[place].is_intact = false;
        let verdict = judge(&evidence);
        prop_assert_eq!(found(&verdict.altered), BTreeSet::from([named(&evidence.stored[place])]));
        prop_assert_eq!(found(&verdict.lost), found(&verdict.altered));
    }
}

#[test]
fn boards_left_invented_changes_and_sessions_without_service_are_found() {
    let mut evidence = truth(2, &[0, 1, 0, 1], None);
    evidence.left_on_sources.push(board());
    evidence.stored.push(Stored {
        board: board(),
        revision: 5,
        author: user(0),
        seq: 9,
        is_intact: true,
    });
    SocketTestimony::of_author(&mut evidence.testimonies[1].sockets[0].drawn, "u0").push(9);
    evidence.testimonies[1].is_served = false;
    evidence.testimonies[0].sockets[0].welcomes_again = 1;
    let verdict = judge(&evidence);
    assert_eq!(verdict.not_moved.count(), 1);
    assert_eq!(found(&verdict.invented), BTreeSet::from([("u0".to_owned(), 9)]));
    assert_eq!(verdict.stranded.count(), 1);
    assert_eq!(verdict.disturbed.count(), 1);
    assert_eq!(verdict.lost.count(), 0);
    assert!(!verdict.is_clean());
    assert_eq!(
        verdict.invented.remarks(),
        ["board board user u0 change 9 is in the database and was never sent"]
    );
}

#[test]
fn what_a_short_list_leaves_out_is_excused_only_between_two_sockets() {
    let mut evidence = truth(2, &[0, 0, 0, 0, 0, 0, 0, 0], Some(1));
    let [old, new] = &mut evidence.testimonies[1].sockets[..] else {
        panic!("the user came back once");
    };
    // It heard nothing after the second change, and the welcome at revision 4 listed one.
    old.drawn[0].1 = (1..=2).collect();
    old.latest_revision = 2;
    new.listed[0].1 = (4..=4).collect();
    assert!(judge(&evidence).is_clean());

    // Had it heard the third, the second would have had to come as well.
    let old = &mut evidence.testimonies[1].sockets[0];
    old.drawn[0].1 = [1, 3].into_iter().collect();
    old.latest_revision = 3;
    assert_eq!(found(&judge(&evidence).unseen), BTreeSet::from([("u0".to_owned(), 2)]));
}

#[test]
fn a_newcomer_must_be_shown_the_board_without_holes_and_to_its_end() {
    let mut evidence = truth(2, &[0, 0, 0, 0, 0, 0], Some(1));
    evidence.testimonies[1].sockets.remove(0);
    let newcomer = &mut evidence.testimonies[1].sockets[0];
    newcomer.welcomed_at = Some(6);
    newcomer.latest_revision = 6;
    newcomer.drawn.clear();
    newcomer.listed[0].1 = (3..=6).collect();
    assert!(judge(&evidence).is_clean());

    let newcomer = &mut evidence.testimonies[1].sockets[0];
    newcomer.listed[0].1 = [3, 4, 6].into_iter().collect();
    assert_eq!(found(&judge(&evidence).unseen), BTreeSet::from([("u0".to_owned(), 5)]));

    let newcomer = &mut evidence.testimonies[1].sockets[0];
    newcomer.welcomed_at = Some(5);
    newcomer.listed[0].1 = (1..=5).collect();
    assert_eq!(found(&judge(&evidence).unseen), BTreeSet::from([("u0".to_owned(), 6)]));
}

#[test]
fn who_left_early_is_not_expected_to_have_seen_the_rest() {
    let mut evidence = truth(2, &[0, 0, 0, 0], None);
    let early = &mut evidence.testimonies[1];
    early.sockets[0].drawn[0].1 = (1..=2).collect();
    early.sockets[0].latest_revision = 2;
    assert_eq!(judge(&evidence).unseen.count(), 2);
    evidence.testimonies[1].stayed = false;
    assert!(judge(&evidence).is_clean());
    evidence.testimonies[1].sockets[0].drawn[0].1 = (2..=2).collect();
    assert_eq!(found(&judge(&evidence).unseen), BTreeSet::from([("u0".to_owned(), 1)]));
}

#[test]
fn a_reload_on_a_new_socket_is_no_double() {
    let evidence = truth(3, &[0, 1, 2, 0, 1, 2, 0, 1], Some(1));
    assert_eq!(evidence.testimonies[1].sockets.len(), 2);
    assert!(judge(&evidence).is_clean());
}
