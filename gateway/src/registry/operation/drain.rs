//! The operations on drains: a record of each, and beside it, in parts, what it has moved.

use handover_protocol::DrainId;
use redb::{ReadableTable, StorageError};

use super::{Answer, Entry, Fate, Operation, Reply, Tables, collect, parse_key};
use crate::registry::DrainRecord;

/// Writes a drain's record.
pub(in crate::registry) struct PutDrain {
    drain: DrainId,
    record: Vec<u8>,
    reply: Reply<()>,
}

impl PutDrain {
    pub(in crate::registry) fn new(drain: DrainId, record: Vec<u8>, answer: Answer<()>) -> Self {
        Self {
            drain,
            record,
            reply: Reply::new(answer),
        }
    }
}

impl Operation for PutDrain {
    fn run(&mut self, tables: &mut Tables<'_>) -> Result<(), StorageError> {
        tables.drains.insert(self.drain.as_str(), self.record.as_slice())?;
        tables.has_written = true;
        self.reply.keep(Ok(()));
        Ok(())
    }

    fn answer(self: Box<Self>, fate: &Fate) {
        self.reply.send(fate);
    }
}

/// Forgets a drain's record and what it has moved.
pub(in crate::registry) struct ForgetDrain {
    drain: DrainId,
    reply: Reply<()>,
}

impl ForgetDrain {
    pub(in crate::registry) fn new(drain: DrainId, answer: Answer<()>) -> Self {
        Self {
            drain,
            reply: Reply::new(answer),
        }
    }
}

impl Operation for ForgetDrain {
    fn run(&mut self, tables: &mut Tables<'_>) -> Result<(), StorageError> {
        tables.drains.remove(self.drain.as_str())?;
        let prefix = parts_prefix(&self.drain);
        let mut parts = Vec::new();
        for entry in tables.drain_parts.range(prefix.as_str()..)? {
            let key = entry?.0.value().to_owned();
            if !key.starts_with(&prefix) {
                break;
            }
            parts.push(key);
        }
        for part in parts {
            tables.drain_parts.remove(part.as_str())?;
        }
        tables.has_written = true;
        self.reply.keep(Ok(()));
        Ok(())
    }

    fn answer(self: Box<Self>, fate: &Fate) {
        self.reply.send(fate);
    }
}

/// Reads every drain's record.
pub(in crate::registry) struct Drains(Reply<Vec<DrainRecord>>);

impl Drains {
    pub(in crate::registry) fn new(answer: Answer<Vec<DrainRecord>>) -> Self {
        Self(Reply::new(answer))
    }
}

impl Operation for Drains {
    fn run(&mut self, tables: &mut Tables<'_>) -> Result<(), StorageError> {
        let read = |(key, value): Entry<'_>| Ok((parse_key::<DrainId>(key)?, value.to_vec()));
        self.0.keep(collect(&tables.drains, read)?);
        Ok(())
    }

    fn answer(self: Box<Self>, fate: &Fate) {
        self.0.send(fate);
    }
}

/// Writes a part of what a drain has moved.
pub(in crate::registry) struct PutDrainPart {
    key: String,
    record: Vec<u8>,
    reply: Reply<()>,
}

impl PutDrainPart {
    pub(in crate::registry) fn new(drain: &DrainId, part: u32, record: Vec<u8>, answer: Answer<()>) -> Self {
        Self {
            key: format!("{}{part:010}", parts_prefix(drain)),
            record,
            reply: Reply::new(answer),
        }
    }
}

impl Operation for PutDrainPart {
    fn run(&mut self, tables: &mut Tables<'_>) -> Result<(), StorageError> {
        tables.drain_parts.insert(self.key.as_str(), self.record.as_slice())?;
        tables.has_written = true;
        self.reply.keep(Ok(()));
        Ok(())
    }

    fn answer(self: Box<Self>, fate: &Fate) {
        self.reply.send(fate);
    }
}

/// Reads the parts of what a drain has moved.
pub(in crate::registry) struct DrainParts {
    prefix: String,
    reply: Reply<Vec<Vec<u8>>>,
}

impl DrainParts {
    pub(in crate::registry) fn new(drain: &DrainId, answer: Answer<Vec<Vec<u8>>>) -> Self {
        Self {
            prefix: parts_prefix(drain),
            reply: Reply::new(answer),
        }
    }
}

impl Operation for DrainParts {
    fn run(&mut self, tables: &mut Tables<'_>) -> Result<(), StorageError> {
        let mut parts = Vec::new();
        for entry in tables.drain_parts.range(self.prefix.as_str()..)? {
            let (key, value) = entry?;
            if !key.value().starts_with(&self.prefix) {
                break;
            }
            parts.push(value.value().to_vec());
        }
        self.reply.keep(Ok(parts));
        Ok(())
    }

    fn answer(self: Box<Self>, fate: &Fate) {
        self.reply.send(fate);
    }
}

/// No id holds a slash.
fn parts_prefix(drain: &DrainId) -> String {
    format!("{drain}/")
}
