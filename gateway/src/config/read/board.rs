//! Reads where a route's requests name their board.

use http::HeaderName;

use super::non_empty;
use super::tree::Item;
use crate::config::{BoardSource, PathPattern, PathPatternFault};

/// Reads `{ path }`, or one of `{ query }`, `{ header }`, `{ cookie }` with or without `path`.
pub(super) fn read_board(item: &Item<'_>) -> Option<BoardSource> {
    let fix = "write { path = \"/boards/{board}/ws\" }, or { query = \"board\", path = \"/ws\" }; header and cookie go \
               like query";
    let mut section = item.section(fix)?;
    let path = section.take("path");
    let named: Vec<(&str, Item<'_>)> = ["query", "header", "cookie"]
        .into_iter()
        .filter_map(|kind| Some((kind, section.take(kind)?)))
        .collect();
    section.close();
    match (named.as_slice(), path) {
        ([], None) => {
            item.spot.fault("does not say where the board stands", fix);
            None
        }
        ([], Some(path)) => read_pattern(&path, BoardSegment::Required).map(BoardSource::Path),
        ([(kind, name)], path) => {
            let path = match path {
                Some(path) => Some(read_pattern(&path, BoardSegment::Forbidden)?),
                None => None,
            };
            let text = non_empty(name, "name it")?;
            match *kind {
                "query" => Some(BoardSource::Query {
                    path,
                    name: text.into(),
                }),
                "header" => read_header_name(name, text).map(|name| BoardSource::Header { path, name }),
                _ => read_cookie_name(name, text).map(|name| BoardSource::Cookie { path, name }),
            }
        }
        ([_, (_, second), ..], _) => {
            second.spot.fault(
                "is a second place for the board",
                "leave one of query, header and cookie",
            );
            None
        }
    }
}

/// Whether a path pattern names the board.
#[derive(Clone, Copy, PartialEq, Eq)]
enum BoardSegment {
    Required,
    Forbidden,
}

fn read_pattern(item: &Item<'_>, board: BoardSegment) -> Option<PathPattern> {
    let pattern = match PathPattern::parse(item.text()?) {
        Ok(pattern) => pattern,
        Err(error) => {
            item.spot.fault(error.to_string(), pattern_fix(error));
            return None;
        }
    };
    match (board, pattern.has_board()) {
        (BoardSegment::Required, true) | (BoardSegment::Forbidden, false) => Some(pattern),
        (BoardSegment::Required, false) => {
            let fix = "write {board} in the place of one segment: \"/boards/{board}/ws\"";
            item.spot.fault("has no {board}", fix);
            None
        }
        (BoardSegment::Forbidden, true) => {
            let fix = "remove the query, header or cookie, or write * in the place of {board}";
            item.spot.fault("has a {board}, which is named elsewhere", fix);
            None
        }
    }
}

fn pattern_fix(fault: PathPatternFault) -> &'static str {
    match fault {
        PathPatternFault::NoSlash => "begin it with a slash: \"/boards/{board}/ws\"",
        PathPatternFault::EmptySegment => "remove the slash that is too many; end in /** to take what follows",
        PathPatternFault::DotSegment => "write the path without dot segments",
        PathPatternFault::SecondBoard => "leave one {board} and write * for the other segment",
        PathPatternFault::RestNotLast => "write * for each single segment; ** stands only at the end",
        PathPatternFault::PartOfSegment => "give {board}, * and ** a whole segment each: \"/boards/{board}/*/**\"",
        PathPatternFault::Letter => "percent-encode it, and leave the query out: { query = \"board\", path = \"/ws\" }",
    }
}

fn read_header_name(item: &Item<'_>, name: &str) -> Option<HeaderName> {
    let Ok(name) = name.parse::<HeaderName>() else {
        let fix = "write one word, such as \"X-Board\"";
        item.spot.fault("is not the name of a header", fix);
        return None;
    };
    if name.as_str().starts_with("handover-") {
        let fix = "use a header whose name does not begin with Handover-";
        item.spot.fault("is stripped from every request", fix);
        return None;
    }
    Some(name)
}

fn read_cookie_name(item: &Item<'_>, name: &str) -> Option<Box<str>> {
    let is_letter = |byte: u8| byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?={}".contains(&byte);
    if !name.bytes().all(is_letter) {
        item.spot
            .fault("is not the name of a cookie", "use letters, digits and - _ .");
        return None;
    }
    Some(name.into())
}
