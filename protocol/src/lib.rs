//! The rules of Handover without I/O: no sockets, no clock, no async runtime.
//!
//! What goes over a wire or decides something lives here, where it can be tested to the last case; the gateway's
//! drivers only carry it out.

pub mod admin;
pub mod close;
pub mod contract;
pub mod frame;
pub mod generation;
pub mod id;
pub mod json;
pub mod machine;
pub mod openapi;
pub mod placement;

pub use generation::{Attempt, Generation, Revision};
pub use id::{BoardId, CoordinatorId, DrainId, IdError, Incarnation, ReleaseName, ServerName, SessionId};
pub use placement::{Owner, Placement, PlacementError, Term};
