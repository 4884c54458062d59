//! A server's list of boards, read from it, and shared by whoever wants one of the same age.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use handover_protocol::BoardId;
use handover_protocol::contract::BoardReport;

use super::control::BoardListing;
use super::control_error::ControlError;
use super::server::Server;

/// A server's list of boards, and when it was asked for.
#[derive(Debug)]
pub struct HeardListing {
    /// The list.
    pub listing: BoardListing,
    /// Before this the server may have changed it.
    pub asked_at: Instant,
    /// When all of it was there.
    pub heard_at: Instant,
    /// Where each board stands in the list.
    places: HashMap<BoardId, usize>,
}

/// An attempt to read the list of boards that failed.
#[derive(Debug)]
pub(super) struct FailedReading {
    asked_at: Instant,
    error: Arc<ControlError>,
}

impl HeardListing {
    fn new(listing: BoardListing, asked_at: Instant) -> Self {
        let boards = listing.boards.iter().map(|report| report.board.clone());
        Self {
            places: boards.zip(0..).collect(),
            listing,
            asked_at,
            heard_at: Instant::now(),
        }
    }

    /// Returns what the server says of one board.
    pub fn report(&self, board: &BoardId) -> Option<&BoardReport> {
        self.listing.boards.get(*self.places.get(board)?)
    }
}

impl Server {
    /// Reads the server's whole list of boards now, and publishes it.
    ///
    /// # Errors
    /// See [`ControlError`]; an opaque server has none and answers `None`.
    pub async fn read_boards(&self) -> Result<Option<Arc<HeardListing>>, ControlError> {
        let Some(control) = self.control() else { return Ok(None) };
        let asked_at = Instant::now();
        let listing = control.boards().await?;
        let heard = Arc::new(HeardListing::new(listing, asked_at));
        self.status.send_if_modified(|status| {
            let is_newer = status.listing.as_ref().is_none_or(|known| known.asked_at < asked_at);
            if is_newer {
                status.listing = Some(Arc::clone(&heard));
            }
            is_newer
        });
        Ok(Some(heard))
    }

    /// Returns a list that was asked for after `since`: who wants one while it is read waits for the same, also where that
    /// fails, so that nobody waits for more than two readings.
    ///
    /// Cancel-safe: who waits next reads in its place.
    ///
    /// # Errors
    /// As [`Server::read_boards`].
    pub async fn read_boards_since(&self, since: Instant) -> Result<Option<Arc<HeardListing>>, Arc<ControlError>> {
        let mut failed = self.reading.lock().await;
        if let Some(known) = self.status().listing
            && known.asked_at >= since
        {
            return Ok(Some(known));
        }
        if let Some(failed) = failed.as_ref()
            && failed.asked_at >= since
        {
            return Err(Arc::clone(&failed.error));
        }
        let asked_at = Instant::now();
        self.read_boards().await.map_err(|error| {
            let error = Arc::new(error);
            *failed = Some(FailedReading {
                asked_at,
                error: Arc::clone(&error),
            });
            error
        })
    }
}
