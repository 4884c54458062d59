//! File descriptors for the admin API alone: when the process has none left, an operator still wants to be heard.
//!
//! Each is an open file that is closed to make room for one connection, and opened again when that has ended. They are
//! taken before there is traffic: descriptors are numbered from below and the process' bound is one on numbers, so that
//! these stay below it also where somebody lowers it.

use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;

/// Descriptors that can be lent.
#[derive(Debug)]
pub(super) struct Reserve {
    spare: Mutex<Spare>,
}

#[derive(Debug)]
struct Spare {
    files: Vec<File>,
    lent: usize,
}

/// The room of one descriptor; it is taken back on drop, which has to come behind the end of what was opened.
#[derive(Debug)]
pub(super) struct Loan {
    reserve: Arc<Reserve>,
}

impl Reserve {
    /// Takes as many as there is room for, up to [`FILES`].
    pub(super) fn fill() -> Arc<Self> {
        let reserve = Self {
            spare: Mutex::new(Spare {
                files: Vec::new(),
                lent: 0,
            }),
        };
        reserve.lock().refill();
        Arc::new(reserve)
    }

    /// Makes room for one descriptor; another part of the process may be quicker to take it.
    pub(super) fn lend(self: &Arc<Self>) -> Option<Loan> {
        let mut spare = self.lock();
        drop(spare.files.pop()?);
        spare.lent += 1;
        Some(Loan {
            reserve: Arc::clone(self),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Spare> {
        // Whoever panicked left each field whole.
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Spare {
    /// Opens what is missing; where that fails the next that is given back brings it.
    fn refill(&mut self) {
        while self.files.len() + self.lent < FILES {
            match File::open("/dev/null") {
                Ok(file) => self.files.push(file),
                Err(_) => return,
            }
        }
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        let mut spare = self.reserve.lock();
        spare.lent -= 1;
        spare.refill();
    }
}

/// Reads whether a descriptor was wanted and there was none.
pub(super) fn is_out_of_files(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

/// Probes, a scraper and some operators.
const FILES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lent_makes_room_and_comes_back() {
        let reserve = Reserve::fill();
        let mut loans: Vec<Loan> = std::iter::from_fn(|| reserve.lend()).collect();
        assert_eq!(loans.len(), FILES);
        assert!(reserve.lock().files.is_empty());
        loans.truncate(FILES - 1);
        assert_eq!(reserve.lock().files.len(), 1);
        drop(loans);
        assert_eq!(reserve.lock().files.len(), FILES);
    }

    #[test]
    fn only_a_want_of_descriptors_is_one() {
        assert!(is_out_of_files(&Errno::MFILE.into()) && is_out_of_files(&Errno::NFILE.into()));
        assert!(!is_out_of_files(&Errno::CONNABORTED.into()));
    }
}
