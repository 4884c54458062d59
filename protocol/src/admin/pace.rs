//! How fast a drain goes.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How fast a drain goes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Pace {
    /// Moves begun per second, spread evenly; what a stall of up to a second cost is made up for. 0 sets no limit.
    #[schema(minimum = 0.0, maximum = 10000.0)]
    pub boards_per_second: f64,
    /// Moves under way at once.
    #[schema(minimum = 1, maximum = 1000)]
    pub boards_at_once: u32,
    /// Boards that one target loads at once.
    #[schema(minimum = 1, maximum = 1000)]
    pub loads_per_target: u32,
}

/// How fast a drain is to go; what is left out goes by `[drain]` of the gateway's configuration.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PaceRequest {
    /// Moves begun per second, spread evenly; what a stall of up to a second cost is made up for. 0 sets no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0.0, maximum = 10000.0)]
    pub boards_per_second: Option<f64>,
    /// Moves under way at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1000)]
    pub boards_at_once: Option<u32>,
    /// Boards that one target loads at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1000)]
    pub loads_per_target: Option<u32>,
}

impl PaceRequest {
    /// Returns the pace that is asked for, and that one where nothing is.
    pub fn or(self, pace: Pace) -> Pace {
        Pace {
            boards_per_second: self.boards_per_second.unwrap_or(pace.boards_per_second),
            boards_at_once: self.boards_at_once.unwrap_or(pace.boards_at_once),
            loads_per_target: self.loads_per_target.unwrap_or(pace.loads_per_target),
        }
    }
}

impl From<Pace> for PaceRequest {
    fn from(pace: Pace) -> Self {
        Self {
            boards_per_second: Some(pace.boards_per_second),
            boards_at_once: Some(pace.boards_at_once),
            loads_per_target: Some(pace.loads_per_target),
        }
    }
}

/// Says which part of a pace is out of its range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{field} has to be {allowed}")]
pub struct PaceFault {
    /// The part.
    pub field: &'static str,
    /// What it may be.
    pub allowed: &'static str,
}

impl Pace {
    /// Checks that every part is in its range.
    ///
    /// # Errors
    /// Names the first part that is not.
    pub fn check(&self) -> Result<(), PaceFault> {
        let fault = |field, allowed| Err(PaceFault { field, allowed });
        let rate = self.boards_per_second;
        // More per second than this is no pace.
        if !(0.0..=10_000.0).contains(&rate) {
            return fault("boards_per_second", "0 for no limit, or at most 10000");
        }
        if !(1..=1000).contains(&self.boards_at_once) {
            return fault("boards_at_once", "1 to 1000");
        }
        if !(1..=1000).contains(&self.loads_per_target) {
            return fault("loads_per_target", "1 to 1000");
        }
        Ok(())
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            boards_per_second: 50.0,
            boards_at_once: 32,
            loads_per_target: 16,
        }
    }
}
