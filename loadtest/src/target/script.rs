//! What a user does at a server that nobody here knows, read from a small TOML file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use regex::Regex;
use serde::Deserialize;

/// What a user does. In templates `{session}`, `{board}` and `{n}` stand for the user's name, its board and the
/// number of the message.
#[derive(Debug, Clone)]
pub struct Script {
    pub(super) path: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) hello: Option<String>,
    pub(super) ready: Option<Regex>,
    pub(super) message: String,
    pub(super) ack: Regex,
    pub(super) broadcast: Option<Regex>,
    pub(super) think_time: Option<Duration>,
    pub(super) resends: bool,
}

/// Says what is wrong with a script, and where.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// It cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What failed.
        #[source]
        source: std::io::Error,
    },
    /// It is no TOML, or a key is missing, unknown or of the wrong type.
    #[error("{}", path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// What and where.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// A value cannot be used.
    #[error("{key} = {value:?}: {fault}")]
    Value {
        /// Which key.
        key: &'static str,
        /// What it says.
        value: String,
        /// What is wrong with it, and the way out.
        fault: String,
    },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    path: String,
    #[serde(default)]
    headers: std::collections::BTreeMap<String, String>,
    hello: Option<String>,
    message: String,
    think_time: Option<String>,
    #[serde(default)]
    resend: bool,
    recognise: Recognise,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Recognise {
    ready: Option<String>,
    ack: String,
    broadcast: Option<String>,
}

impl Script {
    /// Reads a script.
    ///
    /// # Errors
    /// Names the file, the key, its value and what would do.
    pub fn read(path: &Path) -> Result<Self, ScriptError> {
        let text = std::fs::read_to_string(path).map_err(|source| ScriptError::Read {
            path: path.to_owned(),
            source,
        })?;
        let file = toml::from_str(&text).map_err(|source| ScriptError::Toml {
            path: path.to_owned(),
            source: Box::new(source),
        })?;
        Self::check(file)
    }

    fn check(file: File) -> Result<Self, ScriptError> {
        let fault = |key, value: &str, fault: &str| {
            Err(ScriptError::Value {
                key,
                value: value.to_owned(),
                fault: fault.to_owned(),
            })
        };
        if !file.path.starts_with('/') {
            return fault("path", &file.path, "begin it with a slash");
        }
        if !file.message.contains("{n}") {
            return fault(
                "message",
                &file.message,
                "put {n} where the number of the message stands",
            );
        }
        let ack = pattern("recognise.ack", &file.recognise.ack, &["n"])?;
        let optional = |key, text: &Option<String>, groups: &[&str]| match text {
            Some(text) => pattern(key, text, groups).map(Some),
            None => Ok(None),
        };
        let think_time = match &file.think_time {
            Some(text) => match humantime::parse_duration(text) {
                Ok(time) => Some(time),
                Err(error) => return fault("think_time", text, &format!("{error}; write it as \"500ms\" or \"2s\"")),
            },
            None => None,
        };
        Ok(Self {
            ready: optional("recognise.ready", &file.recognise.ready, &[])?,
            broadcast: optional("recognise.broadcast", &file.recognise.broadcast, &["session", "n"])?,
            ack,
            path: file.path,
            headers: file.headers.into_iter().collect(),
            hello: file.hello,
            message: file.message,
            think_time,
            resends: file.resend,
        })
    }
}

/// Writes a template out.
pub(super) fn fill(template: &str, session: &str, board: &str, n: u64) -> String {
    let text = template.replace("{session}", session).replace("{board}", board);
    text.replace("{n}", &n.to_string())
}

fn pattern(key: &'static str, text: &str, groups: &[&str]) -> Result<Regex, ScriptError> {
    let fault = |fault| ScriptError::Value {
        key,
        value: text.to_owned(),
        fault,
    };
    let regex = Regex::new(text).map_err(|error| fault(error.to_string()))?;
    match groups
        .iter()
        .find(|group| regex.capture_names().flatten().all(|name| name != **group))
    {
        Some(group) => Err(fault(format!("name the part that tells it: (?P<{group}>…)"))),
        None => Ok(regex),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault_of(text: &str) -> String {
        let file = toml::from_str(text).unwrap();
        Script::check(file).unwrap_err().to_string()
    }

    #[test]
    fn a_fault_names_key_value_and_way_out() {
        let ack = "[recognise]\nack = 'ok (?P<n>\\d+)'";
        for (text, parts) in [
            (format!("path = 'x'\nmessage = '{{n}}'\n{ack}"), ["path", "slash"]),
            (format!("path = '/'\nmessage = 'x'\n{ack}"), ["message", "{n}"]),
            (
                "path = '/'\nmessage = '{n}'\n[recognise]\nack = 'ok'".to_owned(),
                ["recognise.ack", "(?P<n>"],
            ),
            (
                format!("path = '/'\nmessage = '{{n}}'\nthink_time = 'long'\n{ack}"),
                ["think_time", "500ms"],
            ),
        ] {
            let fault = fault_of(&text);
            assert!(parts.iter().all(|part| fault.contains(part)), "{fault}");
        }
    }

    #[test]
    fn the_example_is_a_script() {
        Script::read(Path::new(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../docs/examples/loadtest.toml"
        )))
        .unwrap();
    }
}
