//! How many connections the operating system's bound on open files leaves room for.

use std::fmt;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::{info, warn};

use crate::config::Limits;

/// Raises this process's bound on open files to the highest that it may set itself.
///
/// Shells and service managers start processes with a low bound for the sake of programs that use `select`; this one
/// does not. A process that starts others hands its bound on to them.
pub fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => info!(
            files = limit.maximum.unwrap_or(u64::MAX),
            "the bound on open files is the highest there is"
        ),
        Err(error) => warn!(%error, "the bound on open files cannot be raised"),
    }
}

/// Fewer open files than a configuration asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shortage {
    files: u64,
    fit: usize,
    connections_max: usize,
    sessions_max: usize,
}

impl Shortage {
    /// Looks whether a gateway that is started by whoever starts this process could open all the files that it may need.
    pub fn of_this_process(limits: &Limits) -> Option<Self> {
        // A gateway raises the bound as far as it may.
        Self::within(getrlimit(Resource::Nofile).maximum?, limits)
    }

    fn within(files: u64, limits: &Limits) -> Option<Self> {
        let fit = connections_within(usize::try_from(files).unwrap_or(usize::MAX));
        (fit < limits.connections_max).then_some(Self {
            files,
            fit,
            connections_max: limits.connections_max,
            sessions_max: limits.sessions_max,
        })
    }
}

impl fmt::Display for Shortage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { files, fit, .. } = self;
        let needed = self.connections_max.saturating_mul(2).saturating_add(FILES_RESERVED);
        let (setting, wanted) = match *fit < self.sessions_max {
            true => ("sessions_max", self.sessions_max),
            false => ("connections_max", self.connections_max),
        };
        write!(
            formatter,
            "{files} open files carry {fit} connections, and limits.{setting} is {wanted}; newcomers beyond will wait: \
             raise LimitNOFILE (ulimit -n) to {needed}, or lower the limit"
        )
    }
}

/// Returns how many client connections there may be: as many as are asked for, or as many as there are files for.
///
/// Each takes a file for its client and one for its server; some are kept for everything else, so that the admin API,
/// control calls and the registry work on when the gateway is full.
pub(super) fn connections_that_fit(limits: &Limits) -> usize {
    let files = getrlimit(Resource::Nofile).current;
    match files.and_then(|files| Shortage::within(files, limits)) {
        None => limits.connections_max,
        Some(shortage) => {
            warn!("{shortage}");
            shortage.fit
        }
    }
}

fn connections_within(files: usize) -> usize {
    (files.saturating_sub(FILES_RESERVED) / 2).max(1)
}

/// Listeners, registry, logs, admin and control connections, idle connections to servers.
const FILES_RESERVED: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_takes_two_files_and_some_are_kept_for_the_rest() {
        let check = |files: usize, expected: usize| assert_eq!(connections_within(files), expected, "{files}");
        check(1024, 480);
        check(256, 96);
        check(64, 1);
        check(0, 1);
        check(usize::MAX, (usize::MAX - 64) / 2);
    }

    #[test]
    fn too_few_files_are_told_with_what_they_carry_and_what_is_needed() {
        let limits = Limits {
            sessions_max: 1000,
            connections_max: 1100,
            ..Limits::default()
        };
        assert_eq!(Shortage::within(2264, &limits), None);
        let told = |files| Shortage::within(files, &limits).unwrap().to_string();
        assert_eq!(
            told(1024),
            "1024 open files carry 480 connections, and limits.sessions_max is 1000; newcomers beyond will wait: raise \
             LimitNOFILE (ulimit -n) to 2264, or lower the limit"
        );
        assert!(told(2262).contains("carry 1099 connections, and limits.connections_max is 1100;"));
    }
}
