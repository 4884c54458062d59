//! What stands in for a freeze where the source is somebody's server: quiet, then time to save.

use std::time::Duration;

use bytes::Bytes;
use handover_protocol::BoardId;
use http_body_util::Empty;
use tokio::time::{Instant, sleep, timeout};
use tracing::warn;

use super::barrier::Barrier;
use crate::config::{Route, SettleHook};
use crate::session::clock_ms;
use crate::upstream::{connect, exchange};

/// Waits until the source has said nothing to anybody on the board for the route's quiet, at most its `quiet_max`.
///
/// Returns whether it fell silent.
pub(super) async fn wait_for_quiet(barrier: &Barrier, route: &Route) -> bool {
    let began_ms = clock_ms();
    let deadline = Instant::now() + route.quiet_max;
    let quiet_ms = u64::try_from(route.quiet.as_millis()).unwrap_or(u64::MAX);
    while Instant::now() < deadline {
        let silent_ms = clock_ms().saturating_sub(barrier.last_heard_ms(began_ms));
        if silent_ms >= quiet_ms {
            return true;
        }
        sleep(Duration::from_millis(quiet_ms - silent_ms)).await;
    }
    clock_ms().saturating_sub(barrier.last_heard_ms(began_ms)) >= quiet_ms
}

/// Waits for the source's save: its hook's word, else the route's delay. Returns whether the hook has confirmed it.
pub(super) async fn settle(route: &Route, board: &BoardId) -> bool {
    let Some(hook) = &route.settle_hook else {
        sleep(route.settle).await;
        return false;
    };
    match timeout(route.settle, ask_until_saved(hook, board)).await {
        Ok(()) => true,
        Err(_) => {
            warn!("settle_hook did not say in time that the board is saved");
            false
        }
    }
}

async fn ask_until_saved(hook: &SettleHook, board: &BoardId) {
    loop {
        match ask(hook, board).await {
            Ok(true) => return,
            Ok(false) => {}
            Err(error) => warn!(error, "settle_hook does not answer"),
        }
        sleep(HOOK_INTERVAL).await;
    }
}

async fn ask(hook: &SettleHook, board: &BoardId) -> Result<bool, String> {
    let deadline = Instant::now() + HOOK_TIMEOUT;
    let request = http::Request::get(hook.target_for(board))
        .header(http::header::HOST, hook.server().authority())
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let stream = connect(hook.server(), deadline)
        .await
        .map_err(|error| error.to_string())?;
    let (response, _) = timeout(HOOK_TIMEOUT, exchange(stream, request))
        .await
        .map_err(|_| "no answer in time".to_owned())?
        .map_err(|error| error.to_string())?;
    Ok(response.status().is_success())
}

/// A hook that says "not yet" is asked again after so long.
const HOOK_INTERVAL: Duration = Duration::from_millis(50);

/// A hook answers within this or counts as silent.
const HOOK_TIMEOUT: Duration = Duration::from_secs(1);
