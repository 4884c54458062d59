//! Drains: the jobs that move every board off some servers.
//!
//! ```text
//!   admin API ──▶ Drains (the desk) ──▶ one driver task per drain ──▶ Fleet (mover, board table, servers)
//!                    │      ▲                │        ▲
//!                    ▼      └── it has ended ┘        │ what to do next
//!                 registry ◀──── records ────┘      machine::drain::Drain
//! ```
//!
//! The machine decides, the driver carries out, the desk lets drains in, keeps them apart and says where newcomers go.
//! A drain's record is kept before it is accepted and before each of its moves; a gateway that was killed goes on.

mod admission;
mod desk;
mod driver;
mod events;
mod explanation;
mod fleet;
mod job;
#[cfg(test)]
pub(crate) mod memory_fleet;
mod moved;
mod newcomers;
mod plan;
mod preview;
mod record;
mod refusal;
mod retention;
#[cfg(test)]
pub(crate) mod tests;
mod undo;

pub use desk::{Drains, Started};
pub use events::{NumberedEvent, Read};
pub use fleet::{CORDONED, Fleet, FleetFuture, NamingError};
pub use job::Verb;
pub use plan::PlanError;
pub use refusal::{AskError, StartError};
pub use undo::UndoError;
