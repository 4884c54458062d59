//! Fields of log lines for people: whatever a peer has put into a value, one event is one line, and a terminal is sent no
//! command by it.

use std::fmt::{self, Debug, Write};

use tracing::field::Field;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{Writer, debug_fn};

/// Returns how fields are written: a message as it is, `name=value` for all others.
pub(super) fn text_fields() -> impl for<'w> FormatFields<'w> + Send + Sync + 'static {
    debug_fn(write_field).delimited(" ")
}

fn write_field(writer: &mut Writer<'_>, field: &Field, value: &dyn Debug) -> fmt::Result {
    if field.name() == "message" {
        // Messages are ours. Some have several lines, as those that list what is wrong with a configuration.
        return write!(Escaping::all_but(writer, &['\n', '\t']), "{value:?}");
    }
    let name = field.name();
    match writer.has_ansi_escapes() {
        true => write!(writer, "{ITALIC}{name}{PLAIN}{DIM}={PLAIN}")?,
        false => write!(writer, "{name}=")?,
    }
    write!(Escaping::all_but(writer, &[]), "{value:?}")
}

/// Writes control characters as Rust's strings do: `\n`, `\u{1b}`.
struct Escaping<'e, 'w> {
    writer: &'e mut Writer<'w>,
    kept: &'static [char],
}

impl<'e, 'w> Escaping<'e, 'w> {
    fn all_but(writer: &'e mut Writer<'w>, kept: &'static [char]) -> Self {
        Self { writer, kept }
    }
}

impl Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let is_kept = |letter: char| !breaks_lines(letter) || self.kept.contains(&letter);
        let mut rest = text;
        while let Some(at) = rest.find(|letter| !is_kept(letter)) {
            let (before, behind) = rest.split_at(at);
            self.writer.write_str(before)?;
            let mut letters = behind.chars();
            if let Some(letter) = letters.next() {
                write!(self.writer, "{}", letter.escape_default())?;
            }
            rest = letters.as_str();
        }
        self.writer.write_str(rest)
    }
}

/// Reads whether a letter ends a line or commands a terminal, for some reader.
fn breaks_lines(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}')
}

const ITALIC: &str = "\x1b[3m";
const DIM: &str = "\x1b[2m";
const PLAIN: &str = "\x1b[0m";

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing::{info, info_span};
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    /// What has been written.
    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(has_colours: bool, log: impl FnOnce()) -> String {
        let page = Page::default();
        let writer = page.clone();
        let layer = tracing_subscriber::fmt::layer().with_writer(move || writer.clone());
        let layer = layer.with_ansi(has_colours).fmt_fields(text_fields()).without_time();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), log);
        let bytes = page.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn an_event_is_one_line_whatever_its_values_are() {
        let peer = "ann\n2026-01-01 INFO audit: who=eve\r\x1b[2J\u{9b}1m\u{85}\u{2028}";
        for has_colours in [false, true] {
            let text = logged(has_colours, || {
                let span = info_span!("poll", server = %peer);
                span.in_scope(|| info!(who = %peer, text = peer, error = ?peer, count = 7, "it is so\nand more"));
            });
            let lines: Vec<&str> = text.split_inclusive('\n').collect();
            assert_eq!(lines.len(), 2, "as many as our own message has: {text}");
            let coloured = ["\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[3m", "\x1b[32m"];
            let bare = coloured.iter().fold(text.clone(), |text, code| text.replace(code, ""));
            let wild = |letter: &char| breaks_lines(*letter) && *letter != '\n';
            assert_eq!(bare.chars().find(wild), None, "{bare:?}");
            assert!(
                bare.contains(r"who=ann\n2026-01-01 INFO audit: who=eve\r\u{1b}[2J\u{9b}1m\u{85}\u{2028}"),
                "{bare}"
            );
            assert!(bare.contains("count=7"), "{bare}");
        }
    }

    #[test]
    fn all_else_is_written_as_it_is() {
        let text = logged(false, || info!(board = %"tür 7", path = "/a b", "moved\tfrom\nhere"));
        assert!(
            text.ends_with("moved\tfrom\nhere board=tür 7 path=\"/a b\"\n"),
            "{text}"
        );
    }
}
