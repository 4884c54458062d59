//! What a command prints: data on stdout in the format asked for, talk on stderr.

use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use serde_json::Value;

/// How data is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// One JSON document.
    Json,
    /// One JSON object a line: of a list its elements, of a watch its events as they come.
    Jsonl,
    /// `KEY=value` lines for a shell or a CI system; values that need it are in single quotes.
    Env,
}

/// What can be printed in each format.
pub trait Data {
    /// Returns it for people; lines that end.
    fn text(&self) -> String;

    /// Returns it as one document.
    fn json(&self) -> Value;

    /// Returns it as a line each; a list as its elements.
    fn lines(&self) -> Vec<Value> {
        vec![self.json()]
    }

    /// Returns it as keys and values; keys never change their meaning.
    fn env(&self) -> Vec<(String, String)>;
}

/// Prints data; whoever has closed the pipe has read enough.
pub fn print(output: Output, data: &impl Data) {
    let text = match output {
        Output::Text => data.text(),
        Output::Json => format!("{:#}\n", data.json()),
        Output::Jsonl => data.lines().iter().map(|line| format!("{line}\n")).collect(),
        Output::Env => env_lines(&data.env()),
    };
    let _ = io::stdout().write_all(text.as_bytes());
}

/// Prints one line of JSON as part of a stream.
pub(super) fn print_line(value: &Value) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{value}");
    let _ = out.flush();
}

/// Says something to whoever watches.
pub fn say(text: &str) {
    // There is nobody else to tell.
    let _ = writeln!(io::stderr(), "{text}");
}

/// Asks whether to go on; only a terminal is asked.
///
/// Returns nothing where nobody could answer.
pub fn confirm(question: &str) -> Option<bool> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return None;
    }
    let _ = write!(io::stderr(), "{question} [y/N] ");
    let mut answer = String::new();
    let read = io::stdin().read_line(&mut answer);
    Some(read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes" | "Yes" | "YES"))
}

/// Flattens a document into keys and values: `{"a": {"b": 1}, "c": [2]}` is `P_A_B=1`, `P_C_COUNT=1`, `P_C_0=2`.
pub fn flatten(prefix: &str, value: &Value) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    flatten_into(&mut pairs, prefix, value);
    pairs
}

fn flatten_into(pairs: &mut Vec<(String, String)>, prefix: &str, value: &Value) {
    match value {
        Value::Null => pairs.push((prefix.to_owned(), String::new())),
        Value::String(text) => pairs.push((prefix.to_owned(), text.clone())),
        Value::Bool(_) | Value::Number(_) => pairs.push((prefix.to_owned(), value.to_string())),
        Value::Array(list) => {
            pairs.push((format!("{prefix}_COUNT"), list.len().to_string()));
            for (number, element) in list.iter().enumerate() {
                flatten_into(pairs, &format!("{prefix}_{number}"), element);
            }
        }
        Value::Object(fields) => {
            for (key, field) in fields {
                flatten_into(pairs, &format!("{prefix}_{}", env_key(key)), field);
            }
        }
    }
}

/// Writes a key as shells allow it.
pub(super) fn env_key(text: &str) -> String {
    text.chars()
        .map(|letter| {
            if letter.is_ascii_alphanumeric() {
                letter.to_ascii_uppercase()
            } else {
                '_'
            }
        })
        .collect()
}

fn env_lines(pairs: &[(String, String)]) -> String {
    pairs
        .iter()
        .map(|(key, value)| format!("{key}={}\n", quoted(value)))
        .collect()
}

/// Writes a value so that a POSIX shell reads it as it is; line breaks become blanks, for many CI systems read by line.
fn quoted(value: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "._-:/@%+,".contains(letter);
    if value.chars().all(is_plain) {
        return value.to_owned();
    }
    let value: String = value
        .chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect();
    format!("'{}'", value.replace('\'', r"'\''"))
}

/// Lays rows out in columns that are as wide as they need to be; numbers stand to the right.
pub fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([head[column].chars().count()]).max().unwrap_or_default()
    };
    let is_number = |column: usize| {
        let mut cells = rows.iter().map(|row| row[column].as_str()).filter(|cell| *cell != "-");
        cells.clone().next().is_some() && cells.all(|cell| cell.parse::<f64>().is_ok())
    };
    let line = |cells: [&str; N]| {
        let mut line = String::new();
        for (column, cell) in cells.into_iter().enumerate() {
            if column > 0 {
                line.push_str("  ");
            }
            let width = width(column);
            if is_number(column) {
                line.push_str(&format!("{cell:>width$}"));
            } else {
                line.push_str(&format!("{cell:<width$}"));
            }
        }
        line.truncate(line.trim_end().len());
        line.push('\n');
        line
    };
    let mut text = line(head);
    for row in rows {
        text.push_str(&line(std::array::from_fn(|column| row[column].as_str())));
    }
    text
}

/// Shows what clients or servers wrote so that a terminal does not obey it and its lines stay in their order.
pub(super) fn shown(text: &str) -> String {
    let is_order =
        |letter: char| letter.is_control() || matches!(letter, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars()
        .map(|letter| if is_order(letter) { '\u{fffd}' } else { letter })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_quoted_so_that_a_shell_reads_them_back() {
        let check = |value: &str, expected: &str| assert_eq!(quoted(value), expected, "{value}");
        check("", "");
        check("board-1", "board-1");
        check("http://127.0.0.1:80", "http://127.0.0.1:80");
        check("two words", "'two words'");
        check("$(reboot)", "'$(reboot)'");
        check("it's", r"'it'\''s'");
        check("a\nb", "'a b'");
        check("~", "'~'");
    }

    #[test]
    fn documents_become_keys() {
        let pairs = flatten("P", &json!({"a-b": {"c": true}, "l": [1, {"x": null}], "s": "t"}));
        let pairs: Vec<String> = pairs.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(pairs, ["P_A_B_C=true", "P_L_COUNT=2", "P_L_0=1", "P_L_1_X=", "P_S=t"]);
    }

    #[test]
    fn numbers_stand_to_the_right_and_nothing_trails() {
        let rows = [["a", "1"], ["long", "20"]].map(|row| row.map(str::to_owned));
        assert_eq!(table(["NAME", "N"], &rows), "NAME   N\na      1\nlong  20\n");
    }
}
