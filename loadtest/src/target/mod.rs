//! Load on any WebSocket server: a script says what a user does and how answers are recognised, the ledger counts.
//!
//! There is no database to compare with: what is judged is what was sent against what came back.

mod crowd;
mod guest;
mod script;

pub use crowd::{TargetError, TargetLoad, run};
pub use script::{Script, ScriptError};
