//! The judging itself.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::RangeInclusive;

use handover_protocol::id::BoardId;

use super::evidence::{Evidence, SocketTestimony, Stored, Testimony, UserName};
use super::runs::Runs;
use super::verdict::{Finding, Offender, Verdict};

/// Compares the witnesses.
pub fn judge(evidence: &Evidence) -> Verdict {
    let mut verdict = Verdict::default();
    let database = Database::new(evidence);
    for testimony in &evidence.testimonies {
        judge_sends(testimony, &database, &mut verdict);
        judge_answers(testimony, &database, &mut verdict);
        judge_sightings(testimony, &database, &mut verdict);
        judge_session(testimony, &mut verdict);
        add_totals(testimony, &mut verdict);
    }
    judge_database(evidence, &database, &mut verdict);
    for board in &evidence.left_on_sources {
        let offender = Offender {
            board: board.clone(),
            user: None,
            seq: None,
        };
        verdict.not_moved.note(offender, format_args!("is left on a source"));
    }
    gather_lost(&mut verdict);
    verdict
}

/// What the database holds, by board and author.
struct Database<'a> {
    /// The author's changes in the board's order.
    written: BTreeMap<(&'a BoardId, &'a UserName), Vec<&'a Stored>>,
    /// Rows and repeats of each change.
    arrivals: HashMap<(&'a BoardId, &'a UserName, u64), u64>,
    authors: HashMap<&'a BoardId, Vec<&'a UserName>>,
}

impl<'a> Database<'a> {
    fn new(evidence: &'a Evidence) -> Self {
        let mut written: BTreeMap<_, Vec<&Stored>> = BTreeMap::new();
        let mut arrivals: HashMap<_, u64> = HashMap::new();
        for row in &evidence.stored {
            written.entry((&row.board, &row.author)).or_default().push(row);
            *arrivals.entry((&row.board, &row.author, row.seq)).or_default() += 1;
        }
        for repeat in &evidence.repeats {
            *arrivals.entry((&repeat.board, &repeat.author, repeat.seq)).or_default() += 1;
        }
        let mut authors: HashMap<_, Vec<&UserName>> = HashMap::new();
        for ((board, author), rows) in &mut written {
            rows.sort_by_key(|row| row.revision);
            authors.entry(*board).or_default().push(*author);
        }
        Self {
            written,
            arrivals,
            authors,
        }
    }

    fn written_by(&self, board: &'a BoardId, author: &'a UserName) -> &[&'a Stored] {
        self.written.get(&(board, author)).map_or(&[], Vec::as_slice)
    }
}

/// What was sent must be in the database, once, as it was sent.
fn judge_sends<'a>(testimony: &'a Testimony, database: &Database<'a>, verdict: &mut Verdict) {
    let rows = database.written_by(&testimony.board, &testimony.user);
    let saved: HashSet<u64> = rows.iter().map(|row| row.seq).collect();
    for seq in 1..=testimony.sent {
        if !saved.contains(&seq) {
            let place = format_args!("was sent and is not in the database");
            verdict.missing.note(change(testimony, seq), place);
        }
    }
    for row in rows {
        if row.seq == 0 || row.seq > testimony.sent {
            let place = format_args!("is in the database and was never sent");
            verdict.invented.note(change(testimony, row.seq), place);
        } else if !row.is_intact {
            let place = format_args!("is in the database with another content");
            verdict.altered.note(change(testimony, row.seq), place);
        }
    }
    verdict.totals.saved += rows.len() as u64;
}

/// What was sent must be answered, once for each send and in order, and what was answered must be saved.
fn judge_answers<'a>(testimony: &'a Testimony, database: &Database<'a>, verdict: &mut Verdict) {
    let mut answers: HashMap<u64, u64> = HashMap::new();
    for socket in &testimony.sockets {
        let mut latest = 0;
        for seq in socket.acked.iter() {
            let count = answers.entry(seq).or_default();
            *count += 1;
            if *count == 1 && seq < latest {
                let place = format_args!("was acknowledged after {latest}");
                verdict.reordered.note(change(testimony, seq), place);
            }
            latest = latest.max(seq);
        }
    }
    let rows = database.written_by(&testimony.board, &testimony.user);
    let saved: HashSet<u64> = rows.iter().map(|row| row.seq).collect();
    for (&seq, &count) in &answers {
        let resent = testimony.resent.get(&seq).copied().unwrap_or(0);
        if count > 1 + resent {
            let place = format_args!("was acknowledged {count} times");
            verdict.doubled.note(change(testimony, seq), place);
        }
        if !saved.contains(&seq) {
            let place = format_args!("was acknowledged and is not in the database");
            verdict.not_saved.note(change(testimony, seq), place);
        }
    }
    for seq in 1..=testimony.sent {
        if !answers.contains_key(&seq) {
            let place = format_args!("was sent and never acknowledged");
            verdict.unanswered.note(change(testimony, seq), place);
        }
    }
}

/// What the others drew must have come, once and in order.
fn judge_sightings<'a>(observer: &'a Testimony, database: &Database<'a>, verdict: &mut Verdict) {
    if observer.sockets.iter().all(|socket| socket.welcomed_at.is_none()) {
        return;
    }
    let mut seen: HashMap<&UserName, Sightings> = HashMap::new();
    for socket in &observer.sockets {
        for sightings in seen.values_mut() {
            sightings.on_this_socket.clear();
        }
        for (author, listed) in &socket.listed {
            let sightings = seen.entry(author).or_default();
            let mut latest = 0;
            for seq in listed.iter() {
                let mark = sightings.list(seq, latest);
                latest = latest.max(seq);
                note_mark(observer, author, seq, mark, verdict);
            }
        }
        for (author, drawn) in &socket.drawn {
            let sightings = seen.entry(author).or_default();
            for seq in drawn.iter() {
                let mark = sightings.draw(seq);
                note_mark(observer, author, seq, mark, verdict);
            }
        }
        for (author, seq) in &socket.altered {
            let offender = Offender {
                board: observer.board.clone(),
                user: Some(author.clone()),
                seq: Some(*seq),
            };
            let place = format_args!("came to {} with another content", observer.user);
            verdict.altered.note(offender, place);
        }
    }
    let mut gaps = unlisted_gaps(&observer.sockets);
    if !observer.stayed {
        let latest = observer
            .sockets
            .iter()
            .map(|socket| socket.latest_revision.max(socket.welcomed_at.unwrap_or(0)));
        gaps.push(latest.max().unwrap_or(0) + 1..=u64::MAX);
    }
    let authors = database.authors.get(&observer.board).map_or(&[][..], Vec::as_slice);
    for author in authors.iter().filter(|author| **author != &observer.user) {
        let sightings = seen.get(*author);
        for row in database.written_by(&observer.board, author) {
            let is_due = !gaps.iter().any(|gap| gap.contains(&row.revision));
            if is_due && !sightings.is_some_and(|sightings| sightings.ever.contains(&row.seq)) {
                let offender = Offender {
                    board: row.board.clone(),
                    user: Some(row.author.clone()),
                    seq: Some(row.seq),
                };
                let place = format_args!("is in the database and never came to {}", observer.user);
                verdict.unseen.note(offender, place);
            }
        }
    }
}

/// Finds the revisions that nobody can expect a user to know: saved after the last word on one socket (or before the
/// first), and too old for the list in the next one's welcome.
fn unlisted_gaps(sockets: &[SocketTestimony]) -> Vec<RangeInclusive<u64>> {
    let mut known = 0;
    let mut gaps = Vec::new();
    for socket in sockets {
        let Some(welcomed_at) = socket.welcomed_at else {
            continue;
        };
        let listed: u64 = socket.listed.iter().map(|(_, runs)| runs.count()).sum();
        gaps.push(known + 1..=welcomed_at.saturating_sub(listed));
        known = known.max(socket.latest_revision).max(welcomed_at);
    }
    gaps
}

/// What an observer has seen of one author.
#[derive(Default)]
struct Sightings {
    ever: HashSet<u64>,
    /// Listed by this socket's welcome, or drawn on it.
    on_this_socket: HashSet<u64>,
    /// Drawn on any socket.
    live: HashSet<u64>,
    latest: u64,
}

enum Mark {
    Fine,
    Twice,
    Late { behind: u64 },
}

impl Sightings {
    /// Takes a change from a welcome's list, which may tell again what came on an earlier socket.
    fn list(&mut self, seq: u64, latest_in_list: u64) -> Mark {
        self.ever.insert(seq);
        self.latest = self.latest.max(seq);
        if !self.on_this_socket.insert(seq) {
            Mark::Twice
        } else if seq < latest_in_list {
            Mark::Late { behind: latest_in_list }
        } else {
            Mark::Fine
        }
    }

    /// Takes a change that came live: nobody may have shown it on this socket, nor live on another.
    fn draw(&mut self, seq: u64) -> Mark {
        let behind = self.latest;
        self.ever.insert(seq);
        self.latest = self.latest.max(seq);
        let is_new_here = self.on_this_socket.insert(seq);
        if !self.live.insert(seq) || !is_new_here {
            Mark::Twice
        } else if seq < behind {
            Mark::Late { behind }
        } else {
            Mark::Fine
        }
    }
}

fn note_mark(observer: &Testimony, author: &UserName, seq: u64, mark: Mark, verdict: &mut Verdict) {
    let offender = || Offender {
        board: observer.board.clone(),
        user: Some(author.clone()),
        seq: Some(seq),
    };
    match mark {
        Mark::Fine => {}
        Mark::Twice => {
            let place = format_args!("came twice to {}", observer.user);
            verdict.doubled.note(offender(), place);
        }
        Mark::Late { behind } => {
            let place = format_args!("came to {} after {behind}", observer.user);
            verdict.reordered.note(offender(), place);
        }
    }
}

/// Judges the session as a whole: interrupted by what it should not have seen, or left without service.
pub(super) fn judge_session(testimony: &Testimony, verdict: &mut Verdict) {
    let session = || Offender {
        board: testimony.board.clone(),
        user: Some(testimony.user.clone()),
        seq: None,
    };
    let garbled: u64 = testimony.sockets.iter().map(|socket| socket.garbled).sum();
    let again: u64 = testimony.sockets.iter().map(|socket| socket.welcomes_again).sum();
    if garbled > 0 {
        let place = format_args!("got {garbled} messages that cannot be understood");
        verdict.disturbed.note(session(), place);
    }
    if again > 0 {
        let place = format_args!("was welcomed again {again} times on an open socket");
        verdict.disturbed.note(session(), place);
    }
    if !testimony.is_served {
        verdict
            .stranded
            .note(session(), format_args!("was not served at the end"));
    }
}

/// The database's own order and arrivals, for every author, virtual or not.
fn judge_database(evidence: &Evidence, database: &Database<'_>, verdict: &mut Verdict) {
    for ((board, author), rows) in &database.written {
        let mut latest = 0;
        let mut earlier = HashSet::new();
        for row in rows {
            if earlier.insert(row.seq) && row.seq < latest {
                let offender = Offender {
                    board: (*board).clone(),
                    user: Some((*author).clone()),
                    seq: Some(row.seq),
                };
                let place = format_args!("stands in the database after {latest}");
                verdict.reordered.note(offender, place);
            }
            latest = latest.max(row.seq);
        }
    }
    let resends: HashMap<_, _> = evidence
        .testimonies
        .iter()
        .map(|testimony| ((&testimony.board, &testimony.user), &testimony.resent))
        .collect();
    for (&(board, author, seq), &arrivals) in &database.arrivals {
        // Somebody at a browser sends again without our record of it; only what virtual users sent is counted.
        let Some(resent) = resends.get(&(board, author)) else {
            continue;
        };
        let sends = 1 + resent.get(&seq).copied().unwrap_or(0);
        if arrivals > sends {
            let offender = Offender {
                board: board.clone(),
                user: Some(author.clone()),
                seq: Some(seq),
            };
            let place = format_args!("arrived {arrivals} times and was sent {sends} times");
            verdict.doubled.note(offender, place);
        }
    }
}

pub(super) fn add_totals(testimony: &Testimony, verdict: &mut Verdict) {
    let totals = &mut verdict.totals;
    let live = |socket: &SocketTestimony| socket.drawn.iter().map(|(_, runs)| runs.count()).sum::<u64>();
    totals.sessions += 1;
    totals.sent += testimony.sent;
    totals.resent += testimony.resent.values().sum::<u64>();
    totals.acked += testimony
        .sockets
        .iter()
        .map(|socket| Runs::count(&socket.acked))
        .sum::<u64>();
    totals.seen += testimony.sockets.iter().map(live).sum::<u64>();
    totals.reconnects += testimony.sockets.len().saturating_sub(1) as u64;
}

/// A change that anybody misses is lost, whoever it is.
pub(super) fn gather_lost(verdict: &mut Verdict) {
    let mut lost = Finding::default();
    let kinds = [
        (&verdict.missing, "is missing in the database"),
        (&verdict.altered, "was altered"),
        (&verdict.unseen, "was not shown to everybody"),
        (&verdict.unanswered, "was not acknowledged"),
    ];
    for (finding, place) in kinds {
        for offender in finding.offenders() {
            lost.note(offender.clone(), format_args!("{place}"));
        }
    }
    verdict.lost = lost;
}

fn change(testimony: &Testimony, seq: u64) -> Offender {
    Offender {
        board: testimony.board.clone(),
        user: Some(testimony.user.clone()),
        seq: Some(seq),
    }
}
