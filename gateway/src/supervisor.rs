//! What the supervisor of this process is told (sd_notify(3)): that it serves, reads its configuration anew, ends, how it
//! is doing, and, where a watchdog wants to know, that it lives. Without `NOTIFY_SOCKET` nobody is told anything.

use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;

use crate::drain::Fleet;

/// Says that clients are served, also after the configuration was read anew.
pub fn tell_ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// Says that the configuration is being read anew; [`tell_ready`] ends that, whatever came of it.
pub fn tell_reloading() {
    let status = NotifyState::Status("reading the configuration anew");
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now, status]),
        Err(error) => warn!(%error, "the supervisor is not told of a reload: there is no clock"),
    }
}

/// Says that the process is about to end.
pub fn tell_stopping() {
    tell(&[
        NotifyState::Stopping,
        NotifyState::Status("ending: sessions are told to reconnect"),
    ]);
}

/// Says at which step of its start the gateway is.
pub fn tell_status(status: &str) {
    tell(&[NotifyState::Status(status)]);
}

/// Says how the gateway is doing, and keeps a watchdog quiet, until the process ends: a shutdown takes its time, and is
/// watched as well. The runtime has to turn for that, so one that hangs is found out.
pub async fn keep_told(fleet: Arc<dyn Fleet>) {
    if std::env::var_os(SOCKET_VARIABLE).is_none() {
        return;
    }
    let watchdog = sd_notify::watchdog_enabled();
    // Twice within its patience, as sd_watchdog_enabled(3) recommends.
    let every = watchdog.map_or(STATUS_INTERVAL, |patience| (patience / 2).min(STATUS_INTERVAL));
    let mut ticks = interval(every.max(INTERVAL_MIN));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = String::new();
    loop {
        ticks.tick().await;
        let status = status_of(fleet.as_ref());
        let mut states = Vec::new();
        if watchdog.is_some() {
            states.push(NotifyState::Watchdog);
        }
        if status != told {
            states.push(NotifyState::Status(&status));
        }
        if !states.is_empty() {
            tell(&states);
        }
        told = status;
    }
}

/// Says in one line what the gateway carries.
pub fn status_of(fleet: &dyn Fleet) -> String {
    let servers = fleet.servers();
    let ready = servers.iter().filter(|server| server.ready).count();
    let sessions: u64 = servers.iter().map(|server| server.sessions).sum();
    let boards: u64 = servers.iter().map(|server| server.boards).sum();
    let all = servers.len();
    format!("serving {sessions} sessions on {boards} boards; {ready} of {all} servers are ready")
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        warn!(%error, "the supervisor cannot be told ({SOCKET_VARIABLE})");
    }
}

const SOCKET_VARIABLE: &str = "NOTIFY_SOCKET";

/// Often enough for whoever looks at `systemctl status`.
const STATUS_INTERVAL: Duration = Duration::from_secs(5);

/// A watchdog with less patience would be a fault of its own.
const INTERVAL_MIN: Duration = Duration::from_millis(10);
