//! The HTTP hook that a route asks whether an opaque server has saved a board.

use std::sync::Arc;

use handover_protocol::BoardId;

use super::server::{ServerUrl, ServerUrlFault};

/// A URL that is asked after the last upstream of a board has ended; a 2xx answer says that the board is saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettleHook {
    server: ServerUrl,
    /// Path and query, with `{board}` in any place or none.
    target: Arc<str>,
}

impl SettleHook {
    /// Reads a URL such as `http://127.0.0.1:9200/saved/{board}`.
    ///
    /// # Errors
    /// When it is no `http` URL with a host, or its path is none.
    pub fn parse(text: &str) -> Result<Self, ServerUrlFault> {
        let authority_at = text.find("://").ok_or(ServerUrlFault::Scheme)? + "://".len();
        let target_at = text[authority_at..]
            .find(['/', '?', '#'])
            .map_or(text.len(), |at| authority_at + at);
        let (server, target) = text.split_at(target_at);
        let target = if target.is_empty() { "/" } else { target };
        let is_target = |target: &str| target.parse::<http::uri::PathAndQuery>().is_ok();
        if !target.starts_with('/') || target.contains('#') || !is_target(&target.replace(PLACEHOLDER, "x")) {
            return Err(ServerUrlFault::Path);
        }
        let server: ServerUrl = server.parse()?;
        if server.is_tls() {
            return Err(ServerUrlFault::Tls);
        }
        Ok(Self {
            server,
            target: target.into(),
        })
    }

    /// Returns who is asked.
    pub fn server(&self) -> &ServerUrl {
        &self.server
    }

    /// Returns the path and query for one board, its id percent-encoded.
    pub fn target_for(&self, board: &BoardId) -> String {
        self.target.replace(PLACEHOLDER, &board.to_url_segment())
    }
}

const PLACEHOLDER: &str = "{board}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hook_names_the_board_in_its_path_or_query() {
        let check = |text: &str, expected: Result<(&str, &str), ServerUrlFault>| {
            let board = "a/b".parse().unwrap();
            let read =
                SettleHook::parse(text).map(|hook| (hook.server().authority().to_owned(), hook.target_for(&board)));
            let expected = expected.map(|(authority, target)| (authority.to_owned(), target.to_owned()));
            assert_eq!(read, expected, "{text}");
        };
        check("http://h:1/saved/{board}", Ok(("h:1", "/saved/a%2Fb")));
        check("http://h:1/saved?b={board}", Ok(("h:1", "/saved?b=a%2Fb")));
        check("http://h", Ok(("h:80", "/")));
        check("http://h/a b", Err(ServerUrlFault::Path));
        check("http://h/a#b", Err(ServerUrlFault::Path));
        check("https://h/a", Err(ServerUrlFault::Tls));
        check("h/a", Err(ServerUrlFault::Scheme));
    }
}
