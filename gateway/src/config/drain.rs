//! What drains go by where their request says nothing else, and what holds for every move.

use std::time::Duration;

use handover_protocol::admin::DrainDefaults;

/// What `[drain]` says.
#[derive(Debug, Clone, PartialEq)]
pub struct DrainConfig {
    /// For how long a board stays where a move has brought it; zero sets no bound.
    pub board_move_interval: Duration,
    /// What requests leave out.
    pub defaults: DrainDefaults,
}

impl Default for DrainConfig {
    fn default() -> Self {
        Self {
            board_move_interval: BOARD_MOVE_INTERVAL,
            defaults: DrainDefaults::default(),
        }
    }
}

/// Twice the longest hold: a board that wanders serves its users for most of the time all the same. After a restart, when
/// every board counts as just moved, a drain stands still for no longer.
pub const BOARD_MOVE_INTERVAL: Duration = Duration::from_secs(10);

/// A board that was moved an hour ago may be moved again.
pub const BOARD_MOVE_INTERVAL_MAX: Duration = Duration::from_hours(1);
