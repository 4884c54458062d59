//! Servers, as they are printed.

use handover_protocol::admin::{DeathReport, ServerList, ServerView};
use serde_json::{Value, json};

use super::print::{Data, flatten, table};
use super::words::spelled;

impl Data for ServerList {
    fn text(&self) -> String {
        let rows: Vec<_> = self.servers.iter().map(row).collect();
        table(
            [
                "NAME", "RELEASE", "STATE", "LEVEL", "BOARDS", "CAPACITY", "SESSIONS", "WEIGHT", "NEW", "SAFE", "NOTE",
            ],
            &rows,
        )
    }

    fn json(&self) -> Value {
        json!(self)
    }

    fn lines(&self) -> Vec<Value> {
        self.servers.iter().map(|server| json!(server)).collect()
    }

    fn env(&self) -> Vec<(String, String)> {
        let mut pairs = vec![("HANDOVER_SERVERS_COUNT".to_owned(), self.servers.len().to_string())];
        for (number, server) in self.servers.iter().enumerate() {
            pairs.extend(flatten(&format!("HANDOVER_SERVERS_{number}"), &json!(server)));
        }
        pairs
    }
}

fn row(server: &ServerView) -> [String; 11] {
    [
        server.name.to_string(),
        server.release.to_string(),
        spelled(&server.state),
        spelled(&server.level),
        server.boards.to_string(),
        server.capacity.map_or("-".to_owned(), |boards| boards.to_string()),
        server.sessions.to_string(),
        server.weight.to_string(),
        yes_or_no(server.new_boards),
        yes_or_no(server.safe_to_terminate),
        note(server),
    ]
}

fn yes_or_no(claim: bool) -> String {
    if claim { "yes" } else { "no" }.to_owned()
}

/// Says in a few words what is special about a server.
pub(super) fn note(server: &ServerView) -> String {
    match (&server.reason, &server.drain) {
        (Some(reason), _) => reason.clone(),
        (None, Some(drain)) => format!("drain {drain}"),
        (None, None) => String::new(),
    }
}

impl Data for ServerView {
    fn text(&self) -> String {
        let mut lines = vec![
            ("name", self.name.to_string()),
            ("state", spelled(&self.state)),
            ("release", self.release.to_string()),
            ("url", self.url.clone()),
            ("level", spelled(&self.level)),
            ("boards", self.boards.to_string()),
            ("sessions", self.sessions.to_string()),
            ("weight", self.weight.to_string()),
            (
                "capacity",
                self.capacity.map_or("no limit".to_owned(), |boards| boards.to_string()),
            ),
            ("new boards", yes_or_no(self.new_boards)),
            ("safe to terminate", yes_or_no(self.safe_to_terminate)),
            ("named in", spelled(&self.origin)),
        ];
        if !note(self).is_empty() {
            lines.insert(2, ("because", note(self)));
        }
        if let Some(tls) = &self.tls {
            let believed = tls.ca_file.as_deref().unwrap_or("whom its system trusts");
            lines.push(("believed by", believed.to_owned()));
            let more = [
                ("under the name", &tls.server_name),
                ("is shown", &tls.client_certificate_file),
            ];
            lines.extend(more.into_iter().filter_map(|(key, value)| Some((key, value.clone()?))));
        }
        if let Some(incarnation) = &self.incarnation {
            lines.push(("incarnation", incarnation.to_string()));
        }
        for (key, value) in &self.labels {
            lines.push(("label", format!("{key}={value}")));
        }
        lines
            .iter()
            .map(|(key, value)| format!("{key:<18} {value}\n"))
            .collect()
    }

    fn json(&self) -> Value {
        json!(self)
    }

    fn env(&self) -> Vec<(String, String)> {
        flatten("HANDOVER_SERVER", &self.json())
    }
}

impl Data for DeathReport {
    fn text(&self) -> String {
        format!(
            "{}: {} boards go to other servers, {} sessions are told to reconnect, {} of them unconfirmed\n",
            self.server, self.boards, self.sessions, self.unconfirmed_sessions
        )
    }

    fn json(&self) -> Value {
        json!(self)
    }

    fn env(&self) -> Vec<(String, String)> {
        flatten("HANDOVER_DEAD", &self.json())
    }
}
