//! What drains mean for boards without an owner: they go to the release that the latest drain leads to, and not to the
//! servers that are being emptied.

use handover_protocol::ReleaseName;
use handover_protocol::admin::DrainState;

use super::record::DrainRecord;
use crate::board::Newcomers;

/// Works out where newcomers go; `configured` is the current release of the configuration.
pub(super) fn newcomers_after(drains: &[(DrainState, DrainRecord)], configured: &ReleaseName) -> Newcomers {
    // Where an operator has configured another release since, that counts and not the drain's.
    let leads = |(_, record): &&(DrainState, DrainRecord)| {
        record.plan.release.is_some() && record.configured_release == *configured
    };
    let latest = drains.iter().filter(leads).max_by_key(|(_, record)| record.number);
    let release = latest.and_then(|(_, record)| record.plan.release.clone());
    let running = drains.iter().filter(|(state, _)| !state.is_over());
    Newcomers {
        release: release.unwrap_or_else(|| configured.clone()),
        closed: running
            .flat_map(|(_, record)| record.plan.sources.iter().cloned())
            .collect(),
    }
}
