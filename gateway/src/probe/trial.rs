//! Which visits a probe makes, and what follows from them.

use std::time::Duration;

use http::header::{HeaderName, HeaderValue};

use super::address::ProbeUrl;
use super::report::{Crossing, ProbeReport};
use super::station::Station;
use super::visit::{Arrival, OFFER, Visit, chain};
use crate::config::Replay;
use crate::upstream::{Agreement, Asking, TermsMode};

/// What is tried.
pub(super) struct Trial<'a> {
    pub url: &'a ProbeUrl,
    pub headers: &'a [(HeaderName, HeaderValue)],
    pub subprotocols: &'a [String],
    /// Openers, and one message that is always answered.
    pub script: &'a [String],
    pub wait: Duration,
}

impl Trial<'_> {
    /// Visits both servers.
    pub(super) async fn run(&self, stations: &[Station]) -> ProbeReport {
        let mut report = ProbeReport::new(self.url.board_source());
        let [first, second] = stations else {
            return report;
        };
        for station in stations {
            self.ask_contract(station, &mut report).await;
        }
        let told = self.handshakes(first, second, &mut report).await;
        let heard = self.visit(first, Arrival::Fresh, self.script.iter(), &mut report).await;
        let (Some(told), Some(heard)) = (told, heard) else {
            return report;
        };
        report.agree = told;
        describe(first, &heard, &mut report);
        if let Some(ending) = heard.cut.as_ref().filter(|_| heard.answers.is_empty()) {
            report.fault(format!(
                "{}: ends a session at once, with {ending}; does it want a --header, a --subprotocol or another --url?",
                first.url()
            ));
            return report;
        }
        report.sessions_open = true;
        self.find_replay(second, &heard, &mut report).await;
        report.is_opaque = !(first.has_contract() && second.has_contract());
        report
    }

    async fn ask_contract(&self, station: &Station, report: &mut ProbeReport) {
        let url = station.url();
        match station.report().await {
            None => report.note(format!("{url}: no --control given, taken as opaque")),
            Some(Ok(server)) => report.fine(format!(
                "{url}: speaks the control contract as {} of release {}{}",
                server.name,
                server.release,
                if server.ready { "" } else { ", and is not ready" }
            )),
            Some(Err(error)) => report.fault(format!(
                "{url}: the control contract does not answer: {}",
                chain(&error)
            )),
        }
    }

    /// Compares what the 101s say, asking the second server as the gateway would for a session of the first.
    async fn handshakes(&self, first: &Station, second: &Station, report: &mut ProbeReport) -> Option<bool> {
        let offered = self
            .dial(first, Arrival::Fresh, Some(OFFER), Asking::AsOffered, report)
            .await?;
        let mut told = offered.agreement.clone();
        let source = (offered.terms.mode, offered.terms.replay.as_ref().map(replay_words));
        report.said_replay = offered.terms.replay.as_ref().and_then(count_of);
        drop(offered);
        match told.deflate() {
            None => report.fine(format!("{}: agrees on no compression", first.url())),
            Some(deflate) if deflate.client_no_context_takeover => {
                report.fine(format!(
                    "{}: compresses ({deflate}), each message of the client by itself",
                    first.url()
                ));
            }
            Some(deflate) => report.note(format!(
                "{}: compresses ({deflate}) and would let the client refer back to earlier messages; the gateway adds \
                 client_no_context_takeover to the 101, so sessions that it opens can cross",
                first.url()
            )),
        }
        if told.has_unknown_extensions() {
            report.note(format!("{}: agrees on an extension that cannot cross", first.url()));
        }
        told.ask_for_no_client_takeover();
        let asking = Asking::AsTold {
            told: &told,
            is_swallowing: false,
        };
        let answered = self.dial(second, Arrival::Carried, Some(OFFER), asking, report).await?;
        let target = (answered.terms.mode, answered.terms.replay.as_ref().map(replay_words));
        match (&source.0, &target.0) {
            (None, None) => report.note("neither 101 has a Handover-Mode; the route decides".to_owned()),
            (Some(TermsMode::Transparent), Some(TermsMode::Transparent)) => {
                report.says_transparent = Some(true);
                report.fine("both 101s say Handover-Mode: transparent".to_owned());
            }
            (Some(_), Some(_)) | (None, Some(_)) | (Some(_), None) => {
                let is_refused = source.0 == Some(TermsMode::Reconnect);
                report.says_transparent = is_refused.then_some(false);
                report.note(format!(
                    "Handover-Mode: {} at {}, {} at {}; what the server of a session says counts",
                    mode_word(source.0),
                    first.url(),
                    mode_word(target.0),
                    second.url()
                ));
            }
        }
        if let Some(replay) = &source.1 {
            report.fine(format!("{}: says Handover-Replay: {replay}", first.url()));
        }
        if source.1 != target.1 {
            report.note("the 101s differ in Handover-Replay".to_owned());
        }
        match compare(&told, &answered.agreement) {
            Ok(()) => report.fine("the 101s agree: a session of the first can be served by the second".to_owned()),
            Err(why) => report.note(format!("the 101s do not agree: {why}")),
        }
        Some(compare(&told, &answered.agreement).is_ok() && told.can_cross())
    }

    /// Finds the smallest number of openers behind which the second server answers as the first does.
    async fn find_replay(&self, second: &Station, heard: &Visit, report: &mut ProbeReport) {
        let Some((last, openers)) = self.script.split_last() else {
            report.note("no --send was given: what has to be said again to another server is not known".to_owned());
            return;
        };
        if !heard.unasked.is_empty() {
            report.speaks_unasked = true;
            report.note(format!(
                "the first server speaks unasked ({}), so its greeting cannot be told from that, nor its answers; where you \
                 know how many messages it says at once to everybody who comes, write `greeting = {{ messages = N }}` \
                 yourself, with mode = \"transparent\", and move a test board before you rely on it",
                listed(&heard.unasked)
            ));
            return;
        }
        if let Some(ending) = &heard.cut {
            report.fault(format!(
                "the first server ends the session after message {}, with {ending}; give messages that it accepts",
                heard.answers.len()
            ));
            return;
        }
        let expected = heard.last();
        if expected.is_empty() {
            report.fault(
                "the first server does not answer the last message; give one that is always answered".to_owned(),
            );
            return;
        }
        // What the server says of its replay is what the gateway goes by.
        let counts = match report.said_replay {
            Some(said) if said > openers.len() => {
                report.fault(format!(
                    "the server wants {said} messages said again: give --send for as many openers, and one message more"
                ));
                return;
            }
            Some(said) => said..=said,
            None => 0..=openers.len(),
        };
        for count in counts {
            let said = openers[..count].iter().chain([last]);
            let Some(visit) = self.visit(second, Arrival::Carried, said, report).await else {
                return;
            };
            let is_served = visit.cut.is_none() && visit.last() == expected;
            report.fine(format!(
                "{}: after {} the last message is {}",
                second.url(),
                match count {
                    0 => "none of the openers".to_owned(),
                    1 => "the first opener".to_owned(),
                    _ => format!("the first {count} openers"),
                },
                match (is_served, &visit.cut) {
                    (true, _) => "answered as at the first".to_owned(),
                    (false, Some(ending)) => format!("answered by {ending}"),
                    (false, None) => format!("answered with {}", listed(&visit.last())),
                }
            ));
            if is_served {
                let answers = &visit.answers[..count];
                report.crossing = Some(Crossing {
                    replay: count,
                    await_answer: count > 0 && answers.iter().all(|answer| !answer.is_empty()),
                    greeting: visit.opening(),
                });
                return;
            }
        }
        report.note("no replay of the openers makes the second server answer as the first does".to_owned());
    }
}

fn describe(station: &Station, heard: &Visit, report: &mut ProbeReport) {
    let url = station.url();
    match heard.greeting.len() {
        0 => report.fine(format!("{url}: says nothing before it is spoken to")),
        _ => report.fine(format!("{url}: greets newcomers with {}", listed(&heard.greeting))),
    }
    for (number, answer) in heard.answers.iter().enumerate() {
        report.fine(format!("{url}: answers message {} with {}", number + 1, listed(answer)));
    }
}

fn compare(told: &Agreement, target: &Agreement) -> Result<(), String> {
    told.compare(target).map_err(|disagreement| disagreement.to_string())
}

fn listed<T: std::fmt::Display>(forms: &[T]) -> String {
    if forms.is_empty() {
        return "nothing".to_owned();
    }
    let mut kinds: Vec<(String, usize)> = Vec::new();
    for form in forms {
        let form = form.to_string();
        match kinds.iter_mut().find(|(known, _)| *known == form) {
            Some((_, count)) => *count += 1,
            None => kinds.push((form, 1)),
        }
    }
    let mut words: Vec<String> = kinds
        .iter()
        .take(KINDS_SHOWN_MAX)
        .map(|(form, count)| match count {
            1 => form.clone(),
            _ => format!("{count} x {form}"),
        })
        .collect();
    if kinds.len() > KINDS_SHOWN_MAX {
        words.push(format!("and {} kinds more", kinds.len() - KINDS_SHOWN_MAX));
    }
    words.join(", ")
}

/// More kinds of messages tell nobody more.
const KINDS_SHOWN_MAX: usize = 8;

fn mode_word(mode: Option<TermsMode>) -> &'static str {
    match mode {
        None => "nothing",
        Some(TermsMode::Transparent) => "transparent",
        Some(TermsMode::Reconnect) => "reconnect",
    }
}

fn replay_words(replay: &Replay) -> String {
    match replay {
        Replay::None => "none".to_owned(),
        Replay::First { count, await_answer } => {
            format!("first={count}{}", if *await_answer { ";await" } else { "" })
        }
        Replay::Matching { pattern, .. } => format!("matching {pattern}"),
    }
}

fn count_of(replay: &Replay) -> Option<usize> {
    match replay {
        Replay::None => Some(0),
        Replay::First { count, .. } => usize::try_from(*count).ok(),
        Replay::Matching { .. } => None,
    }
}
