//! Visitors of boards on which nobody stays.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::time::sleep;

use super::load::Load;
use super::run::{Arrival, GATHER_LIMIT, RunError, SETTLE_LIMIT, Stand};
use crate::user::{Clock, Crowd, Progress, Record};

/// What a round of visitors does on the idle boards.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Visit {
    /// Draws a little.
    Draw,
    /// Only looks whether everything is there.
    Look,
}

/// Lets visitors come and go, some at a time; `tell` is shown again and again how many have come.
///
/// # Errors
/// When one of them is not let in.
pub(super) async fn visit(
    stand: &Stand,
    load: &Load,
    clock: Clock,
    visit: Visit,
    tell: &mut impl FnMut(&Arrival<'_>),
) -> Result<Vec<Record>, RunError> {
    let round = match visit {
        Visit::Draw => 0,
        Visit::Look => 1,
    };
    let mut visitors = load.visitors(&stand.endpoint, round)?;
    let mut records = Vec::with_capacity(visitors.len());
    while !visitors.is_empty() {
        let some = visitors.split_off(visitors.len().saturating_sub(VISITORS_AT_ONCE));
        let gone = records.len() as u64;
        let tell_of = |progress: &Progress| {
            tell(&Arrival {
                who: "visitors of idle boards",
                arrived: gone + progress.served.load(Relaxed),
                wanted: load.idle_boards,
                progress,
                doubt: None,
            });
        };
        let crowd = Crowd::gather_watched(some, clock, GATHER_LIMIT, tell_of).await?;
        if visit == Visit::Draw {
            crowd.draw();
            sleep(VISIT).await;
            crowd.settle(SETTLE_LIMIT).await;
        }
        records.extend(crowd.leave().await);
    }
    for record in &mut records {
        record.stayed = visit == Visit::Look;
    }
    Ok(records)
}

const VISIT: Duration = Duration::from_millis(200);
/// Each visitor is two or three open sockets on this machine.
const VISITORS_AT_ONCE: usize = 1_000;
