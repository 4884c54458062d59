//! What takes a board longer than a moment: loading it, taking its fence, reading it anew.

use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;

use handover_protocol::contract::{ActivateRequest, Activated, PrepareRequest, Prepared, ThawRequest, Thawed};
use handover_protocol::generation::Generation;
use handover_protocol::id::BoardId;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::sleep;

use super::event::Reply;
use crate::board_server::server::Server;
use crate::store::{ChangeRow, Fence, FenceTaken, StoreError};

/// Something under way, with who waits for it.
pub(super) struct Work {
    kind: Option<Kind>,
    future: Pin<Box<dyn Future<Output = Outcome> + Send>>,
}

/// Why it is under way.
pub(super) enum Kind {
    /// A standby is loaded or brought up to date.
    Standby(Vec<Reply<Prepared>>),
    /// The fence is taken, and what is new is read.
    Activation(ActivateRequest, Reply<Activated>),
    /// The board is loaded for its first visitor.
    Opening,
    /// A freeze has outlived its deadline.
    SelfThaw,
    /// The gateway gives the board back.
    Thaw(ThawRequest, Reply<Thawed>),
    /// The board may have been given to another process behind this one's back.
    FenceCheck,
    /// A board that was owned once is to be a standby.
    OwnershipCheck(PrepareRequest, Reply<Prepared>),
    /// Somebody else wrote the board: it is read anew.
    Rereading,
}

/// What came of it.
pub(super) enum Outcome {
    /// Changes behind what was known.
    Read(Result<Vec<ChangeRow>, StoreError>),
    /// The fence, and changes behind what was known where it was taken.
    Fence(Result<(FenceTaken, Vec<ChangeRow>), StoreError>),
    /// The fence as it is.
    FenceRead(Result<Option<Fence>, StoreError>),
}

impl Work {
    /// Begins something.
    pub(super) fn new(kind: Kind, future: impl Future<Output = Outcome> + Send + 'static) -> Self {
        Self {
            kind: Some(kind),
            future: Box::pin(future),
        }
    }

    /// Waits for what is under way, if anything is, and takes it away.
    pub(super) async fn finished(work: &mut Option<Self>) -> (Kind, Outcome) {
        let Some(under_way) = work else {
            return pending().await;
        };
        let outcome = under_way.future.as_mut().await;
        let kind = work.take().and_then(|mut done| done.kind.take());
        (kind.expect("taken only here, with the work itself"), outcome)
    }

    /// Returns who waits for a standby, if that is what is under way.
    pub(super) fn standby_waiters(&mut self) -> Option<&mut Vec<Reply<Prepared>>> {
        match self.kind.as_mut()? {
            Kind::Standby(waiters) => Some(waiters),
            Kind::Activation(..)
            | Kind::Opening
            | Kind::SelfThaw
            | Kind::Thaw(..)
            | Kind::FenceCheck
            | Kind::OwnershipCheck(..)
            | Kind::Rereading => None,
        }
    }

    /// Reads whether changes have to wait for it to be numbered anew.
    pub(super) fn is_rereading(&self) -> bool {
        matches!(self.kind, Some(Kind::Rereading))
    }
}

/// How much of a board is there already.
#[derive(Debug)]
pub(super) enum Known {
    /// Nothing, so that loading takes its time; `Some` where the place among the loads has been found already.
    Nothing(Option<OwnedSemaphorePermit>),
    /// Everything up to this revision.
    UpTo(u64),
}

/// Reads what is not known of a board.
pub(super) async fn read(server: Arc<Server>, board: BoardId, known: Known) -> Outcome {
    Outcome::Read(load(&server, &board, known).await)
}

/// Takes the fence of a board and then reads what is not known of it, to the end.
pub(super) async fn take_fence(server: Arc<Server>, board: BoardId, known: Known, generation: Generation) -> Outcome {
    let result = async {
        let taken = server.store.take_fence(&board, generation, &server.owner).await?;
        let rows = match &taken {
            FenceTaken::Taken => load(&server, &board, known).await?,
            FenceTaken::Refused(_) => Vec::new(),
        };
        Ok((taken, rows))
    };
    Outcome::Fence(result.await)
}

/// Reads a board's fence.
pub(super) async fn read_fence(server: Arc<Server>, board: BoardId) -> Outcome {
    Outcome::FenceRead(server.store.fence(&board).await)
}

async fn load(server: &Server, board: &BoardId, known: Known) -> Result<Vec<ChangeRow>, StoreError> {
    match known {
        Known::UpTo(revision) => server.store.changes_after(board, revision).await,
        Known::Nothing(place) => {
            let _place = match place {
                Some(place) => place,
                None => server.place_among_loads().await,
            };
            sleep(server.settings.load_time).await;
            server.store.changes_after(board, 0).await
        }
    }
}
