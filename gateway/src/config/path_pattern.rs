//! Path patterns: literal segments, `{board}` for the board's segment, `*` for any one, a trailing `**` for the rest.
//!
//! Matching is strict, for a request that this gateway and a server read differently is routed by one board and served
//! as another: literals are compared as they were sent, nothing is normalised, and what a server might fold away (dot
//! segments, path parameters) is refused wherever a pattern takes a segment that it does not spell out.

use std::fmt;

use handover_protocol::BoardId;

use super::board_source::BoardIdFault;

/// A path pattern with at most one `{board}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathPattern {
    segments: Vec<Segment>,
    /// The pattern ends in `**`: any further segments, also none, belong to it.
    takes_rest: bool,
}

/// One segment of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Literal(Box<str>),
    Any,
    Board,
}

impl PathPattern {
    /// Reads a pattern, with or without a `{board}`.
    ///
    /// # Errors
    /// When it does not start with a slash, holds an empty or dot segment, a second `{board}`, a `**` before its end,
    /// or a mark that is no part of a path.
    pub fn parse(text: &str) -> Result<Self, PathPatternFault> {
        let path = text.strip_prefix('/').ok_or(PathPatternFault::NoSlash)?;
        let mut pattern = Self {
            segments: Vec::new(),
            takes_rest: false,
        };
        if path.is_empty() {
            pattern.segments.push(Segment::Literal("".into()));
            return Ok(pattern);
        }
        for text in path.split('/') {
            if pattern.takes_rest {
                return Err(PathPatternFault::RestNotLast);
            }
            match text {
                "**" => pattern.takes_rest = true,
                "*" => pattern.segments.push(Segment::Any),
                "{board}" if pattern.has_board() => return Err(PathPatternFault::SecondBoard),
                "{board}" => pattern.segments.push(Segment::Board),
                literal => pattern.segments.push(Segment::literal(literal)?),
            }
        }
        Ok(pattern)
    }

    /// Reads whether the pattern holds a `{board}`.
    pub fn has_board(&self) -> bool {
        self.segments.contains(&Segment::Board)
    }

    /// Matches a request's path: none if the path is not this pattern's, else the board that it names, if the pattern
    /// asks for one.
    pub(super) fn match_path(&self, path: &str) -> Option<Result<Option<BoardId>, BoardIdFault>> {
        let mut sent = path.strip_prefix('/')?.split('/');
        let mut board = None;
        let mut fault = None;
        for segment in &self.segments {
            let text = sent.next()?;
            match segment {
                Segment::Literal(literal) if literal.as_ref() == text => {}
                Segment::Literal(_) => return None,
                Segment::Any if text.is_empty() => return None,
                Segment::Any => fault = fault.or(folded_away(text)),
                Segment::Board => match board_of_segment(text) {
                    Ok(found) => board = Some(found),
                    Err(refused) => fault = fault.or(Some(refused)),
                },
            }
        }
        for text in sent {
            if !self.takes_rest {
                return None;
            }
            fault = fault.or(folded_away(text));
        }
        Some(fault.map_or(Ok(board), Err))
    }

    /// Reads whether every path that `other` takes is taken by this pattern as well.
    pub(super) fn covers(&self, other: &Self) -> bool {
        let lengths_fit = if self.takes_rest {
            other.segments.len() >= self.segments.len()
        } else {
            !other.takes_rest && other.segments.len() == self.segments.len()
        };
        let segment_covers = |(mine, theirs): (&Segment, &Segment)| match mine {
            Segment::Literal(_) => mine == theirs,
            Segment::Any | Segment::Board => true,
        };
        lengths_fit && self.segments.iter().zip(&other.segments).all(segment_covers)
    }
}

impl Segment {
    fn literal(text: &str) -> Result<Self, PathPatternFault> {
        if text.is_empty() {
            return Err(PathPatternFault::EmptySegment);
        }
        if text == "." || text == ".." {
            return Err(PathPatternFault::DotSegment);
        }
        if text.contains(['{', '}', '*']) {
            return Err(PathPatternFault::PartOfSegment);
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) || text.contains(['?', '#', ';', '\\', '"', '<', '>']) {
            return Err(PathPatternFault::Letter);
        }
        Ok(Self::Literal(text.into()))
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.segments {
            match segment {
                Segment::Literal(literal) => write!(formatter, "/{literal}")?,
                Segment::Any => formatter.write_str("/*")?,
                Segment::Board => formatter.write_str("/{board}")?,
            }
        }
        if self.takes_rest {
            formatter.write_str("/**")?;
        }
        Ok(())
    }
}

/// Decodes the board's segment once, and refuses what a server could take for another path.
fn board_of_segment(text: &str) -> Result<BoardId, BoardIdFault> {
    if text.contains(';') {
        return Err(BoardIdFault::PathParameter);
    }
    let board = BoardId::from_url_segment(text).map_err(BoardIdFault::Id)?;
    if has_dot_part(board.as_str()) {
        return Err(BoardIdFault::DotSegment);
    }
    if board.as_str().split(['/', '\\']).any(str::is_empty) {
        return Err(BoardIdFault::EmptyPart);
    }
    Ok(board)
}

/// Refuses a segment that a server could fold away, and one it could split at an escaped slash to the same effect.
fn folded_away(text: &str) -> Option<BoardIdFault> {
    let decoded = percent_encoding::percent_decode_str(text).decode_utf8_lossy();
    has_dot_part(&decoded).then_some(BoardIdFault::DotSegment)
}

/// Reads whether a part between slashes of either kind is `.` or `..`, with or without path parameters behind it.
fn has_dot_part(decoded: &str) -> bool {
    decoded.split(['/', '\\']).any(|part| {
        let name = part.split_once(';').map_or(part, |(name, _)| name);
        name == "." || name == ".."
    })
}

/// Says why a text is no path pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathPatternFault {
    /// The pattern does not start at the root.
    #[error("does not start with a slash")]
    NoSlash,
    /// Two slashes follow each other, or one ends the pattern.
    #[error("has an empty segment")]
    EmptySegment,
    /// Such a path is folded by clients before it is sent.
    #[error("has a `.` or `..` segment")]
    DotSegment,
    /// The board stands in one place.
    #[error("has a second {{board}}")]
    SecondBoard,
    /// Nothing can follow the rest.
    #[error("goes on behind `**`")]
    RestNotLast,
    /// Only whole segments are matched.
    #[error("has a placeholder or wildcard that is only a part of its segment")]
    PartOfSegment,
    /// Such a character is never sent in a path as it is.
    #[error("has a character that must be percent-encoded in a path, or begins a query")]
    Letter,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(pattern: &str, path: &str) -> String {
        match PathPattern::parse(pattern).unwrap().match_path(path) {
            None => "not matched".into(),
            Some(Ok(None)) => "matched".into(),
            Some(Ok(Some(board))) => format!("board {}", board.as_str()),
            Some(Err(fault)) => format!("{fault:?}"),
        }
    }

    #[test]
    fn a_path_is_matched_segment_by_segment() {
        let check = |pattern: &str, path: &str, expected: &str| {
            assert_eq!(outcome(pattern, path), expected, "{path} against {pattern}");
        };
        check("/boards/{board}/ws", "/boards/7/ws", "board 7");
        check("/boards/{board}/ws", "/boards/7/ws/", "not matched");
        check("/boards/{board}/ws", "/boards/7", "not matched");
        check("/boards/{board}/ws", "/BOARDS/7/ws", "not matched");
        check("/boards/{board}/ws", "/board%73/7/ws", "not matched");
        check("/boards/{board}/ws", "//boards/7/ws", "not matched");
        check("/{board}", "/7", "board 7");
        check("/{board}", "/", "Id(Empty)");
        check("/*/{board}", "/room/7", "board 7");
        check("/*/{board}", "//7", "not matched");
        check("/{board}/**", "/7", "board 7");
        check("/{board}/**", "/7/", "board 7");
        check("/{board}/**", "/7/a//b", "board 7");
        check("/**", "/", "matched");
        check("/**", "/a/b", "matched");
        check("/", "/", "matched");
        check("/", "/a", "not matched");
        check("/socket", "/socket", "matched");
        check("/socket", "*", "not matched");
    }

    #[test]
    fn a_board_segment_is_decoded_once_and_refused_where_a_server_could_read_another_path() {
        let check = |path: &str, expected: &str| assert_eq!(outcome("/b/{board}/ws", path), expected, "{path}");
        check("/b/a%20b/ws", "board a b");
        check("/b/a%252Fb/ws", "board a%2Fb");
        check("/b/a%2Fb/ws", "board a/b");
        check("/b/..%2fx/ws", "DotSegment");
        check("/b/x%2f..%5cy/ws", "DotSegment");
        check("/b/%2e%2E/ws", "DotSegment");
        check("/b/../ws", "DotSegment");
        check("/b/.%3bx/ws", "DotSegment");
        check("/b/x;y=1/ws", "PathParameter");
        check("/b/%2fx/ws", "EmptyPart");
        check("/b//ws", "Id(Empty)");
        check("/b/x%00/ws", &format!("{:?}", outcome_of_id("x%00")));
        check("/b/%zz/ws", "Id(Segment)");
        check("/b/%ff/ws", "Id(Segment)");
    }

    fn outcome_of_id(segment: &str) -> BoardIdFault {
        BoardIdFault::Id(BoardId::from_url_segment(segment).unwrap_err())
    }

    #[test]
    fn dots_are_refused_in_every_segment_that_the_pattern_does_not_spell_out() {
        let check = |pattern: &str, path: &str| {
            assert_eq!(outcome(pattern, path), "DotSegment", "{path} against {pattern}");
        };
        check("/{board}/**", "/7/../8");
        check("/{board}/**", "/7/a/%2e%2e%2f8");
        check("/{board}/**", "/7/..;/8");
        check("/*/{board}", "/../7");
    }

    #[test]
    fn a_pattern_that_could_not_mean_what_it_says_is_refused() {
        let check = |text: &str, expected: PathPatternFault| {
            assert_eq!(PathPattern::parse(text), Err(expected), "{text}");
        };
        check("", PathPatternFault::NoSlash);
        check("boards/{board}", PathPatternFault::NoSlash);
        check("/boards//{board}", PathPatternFault::EmptySegment);
        check("/boards/{board}/", PathPatternFault::EmptySegment);
        check("/../{board}", PathPatternFault::DotSegment);
        check("/{board}/{board}", PathPatternFault::SecondBoard);
        check("/**/{board}", PathPatternFault::RestNotLast);
        check("/b-{board}", PathPatternFault::PartOfSegment);
        check("/{room}", PathPatternFault::PartOfSegment);
        check("/a*/{board}", PathPatternFault::PartOfSegment);
        check("/{board}?x=1", PathPatternFault::PartOfSegment);
        check("/a?x=1", PathPatternFault::Letter);
        check("/bo ards/{board}", PathPatternFault::Letter);
    }

    #[test]
    fn a_pattern_covers_what_it_would_take_first() {
        let check = |first: &str, second: &str, expected: bool| {
            let covers = PathPattern::parse(first)
                .unwrap()
                .covers(&PathPattern::parse(second).unwrap());
            assert_eq!(covers, expected, "{first} before {second}");
        };
        check("/b/{board}", "/b/{board}", true);
        check("/b/{board}/**", "/b/{board}/ws", true);
        check("/*/{board}", "/b/{board}", true);
        check("/b/{board}", "/*/{board}", false);
        check("/b/{board}/ws", "/b/{board}/**", false);
        check("/b/{board}", "/b/{board}/ws", false);
    }
}
