//! What the clients do.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::Token;
use rustls::ClientConfig;

use super::crowd::{Crowd, Happening};
use super::timer::Timer;
use super::window::{Length, Meter, Outcome, Window};

/// Where a peer takes sessions.
#[derive(Debug, Clone)]
pub struct Door {
    /// Its address.
    pub address: SocketAddr,
    /// With whom and how TLS is spoken there.
    pub tls: Option<Arc<ClientConfig>>,
}

/// What the clients do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Each session says a message, awaits its echo and says the next.
    Echo {
        /// Sessions.
        sessions: usize,
        /// Bytes of a message.
        bytes: usize,
    },
    /// The sessions in turn say a message at a steady pace, whether or not the last was answered.
    Paced {
        /// Sessions.
        sessions: usize,
        /// Bytes of a message.
        bytes: usize,
        /// Messages said in a second.
        per_second: u32,
    },
    /// On each board one session says a message, and the next once all others have heard it.
    Fan {
        /// Boards.
        boards: usize,
        /// Sessions of each that listen.
        listeners: usize,
        /// Bytes of a message.
        bytes: usize,
    },
    /// Sessions that are opened, say one message, and then nothing.
    Idle {
        /// Sessions.
        sessions: usize,
    },
    /// Sessions that come, say one message, and close.
    Churn {
        /// Sessions at a time.
        at_once: usize,
    },
}

/// Has the clients work at a door for so long and watches what it costs.
///
/// # Errors
/// When a connection fails or a message is lost, doubled or out of order: such a run is worth nothing.
pub fn run(work: Work, door: &Door, meter: &dyn Meter, length: Length) -> io::Result<Outcome> {
    match work {
        Work::Echo { sessions, bytes } => {
            let mut crowd = gather(door, bytes, sessions, echo_path)?;
            echo(&mut crowd, Window::new(meter, length))
        }
        Work::Paced {
            sessions,
            bytes,
            per_second,
        } => {
            let mut crowd = gather(door, bytes, sessions, echo_path)?;
            paced(&mut crowd, per_second, Window::new(meter, length))
        }
        Work::Fan {
            boards,
            listeners,
            bytes,
        } => {
            let path = |place: usize| format!("/boards/fan-{}/ws", place / (listeners + 1));
            let mut crowd = gather(door, bytes, boards * (listeners + 1), path)?;
            fan(&mut crowd, boards, listeners, Window::new(meter, length))
        }
        Work::Idle { sessions } => idle(door, sessions, meter),
        Work::Churn { at_once } => churn(door, at_once, Window::new(meter, length)),
    }
}

/// Opens every session, some at a time, and waits until they are.
fn gather(door: &Door, bytes: usize, sessions: usize, path: impl Fn(usize) -> String) -> io::Result<Crowd> {
    let mut crowd = Crowd::new(door.address, door.tls.clone(), bytes)?;
    let (mut came, mut open) = (0, 0);
    let patience = Instant::now() + PATIENCE;
    while open < sessions {
        while came < sessions && came - open < AT_ONCE {
            crowd.join(&path(came))?;
            came += 1;
        }
        crowd.turn(TICK, |_, happening, _| {
            open += usize::from(happening == Happening::Opened);
            Ok(())
        })?;
        check(patience, "sessions did not open")?;
    }
    Ok(crowd)
}

fn echo(crowd: &mut Crowd, mut window: Window<'_>) -> io::Result<Outcome> {
    for place in 0..crowd.len() {
        crowd.say(place, Instant::now())?;
    }
    loop {
        let is_watching = window.is_watching();
        let now = Instant::now();
        let mut count = 0;
        crowd.turn(TICK, |_, happening, speaker| match happening {
            Happening::Message => {
                speaker.due();
                count += 2;
                speaker.say(now)
            }
            Happening::Opened => Ok(()),
            Happening::Ended => Err(io::ErrorKind::ConnectionReset.into()),
        })?;
        window.count += if is_watching { count } else { 0 };
        if let Some(outcome) = window.look() {
            return Ok(outcome);
        }
    }
}

fn paced(crowd: &mut Crowd, per_second: u32, mut window: Window<'_>) -> io::Result<Outcome> {
    let interval = Duration::from_secs(1) / per_second;
    let timer = Timer::start(crowd.poll(), TIMER, interval)?;
    let start = Instant::now();
    let mut said: u32 = 0;
    loop {
        let is_watching = window.is_watching();
        let mut count = 0;
        let latency = &mut window.latency;
        let others = crowd.turn(TICK, |_, happening, speaker| match happening {
            Happening::Message => {
                count += 2;
                if let Some(due) = speaker.due()
                    && is_watching
                {
                    latency.saturating_record(u64::try_from(due.elapsed().as_micros()).unwrap_or(u64::MAX));
                }
                Ok(())
            }
            Happening::Opened => Ok(()),
            Happening::Ended => Err(io::ErrorKind::ConnectionReset.into()),
        })?;
        window.count += if is_watching { count } else { 0 };
        if others.contains(&TIMER) {
            timer.rest();
        }
        loop {
            let due = start + interval * said;
            if due > Instant::now() {
                break;
            }
            crowd.say(said as usize % crowd.len(), due)?;
            said += 1;
        }
        if let Some(outcome) = window.look() {
            return Ok(outcome);
        }
    }
}

fn fan(crowd: &mut Crowd, boards: usize, listeners: usize, mut window: Window<'_>) -> io::Result<Outcome> {
    let of_board = listeners + 1;
    let mut heard = vec![0; boards];
    for board in 0..boards {
        crowd.say(board * of_board, Instant::now())?;
    }
    let mut done = Vec::new();
    loop {
        let mut count = 0;
        crowd.turn(TICK, |place, happening, _| match happening {
            Happening::Message => {
                let board = place / of_board;
                count += 1;
                heard[board] += 1;
                if heard[board] == listeners {
                    heard[board] = 0;
                    done.push(board);
                }
                Ok(())
            }
            Happening::Opened => Ok(()),
            Happening::Ended => Err(io::ErrorKind::ConnectionReset.into()),
        })?;
        if window.is_watching() {
            window.count += count + done.len() as u64;
        }
        let now = Instant::now();
        for board in done.drain(..) {
            crowd.say(board * of_board, now)?;
        }
        if let Some(outcome) = window.look() {
            return Ok(outcome);
        }
    }
}

/// Three readings: before anybody came, with everybody silent, and when all have left.
fn idle(door: &Door, sessions: usize, meter: &dyn Meter) -> io::Result<Outcome> {
    let before = meter.peer_memory();
    let mut crowd = gather(door, 64, sessions, echo_path)?;
    for places in (0..sessions).collect::<Vec<_>>().chunks(AT_ONCE) {
        for place in places {
            crowd.say(*place, Instant::now())?;
        }
        let mut heard = 0;
        let patience = Instant::now() + PATIENCE;
        while heard < places.len() {
            crowd.turn(TICK, |_, happening, _| {
                heard += usize::from(happening == Happening::Message);
                Ok(())
            })?;
            check(patience, "echoes did not come")?;
        }
    }
    std::thread::sleep(SETTLE);
    let during = meter.peer_memory();
    drop(crowd);
    std::thread::sleep(SETTLE);
    Ok(Outcome {
        count: sessions as u64,
        memory: Some([before, during, meter.peer_memory()]),
        ..Outcome::default()
    })
}

fn churn(door: &Door, at_once: usize, mut window: Window<'_>) -> io::Result<Outcome> {
    let mut crowd = Crowd::new(door.address, door.tls.clone(), 64)?;
    for place in 0..at_once {
        crowd.join(&echo_path(place))?;
    }
    let mut ended = Vec::new();
    loop {
        crowd.turn(TICK, |place, happening, speaker| match happening {
            Happening::Opened => speaker.say(Instant::now()),
            Happening::Message => speaker.close(),
            Happening::Ended => {
                ended.push(place);
                Ok(())
            }
        })?;
        if window.is_watching() {
            window.count += ended.len() as u64;
        }
        for place in ended.drain(..) {
            crowd.come_again(place, &echo_path(place))?;
        }
        if let Some(outcome) = window.look() {
            return Ok(outcome);
        }
    }
}

fn check(patience: Instant, what: &str) -> io::Result<()> {
    match Instant::now() < patience {
        true => Ok(()),
        false => Err(io::Error::new(io::ErrorKind::TimedOut, what)),
    }
}

/// Sessions on a hundred boards: opening boards is not what is measured.
fn echo_path(place: usize) -> String {
    format!("/boards/echo-{}/ws", place % 100)
}

/// So many sessions are opened at a time.
const AT_ONCE: usize = 64;
const TICK: Duration = Duration::from_millis(10);
const PATIENCE: Duration = Duration::from_secs(60);
/// What ends is given back by then, and what is still under way has come.
const SETTLE: Duration = Duration::from_secs(2);
const TIMER: Token = Token(usize::MAX - 1);
