//! What a configuration can say, as its reader asks for it: each key with its type, its bounds, its default, and the
//! value that it was given where it was given one.
//!
//! The reader is the only source of keys: the schema and `config show` are written from what it noted here.

use std::collections::HashMap;
use std::ops::Range;
use std::time::Duration;

/// Every key that a reader asked for, in the order of asking.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    list: Vec<Setting>,
    places: HashMap<String, usize>,
}

/// One key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Its path, such as `routes[0].close_code`.
    pub key: String,
    /// What its value is; none where the reader met no value to look at.
    pub kind: Option<Kind>,
    /// Its default, as it would stand in a file; none where there is none.
    pub default: Option<String>,
    /// What it was set to.
    pub given: Option<Given>,
    /// Whether a file must say it.
    pub is_required: bool,
}

/// The value of a key that was set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// As it would stand in a file, on one line; none where it is a secret.
    pub text: Option<String>,
    /// Who set it.
    pub source: Source,
    pub(super) span: Range<usize>,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A line of the file, counted from 1.
    File {
        /// The line.
        line: usize,
    },
    /// An environment variable.
    Environment {
        /// Its name.
        name: String,
    },
}

/// What a value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Any string.
    Text,
    /// One of some words.
    Choice(&'static [&'static str]),
    /// A regular expression.
    Pattern,
    /// `true` or `false`.
    Flag,
    /// A whole number within bounds.
    Number(u64, u64),
    /// A duration within bounds.
    Duration(Duration, Duration),
    /// A size in bytes within bounds.
    Size(u64, u64),
    /// A list; its entries are settings of their own.
    List,
    /// A table written within its line.
    Inline,
    /// A table within its line whose keys are names of the operator's own, and its values texts.
    Names,
    /// A table with a header of its own.
    Table,
    /// Tables with a header of their own each, of which there must be this many.
    Tables {
        /// At least so many.
        count_min: usize,
    },
}

impl Settings {
    /// Returns all of them.
    pub fn list(&self) -> &[Setting] {
        &self.list
    }

    /// Returns one.
    pub fn of(&self, key: &str) -> Option<&Setting> {
        self.places.get(key).map(|place| &self.list[*place])
    }

    /// Takes over what another reading knows more.
    pub(super) fn merge(&mut self, other: Settings) {
        for setting in other.list {
            let known = self.entry(&setting.key);
            known.kind = known.kind.take().or(setting.kind);
            known.default = known.default.take().or(setting.default);
            known.given = known.given.take().or(setting.given);
            known.is_required |= setting.is_required;
        }
    }

    pub(super) fn entry(&mut self, key: &str) -> &mut Setting {
        let place = match self.places.get(key) {
            Some(place) => *place,
            None => {
                self.places.insert(key.to_owned(), self.list.len());
                self.list.push(Setting {
                    key: key.to_owned(),
                    kind: None,
                    default: None,
                    given: None,
                    is_required: false,
                });
                self.list.len() - 1
            }
        };
        &mut self.list[place]
    }

    pub(super) fn given_mut(&mut self) -> impl Iterator<Item = &mut Given> {
        self.list.iter_mut().filter_map(|setting| setting.given.as_mut())
    }
}

impl Setting {
    /// Returns the section that the key stands in, and its name there.
    pub fn parent(&self) -> (&str, &str) {
        self.key.rsplit_once('.').unwrap_or(("", &self.key))
    }

    /// Returns the key's path with `[]` in the place of every number: that of the key in any file.
    pub fn general_key(&self) -> String {
        let mut general = String::new();
        for letter in self.key.chars() {
            if !(letter.is_ascii_digit() && in_brackets(&general)) {
                general.push(letter);
            }
        }
        general
    }
}

fn in_brackets(text: &str) -> bool {
    text.rfind('[').is_some_and(|open| !text[open..].contains(']'))
}
