//! The operations of the embedded registry: what each does inside a transaction, and what it answers once the fate of
//! that transaction is known.

mod drain;

use std::str::FromStr;
use std::sync::Arc;

use handover_protocol::{BoardId, IdError, Placement, ServerName};
use redb::{ReadableTable, StorageError, Table};
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

pub(super) use self::drain::{DrainParts, Drains, ForgetDrain, PutDrain, PutDrainPart};
use super::{CasError, RegistryError, ServerRecord, StoreFailure};

/// One operation in the writer's queue.
pub(super) trait Operation: Send {
    /// Carries it out inside the transaction and keeps what it came to.
    ///
    /// # Errors
    /// When the storage fails; the transaction is then given up.
    fn run(&mut self, tables: &mut Tables<'_>) -> Result<(), StorageError>;

    /// Tells the caller, who may have gone.
    fn answer(self: Box<Self>, fate: &Fate);
}

/// What became of the transaction that an operation ran in.
pub(super) enum Fate {
    /// Everything in it is on the disk.
    Synced,
    /// Nothing of it is.
    NotWritten(StoreFailure),
    /// All or nothing of it, and nobody knows which.
    Unknown(StoreFailure),
}

/// The tables of one transaction.
pub(super) struct Tables<'txn> {
    pub(super) placements: Table<'txn, &'static str, &'static [u8]>,
    pub(super) drains: Table<'txn, &'static str, &'static [u8]>,
    pub(super) drain_parts: Table<'txn, &'static str, &'static [u8]>,
    pub(super) servers: Table<'txn, &'static str, &'static [u8]>,
    /// Whether this transaction has something to sync.
    pub(super) has_written: bool,
}

/// Reads every placement.
pub(super) struct Load(Reply<Vec<(BoardId, Placement)>>);

impl Load {
    pub(super) fn new(answer: Answer<Vec<(BoardId, Placement)>>) -> Self {
        Self(Reply::new(answer))
    }
}

impl Operation for Load {
    fn run(&mut self, tables: &mut Tables<'_>) -> Result<(), StorageError> {
        let read = |entry: Entry<'_>| {
            let (key, value) = entry;
            Ok((parse_key::<BoardId>(key)?, decode::<Placement>(key, value)?))
        };
        self.0.keep(collect(&tables.placements, read)?);
        Ok(())
    }

    fn answer(self: Box<Self>, fate: &Fate) {
        self.0.send(fate);
    }
}

/// Reads one placement.
pub(super) struct Read {
    board: BoardId,
    reply: Reply<Option<Placement>>,
}

impl Read {
    pub(super) fn new(board: BoardId, answer: Answer<Option<Placement>>) -> Self {
        Self {
            board,
            reply: Reply::new(answer),
        }
    }
}

impl Operation for Read {
    fn run(&mut self, tables: &mut Tables<'_>) -> Result<(), StorageError> {
        self.reply.keep(stored(&tables.placements, &self.board)?);
        Ok(())
    }

    fn answer(self: Box<Self>, fate: &Fate) {
        self.reply.send(fate);
    }
}

/// Writes a placement where the stored one is as expected.
pub(super) struct CompareAndSet {
    board: BoardId,
    expected: Option<Placement>,
    next: Placement,
    verdict: Verdict,
    answer: oneshot::Sender<Result<(), CasError>>,
}

/// What the comparison came to.
enum Verdict {
    NotReached,
    Written,
    Failed(CasError),
}

impl CompareAndSet {
    pub(super) fn new(
        board: BoardId,
        expected: Option<Placement>,
        next: Placement,
        answer: oneshot::Sender<Result<(), CasError>>,
    ) -> Self {
        Self {
            board,
            expected,
            next,
            verdict: Verdict::NotReached,
            answer,
        }
    }

    fn compare(&self, current: Result<Option<Placement>, RegistryError>) -> Result<(), CasError> {
        let current = current.map_err(|source| CasError::Unavailable { source })?;
        if current != self.expected {
            return Err(CasError::Refused { current });
        }
        match current {
            Some(current) if self.next.generation < current.generation || self.next.attempt < current.attempt => {
                Err(CasError::Lowered { current })
            }
            Some(_) | None => Ok(()),
        }
    }
}

impl Operation for CompareAndSet {
    fn run(&mut self, tables: &mut Tables<'_>) -> Result<(), StorageError> {
        self.verdict = match self.compare(stored(&tables.placements, &self.board)?) {
            Err(refusal) => Verdict::Failed(refusal),
            Ok(()) => {
                let record = serde_json::to_vec(&self.next).expect("a placement is numbers and strings");
                tables.placements.insert(self.board.as_str(), record.as_slice())?;
                tables.has_written = true;
                Verdict::Written
            }
        };
        Ok(())
    }

    fn answer(self: Box<Self>, fate: &Fate) {
        let unavailable = |source: &StoreFailure| RegistryError::Unavailable {
            source: Arc::clone(source),
        };
        let answer = match (self.verdict, fate) {
            (Verdict::Written, Fate::Synced) => Ok(()),
            (Verdict::Failed(error), Fate::Synced) => Err(error),
            (Verdict::Written, Fate::Unknown(failure)) => Err(CasError::Unknown {
                source: unavailable(failure),
            }),
            (Verdict::Written | Verdict::Failed(_) | Verdict::NotReached, Fate::NotWritten(failure))
            // What it was compared with may itself be lost.
            | (Verdict::Failed(_) | Verdict::NotReached, Fate::Unknown(failure)) => Err(CasError::Unavailable {
                source: unavailable(failure),
            }),
            (Verdict::NotReached, Fate::Synced) => unreachable!("a transaction is synced after all of it has run"),
        };
        let _ = self.answer.send(answer);
    }
}

/// Writes or forgets what is remembered of a server.
pub(super) struct PutServer {
    server: ServerName,
    record: Option<Vec<u8>>,
    reply: Reply<()>,
}

impl PutServer {
    pub(super) fn new(server: ServerName, record: Option<Vec<u8>>, answer: Answer<()>) -> Self {
        Self {
            server,
            record,
            reply: Reply::new(answer),
        }
    }
}

impl Operation for PutServer {
    fn run(&mut self, tables: &mut Tables<'_>) -> Result<(), StorageError> {
        match &self.record {
            Some(record) => tables.servers.insert(self.server.as_str(), record.as_slice())?,
            None => tables.servers.remove(self.server.as_str())?,
        };
        tables.has_written = true;
        self.reply.keep(Ok(()));
        Ok(())
    }

    fn answer(self: Box<Self>, fate: &Fate) {
        self.reply.send(fate);
    }
}

/// Reads what is remembered of servers.
pub(super) struct Servers(Reply<Vec<ServerRecord>>);

impl Servers {
    pub(super) fn new(answer: Answer<Vec<ServerRecord>>) -> Self {
        Self(Reply::new(answer))
    }
}

impl Operation for Servers {
    fn run(&mut self, tables: &mut Tables<'_>) -> Result<(), StorageError> {
        let read = |(key, value): Entry<'_>| Ok((parse_key::<ServerName>(key)?, value.to_vec()));
        self.0.keep(collect(&tables.servers, read)?);
        Ok(())
    }

    fn answer(self: Box<Self>, fate: &Fate) {
        self.0.send(fate);
    }
}

/// Where the answer of a read or of a drain's record goes.
pub(super) type Answer<T> = oneshot::Sender<Result<T, RegistryError>>;

type Entry<'entry> = (&'entry str, &'entry [u8]);

/// Keeps an operation's result until its transaction's fate is known.
struct Reply<T> {
    result: Option<Result<T, RegistryError>>,
    answer: Answer<T>,
}

impl<T> Reply<T> {
    fn new(answer: Answer<T>) -> Self {
        Self { result: None, answer }
    }

    fn keep(&mut self, result: Result<T, RegistryError>) {
        self.result = Some(result);
    }

    fn send(self, fate: &Fate) {
        let answer = match fate {
            Fate::Synced => self.result.expect("a transaction is synced after all of it has run"),
            Fate::NotWritten(source) | Fate::Unknown(source) => Err(RegistryError::Unavailable {
                source: Arc::clone(source),
            }),
        };
        let _ = self.answer.send(answer);
    }
}

fn stored(
    placements: &Table<'_, &'static str, &'static [u8]>,
    board: &BoardId,
) -> Result<Result<Option<Placement>, RegistryError>, StorageError> {
    let record = placements.get(board.as_str())?;
    Ok(record.map(|record| decode(board.as_str(), record.value())).transpose())
}

/// Reads a whole table; the inner error is a record's, the outer one the storage's.
fn collect<T>(
    table: &Table<'_, &'static str, &'static [u8]>,
    read: impl Fn(Entry<'_>) -> Result<T, RegistryError>,
) -> Result<Result<Vec<T>, RegistryError>, StorageError> {
    let mut records = Vec::new();
    for entry in table.iter()? {
        let (key, value) = entry?;
        match read((key.value(), value.value())) {
            Ok(record) => records.push(record),
            Err(damage) => return Ok(Err(damage)),
        }
    }
    Ok(Ok(records))
}

fn decode<T: DeserializeOwned>(key: &str, record: &[u8]) -> Result<T, RegistryError> {
    serde_json::from_slice(record).map_err(|error| RegistryError::Damaged {
        key: key.to_owned(),
        source: Arc::new(error),
    })
}

fn parse_key<T>(key: &str) -> Result<T, RegistryError>
where
    T: FromStr<Err = IdError>,
{
    key.parse().map_err(|error: IdError| RegistryError::Damaged {
        key: key.to_owned(),
        source: Arc::new(error),
    })
}
