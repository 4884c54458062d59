//! Reads `[health]`.

use std::time::Duration;

use super::tree::Section;
use crate::config::HealthConfig;

pub(super) fn read_health(mut section: Section<'_>) -> HealthConfig {
    let mut health = HealthConfig::default();
    let thresholds = &mut health.thresholds;
    let mut time = |name, place: &mut Duration| section.duration(name, place, TIME_MIN..=TIME_MAX);
    time("interval", &mut health.interval);
    time("timeout", &mut health.timeout);
    time("down_after", &mut thresholds.down_after);
    time("refused_down_after", &mut thresholds.refused_down_after);
    section.read("up_after", &mut thresholds.up_after, |item| {
        u32::try_from(item.number(1..=UP_AFTER_MAX)?).ok()
    });
    if thresholds.down_after < health.timeout {
        let problem = format!(
            "is below health.timeout ({:?}): one late answer would do",
            health.timeout
        );
        section
            .spot_of("down_after")
            .fault(problem, "raise it to a few times health.timeout");
    }
    if thresholds.refused_down_after > thresholds.down_after {
        section.spot_of("refused_down_after").fault(
            "is above health.down_after, so that it never counts",
            "lower it, or raise down_after",
        );
    }
    section.close();
    health
}

/// Below this a scheduler's hiccup would count as a death.
const TIME_MIN: Duration = Duration::from_millis(100);

/// Beyond this nobody is watching.
const TIME_MAX: Duration = Duration::from_mins(10);

/// More answers than this are no evidence any more.
const UP_AFTER_MAX: u64 = 100;
