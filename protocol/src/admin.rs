//! The bodies of the admin API: drains, boards, moves and servers. Later versions add fields and change none.

mod board;
mod drain;
mod moves;
mod pace;
mod problem;
mod server;

pub use board::{BoardList, BoardState, BoardView};
pub use drain::{
    DrainCounts, DrainList, DrainMode, DrainRequest, DrainState, DrainStatus, FailureCount, LevelCount, ServerSet,
};
pub use moves::{MoveList, MoveRecord, MoveReport, MoveRequest};
pub use pace::{Pace, PaceFault};
pub use problem::{Problem, ProblemType};
pub use server::{Level, ServerList, ServerView};
