//! What a drain goes by where its request says nothing.

use super::{DrainMode, DrainRequest, OnDeadline, OnTargetDown, Pace, PaceRequest};

/// What a drain goes by where its request says nothing: `[drain]` of the configuration, or what is built in.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DrainDefaults {
    /// How sessions cross.
    pub mode: DrainMode,
    /// How fast.
    pub pace: Pace,
    /// How long it may take; none: as long as it needs.
    pub deadline_seconds: Option<u64>,
    /// What happens when the deadline has passed with boards left.
    pub on_deadline: OnDeadline,
    /// What happens when a target stops being ready.
    pub on_target_down: OnTargetDown,
    /// For how long the sources keep what they had; 0: they drop it at once.
    pub undo_window_seconds: u64,
}

impl DrainDefaults {
    /// Returns the request with everything in it that it goes by.
    pub fn complete(&self, request: &DrainRequest) -> DrainRequest {
        DrainRequest {
            mode: Some(request.mode.unwrap_or(self.mode)),
            pace: PaceRequest::from(request.pace.or(self.pace)),
            deadline_seconds: request.deadline_seconds.or(self.deadline_seconds),
            on_deadline: Some(request.on_deadline.unwrap_or(self.on_deadline)),
            on_target_down: Some(request.on_target_down.unwrap_or(self.on_target_down)),
            undo_window_seconds: Some(request.undo_window_seconds.unwrap_or(self.undo_window_seconds)),
            ..request.clone()
        }
    }
}

/// A week: a drain that may take longer needs no deadline.
pub const DEADLINE_SECONDS_MAX: u64 = 604_800;

/// A day: what sources keep warm costs them memory.
pub const UNDO_WINDOW_SECONDS_MAX: u64 = 86_400;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::ServerSet;

    fn request(text: &str) -> DrainRequest {
        let whole = format!(r#"{{"from": {{"release": "r1"}}, "to": {{"release": "r2"}}{text}}}"#);
        serde_json::from_str(&whole).unwrap()
    }

    #[test]
    fn a_request_goes_before_what_is_configured() {
        let defaults = DrainDefaults {
            mode: DrainMode::Reconnect,
            pace: Pace {
                boards_per_second: 7.0,
                ..Pace::default()
            },
            deadline_seconds: Some(600),
            on_deadline: OnDeadline::Pause,
            on_target_down: OnTargetDown::Continue,
            undo_window_seconds: 60,
        };
        let silent = defaults.complete(&request(""));
        assert_eq!(silent.mode, Some(DrainMode::Reconnect));
        assert_eq!(silent.pace.or(Pace::default()), defaults.pace);
        assert_eq!(
            (silent.deadline_seconds, silent.undo_window_seconds),
            (Some(600), Some(60))
        );
        assert_eq!(silent.on_deadline, Some(OnDeadline::Pause));
        assert_eq!(silent.on_target_down, Some(OnTargetDown::Continue));
        assert_eq!(DrainDefaults::default().complete(&silent), silent, "it is complete");
        let outspoken = request(
            r#", "mode": "auto", "pace": {"boards_at_once": 3}, "deadline_seconds": 0, "on_deadline": "stop",
               "on_target_down": "pause", "undo_window_seconds": 0"#,
        );
        let outspoken = defaults.complete(&outspoken);
        assert_eq!(outspoken.mode, Some(DrainMode::Auto));
        let pace = outspoken.pace.or(Pace::default());
        assert_eq!((pace.boards_per_second, pace.boards_at_once), (7.0, 3));
        assert_eq!(
            (outspoken.deadline_seconds, outspoken.undo_window_seconds),
            (Some(0), Some(0))
        );
        assert_eq!(outspoken.on_deadline, Some(OnDeadline::Stop));
        assert_eq!(outspoken.from, ServerSet::Release("r1".parse().unwrap()));
    }
}
