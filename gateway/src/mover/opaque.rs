//! What stands in for a freeze where the source is somebody's server: a trial dial, then quiet, then time to save.

use std::future::pending;
use std::time::Duration;

use bytes::Bytes;
use handover_protocol::BoardId;
use http::StatusCode;
use http_body_util::Empty;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};
use tracing::warn;

use super::barrier::Barrier;
use crate::config::{Route, SettleHook};
use crate::session::{QuietSign, clock_ms};
use crate::telemetry::Metrics;
use crate::telemetry::label::Limit;
use crate::tls::ServerTlsFault;
use crate::upstream::{ConnectError, Destination, Server, exchange};

/// Tries whether a server takes connections, and says nothing on this one: a handshake would make an opaque server load a
/// board.
pub(super) async fn takes_connections(server: &Server, dial_timeout: Duration, metrics: &Metrics) -> bool {
    match server.traffic().knock(Instant::now() + dial_timeout).await {
        Ok(()) => true,
        Err(error) => {
            let limit = match &error {
                ConnectError::Timeout | ConnectError::Tls(ServerTlsFault::Timeout) => Some(Limit::DialTimeout),
                ConnectError::Io(_) | ConnectError::Tls(_) => error.scarcity(),
            };
            if let Some(limit) = limit {
                metrics.limit_hits.of(limit).inc();
            }
            warn!(server = %server.name(), %error, "the target cannot be dialled");
            false
        }
    }
}

/// Has the source confirm what it read, and waits until it has fallen silent towards the whole board: for the route's
/// `quiet`, or until it has told every session by `quiet_pattern` that it is done. At most `quiet_max` in all; what was not
/// confirmed by then is noted.
pub(super) async fn wait_for_quiet(barrier: &mut Barrier, route: &Route, metrics: &Metrics) {
    let began_ms = clock_ms();
    let by = Instant::now() + route.quiet_max;
    let sign = route.quiet_pattern.clone().map(QuietSign::new);
    barrier.confirm(by, sign.as_ref()).await;
    let quiet_ms = u64::try_from(route.quiet.as_millis()).unwrap_or(u64::MAX);
    loop {
        let silent_ms = clock_ms().saturating_sub(barrier.last_heard_ms(began_ms));
        if silent_ms >= quiet_ms || barrier.is_source_done() {
            return;
        }
        if Instant::now() >= by {
            metrics.limit_hits.of(Limit::QuietMax).inc();
            return barrier.note_restless();
        }
        let longest = sleep_until(by.min(Instant::now() + Duration::from_millis(quiet_ms - silent_ms)));
        // Cancel-safe: one arm only waits, and word that the other has not taken stays.
        tokio::select! {
            () = longest => {}
            () = told(sign.as_deref()) => {}
        }
    }
}

async fn told(sign: Option<&QuietSign>) {
    match sign {
        Some(sign) => sign.told().await,
        None => pending().await,
    }
}

/// Waits for the source's save: its hook's word, where the route names one, else the route's delay.
///
/// Returns whether the move may go on: a hook that does not confirm within the delay may know of a save that failed.
pub(super) async fn settle(route: &Route, board: &BoardId, metrics: &Metrics) -> bool {
    let Some(hook) = &route.settle_hook else {
        sleep(route.settle).await;
        return true;
    };
    let mut last_word = "was not asked".to_owned();
    match timeout(route.settle, ask_until_saved(hook, board, metrics, &mut last_word)).await {
        Ok(()) => true,
        Err(_) => {
            warn!(
                last_word,
                "settle_hook did not say within settle that the board is saved; the board stays"
            );
            false
        }
    }
}

async fn ask_until_saved(hook: &SettleHook, board: &BoardId, metrics: &Metrics, last_word: &mut String) {
    loop {
        match ask(hook, board, metrics).await {
            Ok(status) if status.is_success() => return,
            Ok(status) => *last_word = status.to_string(),
            Err(error) => *last_word = error,
        }
        sleep(HOOK_INTERVAL).await;
    }
}

async fn ask(hook: &SettleHook, board: &BoardId, metrics: &Metrics) -> Result<StatusCode, String> {
    let deadline = Instant::now() + HOOK_TIMEOUT;
    let request = http::Request::get(hook.target_for(board))
        .header(http::header::HOST, hook.server().authority())
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let hook = Destination::new(hook.server().clone(), None);
    let stream = hook.connect(deadline).await.map_err(|error| {
        if let Some(limit) = error.scarcity() {
            metrics.limit_hits.of(limit).inc();
        }
        error.to_string()
    })?;
    let (response, _) = timeout_at(deadline, exchange(stream, request))
        .await
        .map_err(|_| "no answer in time".to_owned())?
        .map_err(|error| error.to_string())?;
    Ok(response.status())
}

/// A hook that says "not yet" is asked again after so long.
const HOOK_INTERVAL: Duration = Duration::from_millis(50);

/// A hook answers within this or counts as silent.
const HOOK_TIMEOUT: Duration = Duration::from_secs(1);
