//! What a drain request comes to: which servers exactly, and which release newcomers go to.

use std::collections::BTreeSet;

use handover_protocol::admin::{
    DEADLINE_SECONDS_MAX, DrainRequest, Pace, PaceFault, ServerSet, ServerView, UNDO_WINDOW_SECONDS_MAX,
};
use handover_protocol::{ReleaseName, ServerName};
use serde::{Deserialize, Serialize};

/// The servers of a drain, fixed when it begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DrainPlan {
    pub(super) sources: Vec<ServerName>,
    pub(super) targets: Vec<ServerName>,
    /// The release that newcomers go to from the drain's start on; nothing where the drain leads to no single one, or
    /// to the one that all sources run.
    pub(super) release: Option<ReleaseName>,
}

/// Says which part of a drain request cannot be carried out. A retry helps only after a change of the request or of
/// the configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A set names no server.
    #[error("{field} names no server; name at least one")]
    Empty {
        /// The set.
        field: &'static str,
    },
    /// There is no such server.
    #[error("no server is named {server}; the configuration has {known}")]
    UnknownServer {
        /// The set and the place in it.
        field: String,
        /// The name.
        server: ServerName,
        /// Every name there is.
        known: String,
    },
    /// No server runs that release.
    #[error("no server runs release {release}; the configuration has {known}")]
    UnknownRelease {
        /// Which release of the request.
        field: &'static str,
        /// The name.
        release: ReleaseName,
        /// Every release there is.
        known: String,
    },
    /// A server would be emptied and filled at once.
    #[error("server {server} is in both `from` and `to`")]
    SourceIsTarget {
        /// The server.
        server: ServerName,
    },
    /// Every server of the release is to be emptied.
    #[error("release {release} has no server beside those in `from`")]
    NoOtherServer {
        /// The release.
        release: ReleaseName,
    },
    /// The labels are too many or too long.
    #[error("labels are at most {LABELS_MAX} pairs, of names of 1 to 64 bytes and values of at most 256")]
    Labels,
    /// A duration is out of its range.
    #[error("{field} has to be {allowed}")]
    Seconds {
        /// Which.
        field: &'static str,
        /// What it may be.
        allowed: &'static str,
    },
    /// The pace is out of its range.
    #[error("{0}")]
    Pace(#[from] PaceFault),
}

impl DrainPlan {
    /// Works out what the request means for the configured servers.
    ///
    /// # Errors
    /// See [`PlanError`].
    pub(super) fn new(request: &DrainRequest, servers: &[ServerView]) -> Result<Self, PlanError> {
        request.pace.or(Pace::default()).check()?;
        check_seconds(request)?;
        check_labels(request)?;
        let sources = members(&request.from, "from", servers)?;
        let mut targets = members(&request.to, "to", servers)?;
        match (&request.from, &request.to) {
            // Some servers of a release into its others: the usual way to empty a machine.
            (ServerSet::Servers(_), ServerSet::Release(release)) => {
                targets.retain(|target| !sources.contains(target));
                if targets.is_empty() {
                    return Err(PlanError::NoOtherServer {
                        release: release.clone(),
                    });
                }
            }
            (ServerSet::Servers(_) | ServerSet::Release(_), ServerSet::Servers(_))
            | (ServerSet::Release(_), ServerSet::Release(_)) => {
                if let Some(server) = targets.iter().find(|target| sources.contains(target)) {
                    return Err(PlanError::SourceIsTarget { server: server.clone() });
                }
            }
        }
        let from = releases_of(&sources, servers);
        let mut to = releases_of(&targets, servers);
        let release = to
            .pop_first()
            .filter(|to_release| to.is_empty() && from.iter().any(|one| one != to_release));
        Ok(Self {
            release: release.cloned(),
            sources,
            targets,
        })
    }

    /// Reads whether the two cannot run at once: one would empty what the other empties or fills.
    pub(super) fn conflicts_with(&self, other: &Self) -> bool {
        let share = |a: &[ServerName], b: &[ServerName]| a.iter().any(|server| b.contains(server));
        share(&self.sources, &other.sources)
            || share(&self.sources, &other.targets)
            || share(&self.targets, &other.sources)
    }
}

impl PlanError {
    /// Names the part of the request at fault.
    pub fn field(&self) -> String {
        match self {
            Self::Empty { field } => format!("{field}.servers"),
            Self::UnknownServer { field, .. } => field.clone(),
            Self::UnknownRelease { field, .. } => format!("{field}.release"),
            Self::SourceIsTarget { .. } | Self::NoOtherServer { .. } => "to".to_owned(),
            Self::Pace(fault) => format!("pace.{}", fault.field),
            Self::Labels => "labels".to_owned(),
            Self::Seconds { field, .. } => (*field).to_owned(),
        }
    }
}

fn check_seconds(request: &DrainRequest) -> Result<(), PlanError> {
    let fault = |field, allowed| Err(PlanError::Seconds { field, allowed });
    if request
        .deadline_seconds
        .is_some_and(|seconds| seconds > DEADLINE_SECONDS_MAX)
    {
        return fault("deadline_seconds", "at most 604800 (a week), or 0 for none");
    }
    if request
        .undo_window_seconds
        .is_some_and(|seconds| seconds > UNDO_WINDOW_SECONDS_MAX)
    {
        return fault("undo_window_seconds", "at most 86400 (a day)");
    }
    Ok(())
}

fn check_labels(request: &DrainRequest) -> Result<(), PlanError> {
    let fits = |(name, value): (&String, &String)| (1..=64).contains(&name.len()) && value.len() <= 256;
    if request.labels.len() <= LABELS_MAX && request.labels.iter().all(fits) {
        Ok(())
    } else {
        Err(PlanError::Labels)
    }
}

/// Notes, not documents: they are written down with every step.
const LABELS_MAX: usize = 16;

/// Returns the servers of a set, each once.
fn members(set: &ServerSet, field: &'static str, servers: &[ServerView]) -> Result<Vec<ServerName>, PlanError> {
    match set {
        ServerSet::Servers(names) if names.is_empty() => Err(PlanError::Empty { field }),
        ServerSet::Servers(names) => {
            let unknown = |name: &ServerName| !servers.iter().any(|server| server.name == *name);
            if let Some((place, server)) = names.iter().enumerate().find(|(_, name)| unknown(name)) {
                return Err(PlanError::UnknownServer {
                    field: format!("{field}.servers[{place}]"),
                    server: server.clone(),
                    known: listed(servers.iter().map(|server| server.name.as_str())),
                });
            }
            let unique: BTreeSet<ServerName> = names.iter().cloned().collect();
            Ok(unique.into_iter().collect())
        }
        ServerSet::Release(release) => {
            let runs_it = |server: &&ServerView| server.release == *release;
            let members: Vec<ServerName> = servers
                .iter()
                .filter(runs_it)
                .map(|server| server.name.clone())
                .collect();
            if members.is_empty() {
                return Err(PlanError::UnknownRelease {
                    field,
                    release: release.clone(),
                    known: listed(servers.iter().map(|server| server.release.as_str())),
                });
            }
            Ok(members)
        }
    }
}

fn releases_of<'a>(names: &[ServerName], servers: &'a [ServerView]) -> BTreeSet<&'a ReleaseName> {
    let named = |server: &&ServerView| names.contains(&server.name);
    servers.iter().filter(named).map(|server| &server.release).collect()
}

fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: BTreeSet<&str> = names.collect();
    names.into_iter().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drain::Fleet;
    use crate::drain::memory_fleet::{Handle, MemoryFleet};

    fn plan(from: &str, to: &str) -> Result<DrainPlan, PlanError> {
        let request = format!(r#"{{"from": {from}, "to": {to}}}"#);
        let servers = Handle(MemoryFleet::new(0)).servers();
        DrainPlan::new(&serde_json::from_str(&request).unwrap(), &servers)
    }

    #[test]
    fn a_request_becomes_servers_and_the_release_of_newcomers() {
        let check = |from: &str, to: &str, sources: &str, targets: &str, release: Option<&str>| {
            let plan = plan(from, to).unwrap();
            let names = |names: &[ServerName]| names.iter().map(ServerName::as_str).collect::<String>();
            assert_eq!(
                (names(&plan.sources).as_str(), names(&plan.targets).as_str()),
                (sources, targets)
            );
            assert_eq!(
                plan.release.as_ref().map(ReleaseName::as_str),
                release,
                "{from} to {to}"
            );
        };
        check(r#"{"release": "r1"}"#, r#"{"release": "r2"}"#, "ab", "cd", Some("r2"));
        check(
            r#"{"servers": ["b", "a", "b"]}"#,
            r#"{"servers": ["c"]}"#,
            "ab",
            "c",
            Some("r2"),
        );
        check(r#"{"servers": ["a"]}"#, r#"{"servers": ["b", "c"]}"#, "a", "bc", None);
        check(r#"{"servers": ["a"]}"#, r#"{"release": "r1"}"#, "a", "b", None);
        check(
            r#"{"servers": ["a", "c"]}"#,
            r#"{"servers": ["b"]}"#,
            "ac",
            "b",
            Some("r1"),
        );
    }

    #[test]
    fn what_cannot_be_carried_out_is_named() {
        let check = |from: &str, to: &str, field: &str| assert_eq!(plan(from, to).unwrap_err().field(), field);
        check(r#"{"servers": []}"#, r#"{"release": "r2"}"#, "from.servers");
        check(r#"{"servers": ["a"]}"#, r#"{"servers": []}"#, "to.servers");
        check(r#"{"servers": ["a", "x"]}"#, r#"{"release": "r2"}"#, "from.servers[1]");
        check(r#"{"release": "r1"}"#, r#"{"release": "r9"}"#, "to.release");
        check(r#"{"release": "r1"}"#, r#"{"release": "r1"}"#, "to");
        check(r#"{"release": "r1"}"#, r#"{"servers": ["b"]}"#, "to");
        check(r#"{"servers": ["a", "b"]}"#, r#"{"release": "r1"}"#, "to");
    }

    #[test]
    fn drains_conflict_where_one_empties_what_the_other_touches() {
        let plan = |from: &str, to: &str| {
            plan(&format!(r#"{{"servers": {from}}}"#), &format!(r#"{{"servers": {to}}}"#)).unwrap()
        };
        let first = plan(r#"["a"]"#, r#"["b"]"#);
        let check = |from: &str, to: &str, conflicts: bool| {
            assert_eq!(first.conflicts_with(&plan(from, to)), conflicts, "{from} to {to}");
        };
        check(r#"["a"]"#, r#"["c"]"#, true);
        check(r#"["b"]"#, r#"["c"]"#, true);
        check(r#"["c"]"#, r#"["a"]"#, true);
        check(r#"["c"]"#, r#"["b"]"#, false);
        check(r#"["c"]"#, r#"["d"]"#, false);
    }
}
