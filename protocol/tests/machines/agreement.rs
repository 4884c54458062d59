//! The move machine and the placement's compare-and-sets say the same: an abort raises the attempt, and no older commit
//! can match afterwards.

use handover_protocol::Placement;
use handover_protocol::machine::moving::Event;

use crate::world::{claimed, settled};

/// Compares and sets as a registry does.
fn compare_and_set(record: &mut Placement, expected: &Placement, next: &Placement) -> bool {
    let is_expected = record == expected;
    if is_expected {
        *record = next.clone();
    }
    is_expected
}

#[test]
fn a_commit_that_is_late_does_not_match_behind_an_abort() {
    let mut record = settled();
    assert!(compare_and_set(&mut record, &settled(), &claimed()));
    let (commit, abort) = (claimed().commit().unwrap(), claimed().abort().unwrap());
    assert!(compare_and_set(&mut record, &claimed(), &abort));
    assert!(record.attempt > claimed().attempt);
    assert!(!compare_and_set(&mut record, &claimed(), &commit));
    assert_eq!(record.owner(), settled().owner());
    assert_eq!(Event::found(&claimed(), &record), Event::AbortRaised);
}

#[test]
fn an_abort_that_is_late_does_not_match_behind_a_commit() {
    let mut record = claimed();
    let (commit, abort) = (claimed().commit().unwrap(), claimed().abort().unwrap());
    assert!(compare_and_set(&mut record, &claimed(), &commit));
    assert!(!compare_and_set(&mut record, &claimed(), &abort));
    assert_eq!(record.generation, settled().generation.next());
    assert_eq!(Event::found(&claimed(), &record), Event::ReadCommitted);
}

#[test]
fn neither_matches_behind_a_takeover() {
    let taken = claimed().take_over("other".parse().unwrap()).unwrap();
    for next in [claimed().commit().unwrap(), claimed().abort().unwrap()] {
        let mut record = taken.clone();
        assert!(!compare_and_set(&mut record, &claimed(), &next));
        assert_eq!(Event::found(&claimed(), &record), Event::ReadSuperseded);
    }
}

#[test]
fn a_commit_of_an_earlier_try_does_not_match_a_later_one() {
    let earlier = claimed();
    let commit = earlier.commit().unwrap();
    let target = commit.owner().unwrap().clone();
    let again = earlier.abort().unwrap().begin(target, "us".parse().unwrap()).unwrap();
    let mut record = again.clone();
    assert!(!compare_and_set(&mut record, &earlier, &commit));
    assert_eq!(Event::found(&again, &record), Event::ReadUncommitted);
    assert_eq!(Event::found(&earlier, &record), Event::ReadSuperseded);
}

#[test]
fn a_record_that_was_settled_behind_our_commit_is_not_taken_for_our_claim() {
    let settled_behind = claimed().commit().unwrap().settle().unwrap();
    assert_eq!(Event::found(&claimed(), &settled_behind), Event::ReadSuperseded);
}

#[test]
fn a_claim_that_was_never_applied_needs_no_taking_back() {
    assert_eq!(Event::found(&claimed(), &settled()), Event::AbortRaised);
    let vacant = settled().vacate().unwrap();
    assert_eq!(Event::found(&claimed(), &vacant), Event::ReadSuperseded);
}
