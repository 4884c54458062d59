//! How many may be in at once, of a kind; the number can change while some are in.

use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;

/// Seats that are taken and given back.
#[derive(Debug)]
pub(super) struct Seats {
    semaphore: Arc<Semaphore>,
    count: Mutex<usize>,
}

impl Seats {
    pub(super) fn new(count: usize) -> Self {
        let count = count.min(Semaphore::MAX_PERMITS);
        Self {
            semaphore: Arc::new(Semaphore::new(count)),
            count: Mutex::new(count),
        }
    }

    pub(super) fn semaphore(&self) -> &Arc<Semaphore> {
        &self.semaphore
    }

    /// Changes how many there are. Nobody is sent away: where more are in, seats that are given back are not given out
    /// again until the rest fit.
    pub(super) fn resize(&self, count: usize) {
        let count = count.min(Semaphore::MAX_PERMITS);
        let mut current = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        if count >= *current {
            self.semaphore.add_permits(count - *current);
        } else {
            let surplus = *current - count;
            let free = self.semaphore.forget_permits(surplus);
            let taken = u32::try_from(surplus - free).unwrap_or(u32::MAX);
            let semaphore = Arc::clone(&self.semaphore);
            if taken > 0 {
                // It stands in line before everybody who comes later, and ends with the seats themselves.
                tokio::spawn(async move {
                    if let Ok(seats) = semaphore.acquire_many(taken).await {
                        seats.forget();
                    }
                });
            }
        }
        *current = count;
    }
}

impl Deref for Seats {
    type Target = Semaphore;

    fn deref(&self) -> &Semaphore {
        &self.semaphore
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn seats_that_are_taken_away_are_not_given_out_again() {
        let seats = Seats::new(3);
        let held: Vec<_> = (0..3).map(|_| seats.try_acquire().unwrap()).collect();
        seats.resize(1);
        tokio::task::yield_now().await;
        let mut held = held.into_iter();
        drop(held.next());
        assert!(seats.try_acquire().is_err(), "two are still in, and one fits");
        drop(held.next());
        assert!(seats.try_acquire().is_err(), "one is still in, and one fits");
        drop(held.next());
        assert!(seats.try_acquire().is_ok());
        seats.resize(2);
        let both = (seats.try_acquire(), seats.try_acquire());
        assert!(both.0.is_ok() && both.1.is_ok() && seats.try_acquire().is_err());
    }
}
