//! Where boards without an owner go: the current release, without the servers that are being emptied.

use std::collections::HashSet;

use handover_protocol::admin::DrainState;
use handover_protocol::{ReleaseName, ServerName};

use super::record::DrainRecord;

/// Where boards without an owner go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Newcomers {
    /// To servers of this release.
    pub release: ReleaseName,
    /// But not to these: drains empty them.
    pub closed: HashSet<ServerName>,
}

impl Newcomers {
    /// Works out what the drains mean for newcomers; `configured` is the current release of the configuration.
    pub(super) fn after(drains: &[(DrainState, &DrainRecord)], configured: &ReleaseName) -> Self {
        let leads = |(_, record): &&(DrainState, &DrainRecord)| {
            record.plan.release.is_some() && record.configured_release == *configured
        };
        let latest = drains.iter().filter(leads).max_by_key(|(_, record)| record.number);
        let release = latest.and_then(|(_, record)| record.plan.release.clone());
        let is_running = |(state, _): &&(DrainState, &DrainRecord)| *state == DrainState::Running;
        Self {
            release: release.unwrap_or_else(|| configured.clone()),
            closed: drains
                .iter()
                .filter(is_running)
                .flat_map(|(_, record)| record.plan.sources.iter().cloned())
                .collect(),
        }
    }
}
