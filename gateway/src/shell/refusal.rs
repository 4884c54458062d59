//! What the gateway said instead of an answer.

use std::fmt;

use handover_protocol::admin::ConfigFinding;
use http::StatusCode;
use serde::Deserialize;

/// A refusal, as far as it could be read: a newer gateway may know problems that this shell does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: StatusCode,
    /// The problem's type; absent where the answer was no problem.
    pub kind: Option<String>,
    /// What exactly.
    pub detail: String,
    /// The part of the request at fault.
    pub field: Option<String>,
    /// The drain that stands in the way.
    pub drain: Option<String>,
    /// Everything that is wrong with the gateway's configuration.
    pub faults: Vec<ConfigFinding>,
}

#[derive(Deserialize)]
struct Body {
    #[serde(rename = "type")]
    kind: String,
    title: String,
    #[serde(default)]
    detail: Option<String>,
    #[serde(default)]
    field: Option<String>,
    #[serde(default)]
    drain: Option<String>,
    #[serde(default)]
    faults: Vec<ConfigFinding>,
}

impl Refusal {
    /// Reads a problem, or keeps the beginning of what else it is.
    pub fn read(status: StatusCode, body: &[u8]) -> Self {
        match serde_json::from_slice::<Body>(body) {
            Ok(body) => Self {
                status,
                detail: in_the_shells_words(body.detail.unwrap_or(body.title)),
                kind: Some(body.kind),
                field: body.field,
                drain: body.drain,
                faults: body.faults,
            },
            Err(_) => Self {
                status,
                kind: None,
                detail: String::from_utf8_lossy(body).chars().take(DETAIL_LETTERS_MAX).collect(),
                field: None,
                drain: None,
                faults: Vec::new(),
            },
        }
    }

    /// Reads whether the problem is of a type.
    pub fn is(&self, kind: &str) -> bool {
        self.kind.as_deref() == Some(kind)
    }

    /// Reads whether the gateway has no such path: it is older than this shell.
    pub fn is_unknown_path(&self) -> bool {
        self.is("unknown-path") || self.is("method-not-allowed")
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind.as_deref().unwrap_or("not a gateway's answer");
        write!(formatter, "{} ({kind}, {})", self.detail.trim(), self.status.as_u16())?;
        if let Some(field) = &self.field {
            write!(formatter, "\n  at: {field}")?;
        }
        if let Some(drain) = &self.drain {
            write!(formatter, "\n  see: handover drain show {drain}")?;
        }
        for fault in &self.faults {
            write!(formatter, "\n  {}", finding(fault))?;
        }
        match self.status {
            StatusCode::UNAUTHORIZED => formatter
                .write_str("\n  give --token-file or HANDOVER_TOKEN_FILE, or --client-certificate and --client-key"),
            _ => Ok(()),
        }
    }
}

/// Names commands where the gateway, which may be talking to anybody, names its calls.
fn in_the_shells_words(detail: String) -> String {
    let words = [
        (
            "GET /v1/boards/{id}/sessions lists those of a board",
            "`handover boards sessions BOARD` lists those of a board",
        ),
        ("GET /v1/drains lists all", "`handover drain list` lists all"),
        ("GET /v1/servers lists all", "`handover servers` lists all"),
    ];
    let said = |detail: String, (call, command): (&str, &str)| detail.replace(call, command);
    words.into_iter().fold(detail, said)
}

/// Writes what is wrong with a configuration on one line: where, what, and the way out.
pub(super) fn finding(finding: &ConfigFinding) -> String {
    let mut text = finding.line.map_or(String::new(), |line| format!("line {line}: "));
    if let Some(variable) = &finding.environment {
        text += &format!("from the environment variable {variable}: ");
    }
    if !finding.key.is_empty() {
        text += &format!("{} ", finding.key);
    }
    if let Some(name) = &finding.name {
        text += &format!("(\"{name}\") ");
    }
    text + &format!("{}; {}", finding.problem, finding.fix)
}

/// Of a page that is no problem, its beginning tells enough.
const DETAIL_LETTERS_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_what_stands_in_the_way() {
        let body =
            br#"{"type":"drain-conflict","status":409,"title":"t","detail":"drain a empties board-1","drain":"a"}"#;
        let refusal = Refusal::read(StatusCode::CONFLICT, body);
        assert!(refusal.is("drain-conflict"));
        assert_eq!(
            refusal.to_string(),
            "drain a empties board-1 (drain-conflict, 409)\n  see: handover drain show a"
        );
    }

    #[test]
    fn the_way_out_is_a_command() {
        let body =
            br#"{"type":"unknown-drain","title":"t","detail":"no drain has the id x; GET /v1/drains lists all"}"#;
        let refusal = Refusal::read(StatusCode::NOT_FOUND, body);
        assert_eq!(refusal.detail, "no drain has the id x; `handover drain list` lists all");
    }

    #[test]
    fn a_type_of_a_newer_gateway_and_a_page_of_another_program_are_told_as_they_are() {
        let newer = Refusal::read(
            StatusCode::CONFLICT,
            br#"{"type":"server-tired","title":"It is tired"}"#,
        );
        assert_eq!(newer.to_string(), "It is tired (server-tired, 409)");
        let other = Refusal::read(StatusCode::NOT_FOUND, b"<h1>not here</h1>\n");
        assert_eq!(other.to_string(), "<h1>not here</h1> (not a gateway's answer, 404)");
        assert!(!other.is_unknown_path());
    }
}
