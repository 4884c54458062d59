//! What the board servers have written, as the ledger takes it.

use handover_protocol::id::BoardId;

use crate::ledger::{Repeat, Stored, UserName};
use crate::store::{Store, StoreError};
use crate::user::is_intact;
use crate::wire::Body;

/// The tables of the board servers' database.
#[derive(Debug, Clone, Default)]
pub struct Written {
    /// The changes, by board and revision.
    pub stored: Vec<Stored>,
    /// One for each arrival of a change that was already there.
    pub repeats: Vec<Repeat>,
    /// Which server may write each board.
    pub fences: Vec<(BoardId, String)>,
}

/// Looks whether the board servers' database is there, and can be read, before anybody comes.
///
/// # Errors
/// When it is not: a file is never made here.
pub async fn find_database(url: &str) -> Result<(), StoreError> {
    Store::find(url).await?.close().await;
    Ok(())
}

/// Reads everything; `user_prefix` tells whose changes have a content that is known.
///
/// # Errors
/// When the database cannot be read.
pub async fn read_database(url: &str, user_prefix: &str) -> Result<Written, StoreError> {
    let store = Store::open(url).await?;
    let stored = store.changes().await?.into_iter().map(|row| Stored {
        is_intact: body_is_intact(user_prefix, &row.author, row.seq, &row.body),
        board: row.board,
        revision: row.revision,
        author: UserName::new(&row.author),
        seq: row.seq,
    });
    let repeats = store.repeats().await?.into_iter().map(|row| Repeat {
        board: row.board,
        author: UserName::new(&row.author),
        seq: row.seq,
    });
    let fences = store.fences().await?.into_iter().map(|(board, fence)| {
        let server = fence.owner.split('/').next().unwrap_or_default();
        (board, server.to_owned())
    });
    let written = Written {
        stored: stored.collect(),
        repeats: repeats.collect(),
        fences: fences.collect(),
    };
    store.close().await;
    Ok(written)
}

fn body_is_intact(user_prefix: &str, author: &str, seq: u64, body: &str) -> bool {
    match serde_json::from_str(body) {
        Ok(Body::Stroke { color, points, .. }) => is_intact(user_prefix, author, seq, &color, &points),
        // No virtual user sends anything but strokes.
        Ok(Body::Opaque(_)) | Err(_) => is_intact(user_prefix, author, seq, "", &[]),
    }
}
