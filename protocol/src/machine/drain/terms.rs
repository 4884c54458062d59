//! What a drain was asked to keep to.

use std::time::Duration;

use crate::admin::{DrainMode, DrainRequest, OnDeadline, OnTargetDown, Pace};

/// How a drain goes, when it has to be over, and what happens where it is not.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Terms {
    /// How sessions cross.
    pub mode: DrainMode,
    /// How fast.
    pub pace: Pace,
    /// How long it may run; time that it was paused does not count.
    pub deadline: Option<Duration>,
    /// What happens then, with boards left.
    pub on_deadline: OnDeadline,
    /// What happens when a target stops being ready.
    pub on_target_down: OnTargetDown,
}

impl Terms {
    /// Goes at a pace, without a deadline, and with the targets that are left.
    pub fn plain(mode: DrainMode, pace: Pace) -> Self {
        Self {
            mode,
            pace,
            deadline: None,
            on_deadline: OnDeadline::default(),
            on_target_down: OnTargetDown::Continue,
        }
    }
}

impl From<&DrainRequest> for Terms {
    /// Takes what a request says; where it says nothing, what is built in.
    fn from(request: &DrainRequest) -> Self {
        let deadline = request.deadline_seconds.filter(|seconds| *seconds > 0);
        Self {
            mode: request.mode.unwrap_or_default(),
            pace: request.pace.or(Pace::default()),
            deadline: deadline.map(Duration::from_secs),
            on_deadline: request.on_deadline.unwrap_or_default(),
            on_target_down: request.on_target_down.unwrap_or_default(),
        }
    }
}
