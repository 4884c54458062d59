//! How many connections the operating system's bound on open files leaves room for.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::{info, warn};

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

/// Returns how many client connections there may be: as many as are asked for, or as many as there are files for.
///
/// Each takes a file for its client and one for its server; some are kept for everything else, so that the admin API,
/// control calls and the registry work on when the gateway is full.
pub(super) fn connections_that_fit(connections_max: usize) -> usize {
    let Some(files) = getrlimit(Resource::Nofile).current else {
        return connections_max;
    };
    let fit = connections_within(usize::try_from(files).unwrap_or(usize::MAX));
    if fit >= connections_max {
        return connections_max;
    }
    warn!(
        files,
        connections_max, fit, "too few open files for [limits] connections_max; raise LimitNOFILE (ulimit -n)"
    );
    fit
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
    fn fewer_connections_than_there_are_files_for_are_left_as_they_are() {
        assert_eq!(connections_that_fit(1), 1);
    }
}
