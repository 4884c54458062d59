//! A table of the file that knows which keys it was asked for; what nobody asked for is unknown.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use toml::de::{DeTable, DeValue};

use super::value::{Item, Spot};
use crate::config::finding::Findings;
use crate::config::read::units;
use crate::config::settings::Kind;

/// A table whose keys are asked for one by one; the rest is unknown.
pub(in crate::config::read) struct Section<'f> {
    pub(in crate::config::read) spot: Spot<'f>,
    table: Option<&'f DeTable<'f>>,
    known: Vec<&'static str>,
}

impl<'f> Section<'f> {
    /// Begins with the whole file.
    pub(in crate::config::read) fn root(findings: &'f Findings, table: &'f DeTable<'f>) -> Self {
        let spot = Spot {
            findings,
            key: String::new(),
            owner: None,
            span: None,
            value: None,
        };
        Self {
            spot,
            table: Some(table),
            known: Vec::new(),
        }
    }

    /// Begins with a table that stands as a value.
    pub(super) fn below(spot: &Spot<'f>, table: &'f DeTable<'f>) -> Self {
        Self {
            spot: spot.clone(),
            table: Some(table),
            known: Vec::new(),
        }
    }

    /// Reads whether a key is there.
    pub(in crate::config::read) fn has(&self, name: &str) -> bool {
        self.table.is_some_and(|table| table.get(name).is_some())
    }

    /// Returns a value that need not be there.
    pub(in crate::config::read) fn take(&mut self, name: &'static str) -> Option<Item<'f>> {
        self.known.push(name);
        let key = self.key_of(name);
        let value = self.table.and_then(|table| table.get(name));
        self.spot.findings.ask(&key, value);
        Some(Item::of(&self.spot, key, value?))
    }

    /// Returns a value that must be there; `example` shows one.
    pub(in crate::config::read) fn require(&mut self, name: &'static str, example: &str) -> Option<Item<'f>> {
        let item = self.take(name);
        let key = self.key_of(name);
        self.spot.findings.note(&key, |setting| setting.is_required = true);
        if item.is_none() {
            let fix = match self.table {
                Some(_) => format!("add it, for example: {name} = {example}"),
                None => format!("add [{}] and below it, for example: {name} = {example}", self.spot.key),
            };
            self.spot_of(name).fault("is missing", fix);
        }
        item
    }

    /// Puts a value in the place of its default where it is there and fits.
    pub(in crate::config::read) fn read<T>(
        &mut self,
        name: &'static str,
        place: &mut T,
        read: impl FnOnce(&Item<'f>) -> Option<T>,
    ) {
        if let Some(value) = self.take(name).and_then(|item| read(&item)) {
            *place = value;
        }
    }

    /// Puts a duration in the place of its default.
    pub(in crate::config::read) fn duration(
        &mut self,
        name: &'static str,
        place: &mut Duration,
        bounds: RangeInclusive<Duration>,
    ) {
        self.default(name, format!("\"{}\"", units::duration_text(*place)));
        self.read(name, place, |item| item.duration(bounds));
    }

    /// Puts a size in bytes in the place of its default.
    pub(in crate::config::read) fn size<T>(&mut self, name: &'static str, place: &mut T, bounds: RangeInclusive<u64>)
    where
        T: Copy + TryFrom<u64>,
        u64: TryFrom<T>,
    {
        let bytes = u64::try_from(*place).unwrap_or(u64::MAX);
        self.default(name, format!("\"{}\"", units::bytes_text(bytes)));
        self.read(name, place, |item| T::try_from(item.bytes(bounds)?).ok());
    }

    /// Puts a whole number in the place of its default.
    pub(in crate::config::read) fn number<T>(&mut self, name: &'static str, place: &mut T, bounds: RangeInclusive<u64>)
    where
        T: Copy + Display + TryFrom<u64>,
    {
        self.default(name, place.to_string());
        self.read(name, place, |item| T::try_from(item.number(bounds)?).ok());
    }

    /// Puts `true` or `false` in the place of its default.
    pub(in crate::config::read) fn flag(&mut self, name: &'static str, place: &mut bool) {
        self.default(name, place.to_string());
        self.read(name, place, Item::flag);
    }

    /// Notes the default of a key as it would stand in a file.
    pub(in crate::config::read) fn default(&self, name: &str, text: String) {
        let key = self.key_of(name);
        self.spot.findings.note(&key, |setting| setting.default = Some(text));
    }

    /// Returns a section of known keys; one that is not there has none.
    pub(in crate::config::read) fn section(&mut self, name: &'static str) -> Section<'f> {
        let fix = format!("write [{name}] on a line of its own, and its keys below");
        let section = self.take(name).and_then(|item| item.table(&fix));
        self.spot_of(name).note(Kind::Table);
        section.unwrap_or_else(|| Section {
            spot: self.spot_of(name),
            table: None,
            known: Vec::new(),
        })
    }

    /// Returns the sections of a `[[name]]`, of which there must be one; `example` says what is in it.
    pub(in crate::config::read) fn sections(&mut self, name: &'static str, example: &str) -> Vec<Section<'f>> {
        let item = self.take(name);
        self.spot_of(name).note(Kind::Tables { count_min: 1 });
        let values = match item.as_ref().map(|item| item.value) {
            Some(DeValue::Array(values)) if !values.is_empty() => item.as_ref().and_then(Item::items),
            Some(DeValue::Array(_)) | None => {
                let key = self.key_of(name);
                let fix = format!("add [[{key}]] and below it {example}");
                self.spot_of(name).fault("is empty: there must be at least one", fix);
                None
            }
            Some(
                DeValue::String(_)
                | DeValue::Integer(_)
                | DeValue::Float(_)
                | DeValue::Boolean(_)
                | DeValue::Datetime(_)
                | DeValue::Table(_),
            ) => {
                let fix = format!("write [[{name}]] with double brackets on a line of its own, and its keys below");
                item.as_ref().and_then(|item| item.is_no("a list of sections", &fix))
            }
        };
        let fix = format!("write [[{name}]] on a line of its own, and its keys below");
        let values = values.unwrap_or_default();
        values.iter().filter_map(|item| item.entry(&fix)).collect()
    }

    /// Returns the sections of a `[[name]]` that need not be there.
    pub(in crate::config::read) fn optional_sections(&mut self, name: &'static str, example: &str) -> Vec<Section<'f>> {
        if self.table.is_some_and(|table| table.get(name).is_some()) {
            let sections = self.sections(name, example);
            self.spot_of(name).note(Kind::Tables { count_min: 0 });
            return sections;
        }
        self.take(name);
        self.spot_of(name).note(Kind::Tables { count_min: 0 });
        Vec::new()
    }

    /// Returns where a key stands, or where it would belong.
    pub(in crate::config::read) fn spot_of(&self, name: &str) -> Spot<'f> {
        let key = self.key_of(name);
        match self.table.and_then(|table| table.get(name)) {
            Some(value) => Item::of(&self.spot, key, value).spot,
            None => Spot {
                key,
                value: None,
                ..self.spot.clone()
            },
        }
    }

    /// Takes every key of a table whose keys are names of the operator's own.
    pub(in crate::config::read) fn entries(self) -> Vec<(String, Item<'f>)> {
        self.spot.note(Kind::Names);
        let mut entries = Vec::new();
        for (name, value) in self.table.into_iter().flatten() {
            let name = name.get_ref().as_ref();
            let item = Item::of(&self.spot, self.key_of(name), value);
            entries.push((name.to_owned(), item));
        }
        entries
    }

    /// Adds a fault for each key that nobody asked for.
    pub(in crate::config::read) fn close(self) {
        let Some(table) = self.table else { return };
        for (name, value) in table {
            let text = name.get_ref().as_ref();
            if self.known.contains(&text) {
                continue;
            }
            let spot = Spot {
                findings: self.spot.findings,
                key: self.key_of(text),
                owner: self.spot.owner,
                span: Some(name.span()),
                value: Some(value.span()),
            };
            if SECRET_WORDS.iter().any(|word| text.contains(word)) {
                spot.hide();
            }
            spot.fault("is not a key of this version", self.nearest(text));
        }
    }

    fn nearest(&self, unknown: &str) -> String {
        if let Some(name) = self.known.iter().find(|name| name.starts_with(unknown)) {
            return format!("did you mean {name}?");
        }
        let distance = |name: &&&str| strsim::osa_distance(name, unknown);
        match self.known.iter().min_by_key(distance) {
            Some(name) if distance(&name) <= unknown.len().div_ceil(3) => format!("did you mean {name}?"),
            Some(_) | None => format!("remove it, or use one of: {}", self.known.join(", ")),
        }
    }

    fn key_of(&self, name: &str) -> String {
        if self.spot.key.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.spot.key)
        }
    }
}

/// A misspelt key with one of these in its name may hold what must not be shown.
const SECRET_WORDS: [&str; 4] = ["token", "password", "secret", "key"];
