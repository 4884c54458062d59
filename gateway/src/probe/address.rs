//! Where clients connect, as a template.

use std::str::FromStr;

use handover_protocol::BoardId;
use http::Uri;

/// A WebSocket URL with a place for the board's id.
#[derive(Debug, Clone)]
pub(super) struct ProbeUrl {
    authority: String,
    /// Path and query, with one `{board}`.
    target: String,
}

impl ProbeUrl {
    /// Returns what is sent as `Host`.
    pub(super) fn authority(&self) -> &str {
        &self.authority
    }

    /// Returns path and query for a board.
    pub(super) fn target(&self, board: &BoardId) -> String {
        self.target.replace(PLACE, &board.to_url_segment())
    }

    /// Returns how a route names the board, as TOML.
    pub(super) fn board_source(&self) -> String {
        let (path, query) = self.target.split_once('?').unwrap_or((&self.target, ""));
        let parameter = query
            .split('&')
            .find_map(|pair| pair.strip_suffix(&format!("={PLACE}")));
        match parameter {
            Some(name) => format!("{{ query = {name:?}, path = {path:?} }}"),
            None => format!("{{ path = {path:?} }}"),
        }
    }
}

impl FromStr for ProbeUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (scheme, rest) = text.split_once("://").ok_or("does not begin with ws:// or http://")?;
        if !["ws", "http", "wss", "https"].contains(&scheme) {
            return Err("does not begin with ws:// or http://");
        }
        let start = rest.find('/').ok_or("has no path")?;
        let (authority, target) = rest.split_at(start);
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let in_path = path.split('/').filter(|segment| *segment == PLACE).count();
        let in_query = query
            .split('&')
            .filter(|pair| pair.ends_with(&format!("={PLACE}")))
            .count();
        if in_path + in_query != 1 || target.matches(PLACE).count() != 1 {
            return Err("needs {board} once, as a whole segment of the path or the value of a query parameter");
        }
        let is_url =
            authority.parse::<http::uri::Authority>().is_ok() && target.replace(PLACE, "b").parse::<Uri>().is_ok();
        if !is_url || authority.contains('@') || target.contains('#') {
            return Err("is no URL of a host and a path");
        }
        Ok(Self {
            authority: authority.to_owned(),
            target: target.to_owned(),
        })
    }
}

const PLACE: &str = "{board}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_board_stands_in_a_segment_or_a_parameter() {
        let check = |text: &str, expected: Option<(&str, &str)>| {
            let url = text.parse::<ProbeUrl>().ok();
            let board = "a/b".parse().unwrap();
            let read = url.as_ref().map(|url| (url.target(&board), url.board_source()));
            let expected = expected.map(|(target, source)| (target.to_owned(), source.to_owned()));
            assert_eq!(read, expected, "{text}");
        };
        check(
            "ws://app/boards/{board}/ws?user=x",
            Some(("/boards/a%2Fb/ws?user=x", r#"{ path = "/boards/{board}/ws" }"#)),
        );
        check(
            "ws://app:80/ws?a=1&room={board}",
            Some(("/ws?a=1&room=a%2Fb", r#"{ query = "room", path = "/ws" }"#)),
        );
        check("ws://app/ws", None);
        check("ws://app/x-{board}/ws", None);
        check("ws://app/{board}/{board}", None);
        check("ws://app", None);
        check("ftp://app/{board}", None);
    }
}
