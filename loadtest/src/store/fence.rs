//! The fence of a board: which process may write it, under which generation.

use std::collections::HashSet;

use handover_protocol::generation::Generation;
use handover_protocol::id::BoardId;
use handover_protocol::placement::Owner;

use super::error::StoreError;
use super::pools::{Store, on_pool, patiently};

/// A row of `fences`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence {
    /// The term.
    pub generation: Generation,
    /// The process, as `name/incarnation`.
    pub owner: String,
}

/// What came of taking a fence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FenceTaken {
    /// Whoever had it before can no longer write.
    Taken,
    /// Somebody has it under this generation or a higher one.
    Refused(Fence),
}

impl Fence {
    /// Returns the owner as the contract writes it; absent where the row does not name a process.
    pub fn owner_of_contract(&self) -> Option<Owner> {
        let (server, incarnation) = self.owner.split_once('/')?;
        Some(Owner {
            server: server.parse().ok()?,
            incarnation: Some(incarnation.parse().ok()?),
        })
    }
}

impl Store {
    /// Takes a board's fence where it is lower, or where this very process has it already.
    ///
    /// # Errors
    /// When the database does not answer; whether the fence was taken is not known then.
    pub async fn take_fence(
        &self,
        board: &BoardId,
        generation: Generation,
        owner: &str,
    ) -> Result<FenceTaken, StoreError> {
        loop {
            let taken = patiently!(on_pool!(&self.writes, pool => sqlx::query_as::<_, (i64,)>(TAKE)
                .bind(board.as_str()).bind(generation.number().cast_signed()).bind(owner)
                .fetch_optional(pool).await))?;
            if taken.is_some() {
                return Ok(FenceTaken::Taken);
            }
            // The row that refused us is there, as no row is ever deleted; it may have been raised since.
            if let Some(fence) = self.fence(board).await? {
                return Ok(FenceTaken::Refused(fence));
            }
        }
    }

    /// Reads a board's fence.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn fence(&self, board: &BoardId) -> Result<Option<Fence>, StoreError> {
        let row = on_pool!(&self.reads, pool => sqlx::query_as::<_, (i64, String)>(READ)
            .bind(board.as_str()).fetch_optional(pool).await)?;
        Ok(row.map(|(generation, owner)| Fence {
            generation: Generation::new(generation.cast_unsigned()),
            owner,
        }))
    }

    /// Reads which boards' fences a process holds.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn fences_of(&self, owner: &str) -> Result<HashSet<BoardId>, StoreError> {
        let rows = on_pool!(&self.reads, pool => sqlx::query_as::<_, (String,)>(READ_OWN)
            .bind(owner).fetch_all(pool).await)?;
        rows.into_iter().map(|(board,)| Ok(board.parse()?)).collect()
    }

    /// Reads every fence, by board.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn fences(&self) -> Result<Vec<(BoardId, Fence)>, StoreError> {
        let rows = on_pool!(&self.reads, pool => sqlx::query_as::<_, (String, i64, String)>(READ_ALL)
            .fetch_all(pool).await)?;
        rows.into_iter()
            .map(|(board, generation, owner)| {
                let generation = Generation::new(generation.cast_unsigned());
                Ok((board.parse()?, Fence { generation, owner }))
            })
            .collect()
    }
}

const TAKE: &str = "INSERT INTO fences (board, generation, owner) VALUES ($1, $2, $3) \
    ON CONFLICT (board) DO UPDATE SET generation = excluded.generation, owner = excluded.owner \
    WHERE fences.generation < excluded.generation \
    OR (fences.generation = excluded.generation AND fences.owner = excluded.owner) RETURNING generation";
const READ: &str = "SELECT generation, owner FROM fences WHERE board = $1";
const READ_OWN: &str = "SELECT board FROM fences WHERE owner = $1";
const READ_ALL: &str = "SELECT board, generation, owner FROM fences ORDER BY board";
