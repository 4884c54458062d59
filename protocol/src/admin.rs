//! The bodies of the admin API: drains, boards, moves and servers. Later versions add fields and change none.

mod board;
mod config;
mod drain;
mod drain_defaults;
mod moves;
mod pace;
mod problem;
mod server;
mod server_set;

pub use board::{BoardList, BoardState, BoardView, SessionList, SessionView};
pub use config::{ConfigFinding, ConfigReloaded, ServerInUse, ServerWish, ServersReloaded};
pub use drain::{
    DrainCounts, DrainEvent, DrainList, DrainMode, DrainPreview, DrainRequest, DrainState, DrainStatus, FailureCount,
    Hindrance, LevelCount, OnDeadline, OnTargetDown, PausedBy, PlannedBoard, PreviewTotals, TroubledBoard,
};
pub use drain_defaults::{DEADLINE_SECONDS_MAX, DrainDefaults, UNDO_WINDOW_SECONDS_MAX};
pub use moves::{MoveList, MoveRecord, MoveReport, MoveRequest};
pub use pace::{Pace, PaceFault, PaceRequest};
pub use problem::{Problem, ProblemType};
pub use server::{
    DEFAULT_WEIGHT, DeathReport, Level, ServerList, ServerOrigin, ServerRequest, ServerState, ServerTls, ServerView,
};
pub use server_set::ServerSet;
