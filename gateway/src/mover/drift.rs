//! Whether the gateway and a board's source agree about how many sessions are on the board.
//!
//! A session that only one of them knows of would be lost by the move: the source closes at the freeze whom it was not
//! told of, and the gateway would wait for answers to messages that nobody handled. What a source says is in the list of
//! boards that it is asked for anyway, so a move costs no call of its own; only where the two differ the list is read
//! once more.

use std::time::{Duration, Instant};

use handover_protocol::contract::BoardRole;
use tokio::time::sleep;
use tracing::{debug, warn};

use crate::board::Board;
use crate::upstream::{HeardListing, Server};

/// Compares both counts, a second time where they differ at first. Users notice nothing.
///
/// Where nothing can be said (the source has no list, or does not give it now) they do not drift: the freeze compares
/// every message anyway.
pub(super) async fn has_drifted(board: &Board, source: &Server) -> bool {
    let Some(known) = source.status().listing else {
        return false;
    };
    if agrees(board, &known) {
        return false;
    }
    debug!("gateway and source count different sessions; looking once more");
    sleep(ON_THE_WAY).await;
    match source.read_boards_since(Instant::now()).await {
        Ok(Some(heard)) => {
            let has_drifted = !agrees(board, &heard);
            if has_drifted {
                let at_source = heard.report(board.id()).map_or(0, |report| report.sessions);
                let carried = board.sessions().len();
                warn!(source = %source.name(), at_source, carried, "gateway and source count different sessions");
            }
            has_drifted
        }
        Ok(None) => false,
        Err(error) => {
            warn!(source = %source.name(), %error, "the source does not list its boards; its counts are not compared");
            false
        }
    }
}

/// Reads whether the source's list fits the sessions that the gateway carried when it was made.
fn agrees(board: &Board, heard: &HeardListing) -> bool {
    // Of a board that was placed or moved only then the list may say what was before.
    let is_of_now = heard.asked_at.checked_duration_since(board.settled_at()) > Some(ON_THE_WAY);
    if !is_of_now || heard.asked_at.elapsed() > LISTING_AGE_MAX {
        return true;
    }
    let placement = board.placement();
    let at_source = match heard.report(board.id()) {
        Some(report) if report.role != BoardRole::Owner || report.generation != placement.generation => return true,
        Some(report) => report.sessions,
        None => 0,
    };
    board.attendance(heard.asked_at, heard.heard_at).contains(&at_source)
}

/// What one side knows and the other does not yet has arrived after this.
const ON_THE_WAY: Duration = Duration::from_secs(1);

/// Who has left since an older list is not remembered any more.
const LISTING_AGE_MAX: Duration = Duration::from_secs(20);
