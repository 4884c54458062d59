//! Where a request names its board.
//!
//! One place per route, decoded once. A request that names a board twice is refused: gateway and server might each
//! believe another one.

use std::borrow::Cow;

use handover_protocol::{BoardId, IdError};
use http::HeaderName;
use http::header::COOKIE;
use http::request::Parts;
use percent_encoding::percent_decode_str;

use super::path_pattern::PathPattern;

/// Where a request names its board.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BoardSource {
    /// In the path, at the pattern's `{board}`.
    Path(PathPattern),
    /// In a query parameter, form-encoded.
    Query {
        /// Which paths are the route's; all where absent.
        path: Option<PathPattern>,
        /// The decoded name of the parameter.
        name: Box<str>,
    },
    /// In a header, as it stands.
    Header {
        /// Which paths are the route's; all where absent.
        path: Option<PathPattern>,
        /// The header.
        name: HeaderName,
    },
    /// In a cookie, percent-encoded, with or without quotes.
    Cookie {
        /// Which paths are the route's; all where absent.
        path: Option<PathPattern>,
        /// The cookie's name.
        name: Box<str>,
    },
}

impl BoardSource {
    /// Returns the board that a request names; none where the request is not this source's.
    ///
    /// Where a path pattern matches, a request without a board is this source's and refused; without a pattern it is
    /// left to the next route.
    pub fn board_of(&self, parts: &Parts) -> Option<Result<BoardId, BoardIdFault>> {
        match self {
            Self::Path(pattern) => pattern
                .match_path(parts.uri.path())
                .map(|board| board.and_then(|board| board.ok_or(BoardIdFault::Missing))),
            Self::Query { path, name } => found_within(path.as_ref(), parts, || board_of_query(name, parts)),
            Self::Header { path, name } => found_within(path.as_ref(), parts, || board_of_header(name, parts)),
            Self::Cookie { path, name } => found_within(path.as_ref(), parts, || board_of_cookie(name, parts)),
        }
    }

    /// Reads whether every request that names a board for `other` is taken by this source as well.
    pub(super) fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Path(mine), _) => other.path().is_some_and(|theirs| mine.covers(theirs)),
            (Self::Query { path, name: mine }, Self::Query { name: theirs, .. })
            | (Self::Cookie { path, name: mine }, Self::Cookie { name: theirs, .. }) => {
                path_covers(path.as_ref(), other.path(), mine == theirs)
            }
            (Self::Header { path, name: mine }, Self::Header { name: theirs, .. }) => {
                path_covers(path.as_ref(), other.path(), mine == theirs)
            }
            (Self::Query { path, .. } | Self::Header { path, .. } | Self::Cookie { path, .. }, _) => {
                path_covers(path.as_ref(), other.path(), false)
            }
        }
    }

    fn path(&self) -> Option<&PathPattern> {
        match self {
            Self::Path(pattern) => Some(pattern),
            Self::Query { path, .. } | Self::Header { path, .. } | Self::Cookie { path, .. } => path.as_ref(),
        }
    }
}

/// With a pattern a source takes whatever the pattern matches; without one, what bears the same name.
fn path_covers(mine: Option<&PathPattern>, theirs: Option<&PathPattern>, same_name: bool) -> bool {
    match (mine, theirs) {
        (Some(mine), Some(theirs)) => mine.covers(theirs),
        (Some(_), None) => false,
        (None, Some(_) | None) => same_name,
    }
}

fn found_within(
    path: Option<&PathPattern>,
    parts: &Parts,
    find: impl FnOnce() -> Result<BoardId, BoardIdFault>,
) -> Option<Result<BoardId, BoardIdFault>> {
    match path.map(|pattern| pattern.match_path(parts.uri.path())) {
        Some(None) => None,
        Some(Some(Err(fault))) => Some(Err(fault)),
        Some(Some(Ok(_))) => Some(find()),
        None => match find() {
            Err(BoardIdFault::Missing) => None,
            found => Some(found),
        },
    }
}

/// Reads one parameter of a form-encoded query.
///
/// Some servers separate at `;` as well: where that would make another board of it, the request is refused.
fn board_of_query(name: &str, parts: &Parts) -> Result<BoardId, BoardIdFault> {
    let names_board = |pair: &&str| {
        let key = pair.split_once('=').map_or(*pair, |(key, _)| key);
        form_decoded(key).as_deref() == Some(name)
    };
    let query = parts.uri.query().unwrap_or_default();
    let mut pairs = query
        .split('&')
        .filter(|pair| pair.split(';').any(|part| names_board(&part)));
    let pair = only(&mut pairs)?;
    if pair.contains(';') {
        return Err(BoardIdFault::Separator);
    }
    let value = pair.split_once('=').map_or("", |(_, value)| value);
    form_decoded(value)
        .ok_or(BoardIdFault::Encoding)?
        .parse()
        .map_err(BoardIdFault::Id)
}

fn board_of_header(name: &HeaderName, parts: &Parts) -> Result<BoardId, BoardIdFault> {
    let value = only(&mut parts.headers.get_all(name).iter())?;
    let text = std::str::from_utf8(value.as_bytes()).map_err(|_| BoardIdFault::Encoding)?;
    text.trim().parse().map_err(BoardIdFault::Id)
}

fn board_of_cookie(name: &str, parts: &Parts) -> Result<BoardId, BoardIdFault> {
    let headers = parts.headers.get_all(COOKIE).iter();
    let mut values = headers
        .flat_map(|header| header.as_bytes().split(|byte| *byte == b';'))
        .filter_map(|pair| {
            let equals = pair.iter().position(|byte| *byte == b'=')?;
            (pair[..equals].trim_ascii() == name.as_bytes()).then(|| pair[equals + 1..].trim_ascii())
        });
    let value = only(&mut values)?;
    let quoted = value.strip_prefix(b"\"").and_then(|inner| inner.strip_suffix(b"\""));
    let text = std::str::from_utf8(quoted.unwrap_or(value)).map_err(|_| BoardIdFault::Encoding)?;
    decoded(text)
        .ok_or(BoardIdFault::Encoding)?
        .parse()
        .map_err(BoardIdFault::Id)
}

/// Returns the one value that there is.
fn only<T>(values: &mut impl Iterator<Item = T>) -> Result<T, BoardIdFault> {
    let value = values.next().ok_or(BoardIdFault::Missing)?;
    match values.next() {
        None => Ok(value),
        Some(_) => Err(BoardIdFault::Repeated),
    }
}

fn form_decoded(text: &str) -> Option<String> {
    let spaced: Cow<'_, str> = if text.contains('+') {
        text.replace('+', " ").into()
    } else {
        text.into()
    };
    decoded(&spaced)
}

/// Decodes percent-encoding exactly once; none where an escape is broken or the bytes are no UTF-8.
fn decoded(text: &str) -> Option<String> {
    let mut escapes = text.split('%').skip(1);
    let are_whole = escapes.all(|rest| {
        let digits = rest.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    });
    are_whole
        .then(|| percent_decode_str(text).decode_utf8().ok().map(Cow::into_owned))
        .flatten()
}

/// Says why a request that is a route's names no board; to be answered with 400.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BoardIdFault {
    /// The place where the board should stand is not there.
    #[error("the request names no board")]
    Missing,
    /// The board is named more than once.
    #[error("the request names its board more than once")]
    Repeated,
    /// What stands there is no id.
    #[error("the board id {0}")]
    Id(#[source] IdError),
    /// What stands there is badly encoded.
    #[error("the board id is not percent-encoded UTF-8")]
    Encoding,
    /// A server could cut the query at a `;`.
    #[error("the query has a `;` beside the board's parameter")]
    Separator,
    /// A server could fold the path to another one.
    #[error("the path has a dot segment")]
    DotSegment,
    /// A server could cut the id at its `;`.
    #[error("the board id has a path parameter")]
    PathParameter,
    /// A server that decodes slashes would see an empty segment.
    #[error("the board id has an empty part between slashes")]
    EmptyPart,
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn outcome(source: &BoardSource, uri: &str, headers: &[(&str, &str)]) -> String {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, value.as_bytes());
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        match source.board_of(&parts) {
            None => "another route's".into(),
            Some(Ok(board)) => format!("board {}", board.as_str()),
            Some(Err(fault)) => format!("{fault:?}"),
        }
    }

    #[test]
    fn a_query_parameter_names_the_board_once() {
        let query = |path: Option<&str>| BoardSource::Query {
            path: path.map(|path| PathPattern::parse(path).unwrap()),
            name: "board".into(),
        };
        let check = |path: Option<&str>, uri: &str, expected: &str| {
            assert_eq!(outcome(&query(path), uri, &[]), expected, "{uri} within {path:?}");
        };
        check(None, "/ws?board=7", "board 7");
        check(None, "/ws?x=1&board=a+b%2Fc", "board a b/c");
        check(None, "/ws?board=7&board=8", "Repeated");
        check(None, "/ws?board=7&bo%61rd=8", "Repeated");
        check(None, "/ws?x=1;board=8&board=7", "Repeated");
        check(None, "/ws?x=1;board=8", "Separator");
        check(None, "/ws?board=8;x=1", "Separator");
        check(None, "/ws?x=1;y=2&board=7", "board 7");
        check(None, "/ws?board=", "Id(Empty)");
        check(None, "/ws?board", "Id(Empty)");
        check(None, "/ws?board=%zz", "Encoding");
        check(None, "/ws?board=%ff", "Encoding");
        check(None, "/ws?other=7", "another route's");
        check(None, "/", "another route's");
        check(Some("/ws"), "/ws?board=7", "board 7");
        check(Some("/ws"), "/ws", "Missing");
        check(Some("/ws"), "/other?board=7", "another route's");
        check(Some("/**"), "/../ws?board=7", "DotSegment");
    }

    #[test]
    fn a_header_names_the_board_once() {
        let source = BoardSource::Header {
            path: None,
            name: HeaderName::from_static("x-board"),
        };
        let check = |headers: &[(&str, &str)], expected: &str| {
            assert_eq!(outcome(&source, "/ws", headers), expected, "{headers:?}");
        };
        check(&[("X-Board", "a%20b")], "board a%20b");
        check(&[("X-Board", "bürö")], "board bürö");
        check(&[("X-Board", "7"), ("x-board", "8")], "Repeated");
        check(&[("X-Board", "")], "Id(Empty)");
        check(&[], "another route's");
    }

    #[test]
    fn a_cookie_names_the_board_once() {
        let source = BoardSource::Cookie {
            path: Some(PathPattern::parse("/ws").unwrap()),
            name: "board".into(),
        };
        let check = |headers: &[(&str, &str)], expected: &str| {
            assert_eq!(outcome(&source, "/ws", headers), expected, "{headers:?}");
        };
        check(&[("Cookie", "a=1; board=7; c")], "board 7");
        check(&[("Cookie", "board=\"a%20b\"")], "board a b");
        check(&[("Cookie", "xboard=7")], "Missing");
        check(&[("Cookie", "board=7"), ("Cookie", "board=8")], "Repeated");
        check(&[("Cookie", "board=%4")], "Encoding");
    }

    #[test]
    fn a_source_covers_what_it_would_take_first() {
        let query = |path: Option<&str>, name: &str| BoardSource::Query {
            path: path.map(|path| PathPattern::parse(path).unwrap()),
            name: name.into(),
        };
        let path = |text: &str| BoardSource::Path(PathPattern::parse(text).unwrap());
        let check = |first: &BoardSource, second: &BoardSource, expected: bool| {
            assert_eq!(first.covers(second), expected, "{first:?} before {second:?}");
        };
        check(&query(None, "b"), &query(None, "b"), true);
        check(&query(None, "b"), &query(None, "c"), false);
        check(&query(None, "b"), &query(Some("/x"), "b"), true);
        check(&query(Some("/x"), "b"), &query(Some("/x"), "c"), true);
        check(&query(Some("/*"), "b"), &path("/{board}"), true);
        check(&path("/{board}"), &query(Some("/x"), "b"), true);
        check(&path("/{board}"), &query(None, "b"), false);
    }
}
