//! What a drain's own words cannot say: why its targets take no boards, and whether its sources still have what they had.

use handover_protocol::ServerName;
use handover_protocol::admin::{DrainStatus, ServerState, ServerView};

use super::desk::Drains;
use super::fleet::CORDONED;
use super::job::Job;

impl Drains {
    /// Adds what is known of the servers to what a drain says.
    pub(super) fn explained(&self, job: &Job, mut status: DrainStatus) -> DrainStatus {
        let names_targets = |reason: &str| reason == "target_down" || reason == "no_target";
        if status.undo_until_ms.is_none() && !status.waits_for.iter().any(|wait| names_targets(&wait.reason)) {
            return status;
        }
        let servers = self.fleet.servers();
        let state_of = |name: &ServerName| {
            servers
                .iter()
                .find(|server| server.name == *name)
                .map(|view| view.state)
        };
        // A process that is gone has nothing in memory.
        let is_gone = |name: &ServerName| matches!(state_of(name), Some(ServerState::Down) | None);
        if job.plan.sources.iter().all(is_gone) {
            status.undo_until_ms = None;
        }
        let causes: Vec<String> = job
            .plan
            .targets
            .iter()
            .filter_map(|target| servers.iter().find(|server| server.name == *target))
            .filter_map(cause)
            .collect();
        for wait in status.waits_for.iter_mut().filter(|wait| names_targets(&wait.reason)) {
            for cause in &causes {
                wait.detail.push_str("; ");
                wait.detail.push_str(cause);
            }
        }
        status
    }
}

/// Says why a server takes no boards, and what to type where a command mends it; nothing where it does.
fn cause(server: &ServerView) -> Option<String> {
    let name = &server.name;
    match (server.state, &server.reason) {
        // Who is closed for another reason is not opened by a command.
        (ServerState::Cordoned, Some(reason)) if reason != CORDONED => Some(format!("{name} is closed: {reason}")),
        (ServerState::Cordoned, _) => Some(format!("{name} is cordoned: handover servers uncordon {name}")),
        (ServerState::Down, Some(reason)) => Some(format!("{name} is down: {reason}")),
        (ServerState::Down, None) => Some(format!("{name} is down")),
        (ServerState::Ready | ServerState::Draining, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drain::memory_fleet::{Handle, MemoryFleet};

    #[test]
    fn a_target_that_was_cordoned_is_named_with_the_command_that_opens_it() {
        let fleet = Handle(MemoryFleet::new(0));
        let closed = |reason: &str| ServerView {
            state: ServerState::Cordoned,
            reason: Some(reason.to_owned()),
            ..crate::drain::Fleet::servers(&fleet).remove(3)
        };
        let said = cause(&closed(CORDONED)).unwrap();
        assert_eq!(said, "d is cordoned: handover servers uncordon d");
        let said = cause(&closed("it says itself that it is not ready to take boards")).unwrap();
        assert!(!said.contains("uncordon"), "{said}");
    }
}
