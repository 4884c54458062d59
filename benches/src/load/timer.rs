//! A timer that a poll waits for, finer than the milliseconds of `epoll_wait`.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Interest, Poll, Token};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};

/// Wakes its poll at a steady pace.
#[derive(Debug)]
pub(super) struct Timer(OwnedFd);

impl Timer {
    /// Starts a timer that wakes `poll` by `token` every `interval`.
    ///
    /// # Errors
    /// When the kernel gives none.
    pub(super) fn start(poll: &Poll, token: Token, interval: Duration) -> io::Result<Self> {
        let timer = rustix::time::timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK)?;
        let every = Timespec::try_from(interval).map_err(io::Error::other)?;
        let spec = Itimerspec {
            it_interval: every,
            it_value: every,
        };
        rustix::time::timerfd_settime(&timer, TimerfdTimerFlags::empty(), &spec)?;
        poll.registry()
            .register(&mut SourceFd(&timer.as_raw_fd()), token, Interest::READABLE)?;
        Ok(Self(timer))
    }

    /// Takes note of a wake-up, so that the next one comes.
    pub(super) fn rest(&self) {
        // How often it has fired does not matter: what is due is told by the clock.
        let _ = rustix::io::read(&self.0, &mut [0; 8]);
    }
}
