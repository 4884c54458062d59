//! The text message that tells a client to reconnect, as the operator wrote it.
//!
//! `{board}`, `{reason}` and `{grace_ms}` are replaced; in a template that is JSON the values are escaped for a JSON
//! string, so that a board's name cannot break out of it.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use handover_protocol::BoardId;

/// A text message with placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandTemplate {
    parts: Arc<[Part]>,
    format: Format,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(Box<str>),
    Board,
    Reason,
    GraceMs,
}

/// What the values are escaped for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Json,
    Text,
}

impl CommandTemplate {
    /// Longest template, in bytes: a command is a hint to a client, and it goes out to all of a board at once.
    pub const BYTES_MAX: usize = 4096;

    /// Reads a template.
    ///
    /// # Errors
    /// When it is empty or too long, or holds a word in braces that is no placeholder.
    pub fn parse(text: &str) -> Result<Self, CommandFault> {
        if text.is_empty() {
            return Err(CommandFault::Empty);
        }
        if text.len() > Self::BYTES_MAX {
            return Err(CommandFault::TooLong);
        }
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('{') {
            literal.push_str(&rest[..at]);
            let Some(word) = placeholder_word(&rest[at..]) else {
                literal.push('{');
                rest = &rest[at + 1..];
                continue;
            };
            let placeholder = match word {
                "board" => Part::Board,
                "reason" => Part::Reason,
                "grace_ms" => Part::GraceMs,
                unknown => return Err(CommandFault::Placeholder(unknown.into())),
            };
            if !literal.is_empty() {
                parts.push(Part::Literal(std::mem::take(&mut literal).into()));
            }
            parts.push(placeholder);
            rest = &rest[at + word.len() + "{}".len()..];
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Literal(literal.into()));
        }
        let mut template = Self {
            parts: parts.into(),
            format: Format::Text,
        };
        if serde_json::from_str::<serde::de::IgnoredAny>(&template.fill("x", "x", Duration::ZERO)).is_ok() {
            template.format = Format::Json;
        }
        Ok(template)
    }

    /// Returns the message for one board: why its clients are to leave, and how long until they are closed.
    pub fn render(&self, board: &BoardId, reason: &str, grace: Duration) -> String {
        self.fill(board.as_str(), reason, grace)
    }

    /// Reads whether what is sent is JSON.
    pub fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    fn fill(&self, board: &str, reason: &str, grace: Duration) -> String {
        let mut message = String::new();
        for part in self.parts.iter() {
            match part {
                Part::Literal(literal) => message.push_str(literal),
                Part::Board => message.push_str(&self.escaped(board)),
                Part::Reason => message.push_str(&self.escaped(reason)),
                Part::GraceMs => message.push_str(&grace.as_millis().to_string()),
            }
        }
        message
    }

    fn escaped<'v>(&self, value: &'v str) -> Cow<'v, str> {
        match self.format {
            Format::Text => value.into(),
            Format::Json => {
                let quoted = serde_json::Value::from(value).to_string();
                quoted[1..quoted.len() - 1].to_owned().into()
            }
        }
    }
}

/// Returns the word of a `{word}` that the text begins with; JSON never has one outside its strings.
fn placeholder_word(text: &str) -> Option<&str> {
    let (word, _) = text.strip_prefix('{')?.split_once('}')?;
    let is_word = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let is_number = word.bytes().all(|byte| byte.is_ascii_digit());
    (is_word && !is_number).then_some(word)
}

/// Says why a text is no command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandFault {
    /// There is nothing to send.
    #[error("is empty")]
    Empty,
    /// It passes [`CommandTemplate::BYTES_MAX`].
    #[error("is longer than 4096 bytes")]
    TooLong,
    /// A word in braces would reach the clients as it stands.
    #[error("has the unknown placeholder {{{0}}}")]
    Placeholder(Box<str>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_replaced_and_escaped_where_the_template_is_json() {
        let check = |template: &str, expected: &str| {
            let board = "a\"b\\c".parse().unwrap();
            let template = CommandTemplate::parse(template).unwrap();
            assert_eq!(template.render(&board, "new release", Duration::from_secs(1)), expected);
        };
        check(r#"{"type":"reconnect"}"#, r#"{"type":"reconnect"}"#);
        check(
            r#"{"board":"{board}","why":"{reason}","in":{grace_ms}}"#,
            r#"{"board":"a\"b\\c","why":"new release","in":1000}"#,
        );
        check("reconnect {board} in {grace_ms}", "reconnect a\"b\\c in 1000");
        check("{}{1}{ board }", "{}{1}{ board }");
        check("42[\"reconnect\",\"{board}\"]", "42[\"reconnect\",\"a\"b\\c\"]");
    }

    #[test]
    fn a_command_that_would_not_say_what_was_meant_is_refused() {
        let check = |text: &str, expected: CommandFault| assert_eq!(CommandTemplate::parse(text), Err(expected));
        check("", CommandFault::Empty);
        check(&"x".repeat(4097), CommandFault::TooLong);
        check("go {bord}", CommandFault::Placeholder("bord".into()));
    }
}
