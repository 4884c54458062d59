//! What a probe found, which modes hold, and the lines of configuration that follow.

use std::fmt::Write;

use serde::Serialize;
use serde_json::{Value, json};

use crate::shell::{Data, flatten};

/// How sessions may cross.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Mode {
    Reconnect,
    Transparent,
    Stay,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Finding {
    weight: Weight,
    detail: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Weight {
    /// As it should be, or neither good nor bad.
    Fine,
    /// Worth knowing.
    Note,
    /// The probe could not go on there.
    Fault,
}

/// What a session needs to be served by the second server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Crossing {
    /// How many of its first messages are said again.
    pub replay: usize,
    /// Whether each of them is answered.
    pub await_answer: bool,
    /// What the server says meanwhile, which the client has heard before.
    pub greeting: usize,
}

/// The verdict on one mode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Verdict {
    mode: Mode,
    holds: bool,
    why: String,
}

/// The report of a probe.
#[derive(Debug)]
pub(super) struct ProbeReport {
    board_source: String,
    findings: Vec<Finding>,
    /// Both servers open sessions.
    pub sessions_open: bool,
    /// The 101s agree.
    pub agree: bool,
    /// What the servers say of it themselves.
    pub says_transparent: Option<bool>,
    /// How many first messages the server wants said again, where it tells.
    pub said_replay: Option<usize>,
    /// One of them does not speak the contract.
    pub is_opaque: bool,
    /// The first server says things of its own accord, so that its greeting is not known.
    pub speaks_unasked: bool,
    /// How a session gets across; absent where that is not known.
    pub crossing: Option<Crossing>,
}

impl ProbeReport {
    pub(super) fn new(board_source: String) -> Self {
        Self {
            board_source,
            findings: Vec::new(),
            sessions_open: false,
            agree: false,
            says_transparent: None,
            said_replay: None,
            is_opaque: true,
            speaks_unasked: false,
            crossing: None,
        }
    }

    pub(super) fn fine(&mut self, detail: String) {
        self.find(Weight::Fine, detail);
    }

    pub(super) fn note(&mut self, detail: String) {
        self.find(Weight::Note, detail);
    }

    pub(super) fn fault(&mut self, detail: String) {
        self.find(Weight::Fault, detail);
    }

    fn find(&mut self, weight: Weight, detail: String) {
        let finding = Finding { weight, detail };
        if !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
    }

    /// Reads whether nothing kept the probe from its end.
    pub(super) fn is_complete(&self) -> bool {
        self.sessions_open && self.findings.iter().all(|finding| finding.weight != Weight::Fault)
    }

    /// Reads whether a mode holds.
    pub(super) fn holds(&self, mode: Mode) -> bool {
        self.verdicts()
            .iter()
            .any(|verdict| verdict.mode == mode && verdict.holds)
    }

    fn verdicts(&self) -> [Verdict; 3] {
        let verdict = |mode, holds, why: &str| Verdict {
            mode,
            holds,
            why: why.to_owned(),
        };
        let reconnect = if self.sessions_open {
            verdict(Mode::Reconnect, true, "both servers open sessions for who comes back")
        } else {
            verdict(
                Mode::Reconnect,
                false,
                "not both servers open sessions; see the findings",
            )
        };
        let transparent = match (self.sessions_open, self.says_transparent, self.agree, self.crossing) {
            (false, ..) => verdict(Mode::Transparent, false, "not both servers open sessions"),
            (true, Some(false), ..) => verdict(Mode::Transparent, false, "the server says Handover-Mode: reconnect"),
            (true, _, false, _) => verdict(Mode::Transparent, false, "the 101s do not agree"),
            (true, _, true, None) if self.speaks_unasked => verdict(
                Mode::Transparent,
                false,
                "the server speaks unasked, so its greeting is not known; see the findings",
            ),
            (true, _, true, None) => verdict(
                Mode::Transparent,
                false,
                "it is not known what makes the second server answer; see the findings",
            ),
            (true, _, true, Some(crossing)) => {
                let said = match crossing.replay {
                    0 => "nothing has to be said again".to_owned(),
                    count => format!("{count} of the client's first messages are said again"),
                };
                let risk = if self.is_opaque {
                    "; between opaque servers what is not saved within settle is lost"
                } else {
                    ""
                };
                verdict(Mode::Transparent, true, &format!("{said}{risk}"))
            }
        };
        [
            transparent,
            reconnect,
            verdict(Mode::Stay, true, "always: a drain waits until boards are closed"),
        ]
    }

    /// Writes the route that the findings call for.
    fn route(&self) -> String {
        let mut text = format!("[[routes]]\nname = \"boards\"\nboard = {}\n", self.board_source);
        if !self.holds(Mode::Transparent) {
            let mode = if self.holds(Mode::Reconnect) {
                "reconnect"
            } else {
                "stay"
            };
            let _ = writeln!(text, "mode = \"{mode}\"");
            return text;
        }
        // Between contract servers that say so, auto is enough.
        let mode = match (self.is_opaque, self.says_transparent) {
            (true, _) => "mode = \"auto\"\nopaque_transparent = true\n",
            (false, Some(true)) => "mode = \"auto\"\n",
            (false, Some(false) | None) => "mode = \"transparent\"\n",
        };
        text.push_str(mode);
        let Some(crossing) = self.crossing else {
            return text;
        };
        if crossing.replay > 0 && self.said_replay.is_none() {
            let _ = writeln!(
                text,
                "replay = {{ first = {}, await_answer = {} }}",
                crossing.replay, crossing.await_answer
            );
        }
        if crossing.greeting > 0 {
            let _ = writeln!(text, "greeting = {{ messages = {} }}", crossing.greeting);
        }
        text
    }
}

impl Data for ProbeReport {
    fn text(&self) -> String {
        let mut text = String::new();
        for finding in &self.findings {
            let mark = match finding.weight {
                Weight::Fine => "+",
                Weight::Note => "!",
                Weight::Fault => "x",
            };
            let _ = writeln!(text, "[{mark}] {}", finding.detail);
        }
        text.push('\n');
        for verdict in self.verdicts() {
            let mode = format!("{:?}", verdict.mode).to_lowercase();
            let holds = if verdict.holds { "holds" } else { "does not hold" };
            let _ = writeln!(text, "{mode:<12} {holds:<14} {}", verdict.why);
        }
        let _ = write!(text, "\n{}", self.route());
        text
    }

    fn json(&self) -> Value {
        json!({
            "complete": self.is_complete(),
            "findings": self.findings,
            "verdicts": self.verdicts(),
            "crossing": self.crossing,
            "route": self.route(),
        })
    }

    fn env(&self) -> Vec<(String, String)> {
        let holds = |mode: Mode| json!(self.holds(mode));
        let short = json!({
            "complete": self.is_complete(),
            "transparent": holds(Mode::Transparent),
            "reconnect": holds(Mode::Reconnect),
            "stay": holds(Mode::Stay),
            "crossing": self.crossing,
        });
        flatten("HANDOVER_PROBE", &short)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(report: impl FnOnce(&mut ProbeReport)) -> ProbeReport {
        let mut made = ProbeReport::new("{ path = \"/{board}\" }".to_owned());
        made.sessions_open = true;
        made.agree = true;
        report(&mut made);
        made
    }

    const CROSSING: Crossing = Crossing {
        replay: 1,
        await_answer: true,
        greeting: 1,
    };

    #[test]
    fn transparent_holds_only_where_everything_about_it_is_known() {
        let check = |report: ProbeReport, holds: bool, line: &str| {
            assert_eq!(report.holds(Mode::Transparent), holds, "{report:?}");
            assert!(report.route().contains(line), "{}", report.route());
        };
        check(
            found(|report| report.crossing = Some(CROSSING)),
            true,
            "opaque_transparent = true",
        );
        check(found(|_| {}), false, "mode = \"reconnect\"");
        check(
            found(|report| {
                report.crossing = Some(CROSSING);
                report.agree = false;
            }),
            false,
            "mode = \"reconnect\"",
        );
        check(
            found(|report| {
                report.crossing = Some(CROSSING);
                report.says_transparent = Some(false);
            }),
            false,
            "mode = \"reconnect\"",
        );
        check(found(|report| report.sessions_open = false), false, "mode = \"stay\"");
    }
}
