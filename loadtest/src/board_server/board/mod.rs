//! One board in a server's memory: a task that owns it, to which others send what happens.
//!
//! ```text
//!            prepare                activate                 freeze
//!   Empty ───────────▶ Standby ───────────────▶ Owner ◀──────────────▶ Frozen
//!     │                   │      (takes the      │  ▲       thaw,        │
//!     │                   │       fence)         │  │  deadline passed   │
//!     └───────────────────┼─────── activate ─────┼──┘                    │
//!   Empty ◀───────────────┴──────────────────────┴───────────────────────┘
//!            forgotten         fenced out            forgotten
//! ```
//!
//! The task never waits: what takes time (loading, saving, a fence) is a future that it polls beside its mailbox. At
//! most one batch of changes is being saved, and changes are acknowledged and passed on in the order of their
//! revisions once they are.

mod actor;
mod batch;
mod canvas;
mod contract;
mod event;
mod freeze;
mod outcome;
mod roster;
mod sessions;
mod work;

pub(super) use actor::Actor;
pub(super) use event::{Arrival, Attach, Attached, Event, Flavor, Order, Reply, Said, SessionKey};
