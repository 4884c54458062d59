//! One direction of a session.
//!
//! ```text
//!   socket ─ read ─▶ seen ─▶ (waiting: what was not taken or may not pass yet) ─▶ sent ─ write ─▶ socket
//!                                                              ours (frames of the gateway) ─┘
//! ```
//!
//! Two scanners follow the same stream: `seen` judges what was read, before any of it is passed on; `sent` stands where
//! the receiver's kernel has taken the last byte, so that its message count is what was really passed on.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::{Buf, BytesMut};
use handover_protocol::close::CloseCode;
use handover_protocol::frame::{Limits, Scanner, Sender, Violation};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::buffer::with_buffer;
use super::farewell;
use super::heartbeat::{Heartbeat, count_pings};
use super::ours::{Ours, Place};
use super::quiet_watch::QuietWatch;
use super::recorder::Recorder;
use super::valve::Valve;

/// What ends a direction.
#[derive(Debug)]
pub enum Fault {
    /// The sender broke the protocol.
    Violation(Violation),
    /// The sender's connection failed.
    Read(io::Error),
    /// The receiver's connection failed.
    Write(io::Error),
}

/// One direction of a session: see the module.
#[derive(Debug)]
pub struct Direction {
    pub(super) seen: Scanner,
    pub(super) sent: Scanner,
    pub(super) waiting: BytesMut,
    pub(super) ours: Ours,
    pub(super) valve: Valve,
    pub(super) is_over: bool,
    finish: Finish,
    recorder: Option<Box<Recorder>>,
    heartbeat: Option<Box<Heartbeat>>,
    pub(super) quiet_watch: Option<Box<QuietWatch>>,
    /// When the first byte came that found the valve shut.
    first_wait: Option<Instant>,
    bytes: u64,
    pings: u16,
    /// What the Close said that was passed on.
    close_code: Option<CloseCode>,
    /// Something was written that the writer may still keep to itself: TLS does, TCP does not.
    is_unflushed: bool,
    /// The messages that were whole with the receiver's kernel at the last flush.
    passed: u64,
}

/// How far the end of the stream has been passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Finish {
    No,
    Asked,
    Done,
}

impl Direction {
    /// Begins behind the handshake; [`Direction::go_on_with`] takes what was read together with it.
    pub fn new(sender: Sender, recorder: Option<Box<Recorder>>) -> Self {
        Self {
            seen: Scanner::new(sender),
            sent: Scanner::new(sender),
            waiting: BytesMut::new(),
            ours: Ours::new(),
            valve: Valve::Open,
            is_over: false,
            finish: Finish::No,
            recorder,
            heartbeat: None,
            quiet_watch: None,
            first_wait: None,
            bytes: 0,
            pings: 0,
            close_code: None,
            // The end of the 101 may still be under way.
            is_unflushed: true,
            passed: 0,
        }
    }

    /// Says how far bytes may pass from now on.
    pub fn set_valve(&mut self, valve: Valve) {
        self.valve = valve;
    }

    /// Counts the messages that the receiver's kernel took whole.
    pub fn messages_passed(&self) -> u64 {
        self.passed
    }

    /// Counts the messages that arrived here whole.
    pub fn messages_arrived(&self) -> u64 {
        self.seen.messages()
    }

    /// Counts the control frames that arrived, as [`Scanner::controls`] does.
    pub fn controls_arrived(&self) -> u16 {
        self.seen.controls()
    }

    /// Counts the Pings of the sender that were passed on; it wraps, as [`Scanner::controls`] does.
    pub fn pings_passed(&self) -> u16 {
        self.pings
    }

    /// Counts the bytes that were passed on.
    pub fn bytes_passed(&self) -> u64 {
        self.bytes
    }

    /// Counts the bytes that came, passed on or waiting.
    pub fn bytes_arrived(&self) -> u64 {
        self.bytes + self.waiting.len() as u64
    }

    /// Reads whether the sender's stream has ended.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// Reads whether the receiver was told that the stream has ended.
    pub fn is_finished(&self) -> bool {
        self.finish == Finish::Done
    }

    /// Reads whether no message is under way and nothing that was taken waits.
    pub fn is_at_boundary(&self) -> bool {
        self.waiting.is_empty() && !self.is_unflushed && self.seen.at_message_boundary()
    }

    /// Reads whether the sender's stream stands between two messages.
    pub fn has_arrived_at_boundary(&self) -> bool {
        self.seen.at_message_boundary()
    }

    /// Reads whether the receiver has been given whole messages only.
    pub fn has_passed_whole(&self) -> bool {
        self.sent.at_message_boundary()
    }

    /// Reads whether the receiver has a Close of the sender.
    pub fn has_passed_close(&self) -> bool {
        self.sent.is_closed()
    }

    /// Reads whether a Close of the sender has come, passed on or not.
    pub fn has_seen_close(&self) -> bool {
        self.seen.is_closed()
    }

    /// Returns the code of the Close that was passed on, 1005 where it has none; nothing where none was, or where it came in
    /// parts.
    pub fn close_code(&self) -> Option<CloseCode> {
        self.close_code
    }

    /// Reads whether messages wait that the receiver does not have.
    pub fn holds_messages(&self) -> bool {
        self.seen.messages() > self.sent.messages()
    }

    /// Looks out, from the Pong on that [`Direction::take_pong`] takes, for a message that proves the sender's quiet; with
    /// nothing, looks no more.
    pub fn watch_for_quiet(&mut self, watch: Option<Box<QuietWatch>>) {
        self.quiet_watch = watch;
    }

    /// Reads whether the sender's last message proves its quiet.
    pub fn proves_quiet(&self) -> bool {
        self.quiet_watch.as_ref().is_some_and(|watch| watch.is_proven())
    }

    /// Returns when the first byte came that had to wait at a shut valve, and forgets it.
    pub fn take_first_wait(&mut self) -> Option<Instant> {
        self.first_wait.take()
    }

    /// Reads, once for each, whether the receiver has got another heartbeat: a Ping of a client, a Pong of a server.
    pub fn take_heartbeat_news(&mut self) -> bool {
        self.heartbeat.as_mut().is_some_and(|heartbeat| heartbeat.take_news())
    }

    /// Returns the payload of the last heartbeat that the receiver got.
    pub fn last_heartbeat(&self) -> Option<&[u8]> {
        self.heartbeat.as_ref()?.payload()
    }

    /// Forgets the last heartbeat.
    pub fn forget_heartbeat(&mut self) {
        if let Some(heartbeat) = &mut self.heartbeat {
            heartbeat.forget();
        }
    }

    /// Reads whether as much waits at a shut valve as may.
    pub fn is_full(&self) -> bool {
        match self.valve {
            Valve::Shut { read_max } => read_max > 0 && self.waiting.len() >= read_max,
            Valve::Open
            | Valve::BeforeClose
            | Valve::BeforePong(_)
            | Valve::ToBoundary
            | Valve::ToCount(_)
            | Valve::Discard => false,
        }
    }

    /// Reads whether something waits that only the receiver has to take.
    pub fn is_owing(&self, limits: &Limits) -> bool {
        self.is_saying() || self.is_unflushed || self.passable(limits) > 0
    }

    /// Returns what was recorded for a replay, and stops recording.
    pub fn recorder(&self) -> Option<&Recorder> {
        self.recorder.as_deref()
    }

    /// Puts control frames of the gateway's own into the stream, before the next frame that starts.
    pub fn say(&mut self, frames: &[u8]) {
        self.ours.add(frames);
    }

    /// Puts a message of the gateway's own into the stream, before the next message that starts.
    pub fn say_between_messages(&mut self, message: &[u8]) {
        self.ours.add_at(Place::Messages, message);
    }

    /// Puts a Close of the gateway's own into the stream, before the next frame that starts; nothing passes behind it.
    pub fn say_last(&mut self, close: &[u8]) {
        self.ours.add_at(Place::End, close);
    }

    /// Reads whether frames of the gateway's own are still to be written.
    pub fn is_saying(&self) -> bool {
        !self.ours.is_empty()
    }

    /// Has the receiver told that the stream has ended, once everything for it is written.
    pub fn finish(&mut self) {
        if self.finish == Finish::No {
            self.finish = Finish::Asked;
        }
    }

    /// Has the receiver told that the stream has ended; what waits for it is dropped, but for frames of ours that can
    /// still be put in.
    pub fn finish_here(&mut self) {
        if !self.ours.is_end() {
            self.valve = Valve::Discard;
            self.waiting = BytesMut::new();
        }
        if !self.sent.at_frame_boundary() {
            self.valve = Valve::Discard;
            self.ours.clear();
        }
        self.finish();
    }

    /// Forgets that the stream was to end: another receiver takes it.
    pub fn unfinish(&mut self) {
        self.finish = Finish::No;
    }

    /// Drops what waits, for nobody takes it any more; what comes is dropped too.
    pub fn give_up(&mut self) {
        self.valve = Valve::Discard;
        self.waiting = BytesMut::new();
        self.is_unflushed = false;
        self.ours.clear();
    }

    /// Drops what waits behind message `count` and what comes of this sender: the stream ends there for the receiver.
    pub fn cut_at(&mut self, limits: &Limits, count: u64) {
        let mut end = self.sent;
        if end.messages() < count
            && let Ok(length) = end.to_message_count(limits, count, &self.waiting)
        {
            self.waiting.truncate(length);
        } else if end.at_message_boundary() {
            self.waiting.clear();
        }
        self.seen = end;
        self.is_over = false;
    }

    /// Reads nothing more of the sender, as behind a fault; what came before may still pass.
    pub fn refuse(&mut self) {
        self.is_over = true;
    }

    /// Goes on with another sender's stream, of which `early` has been read; the former must have ended at a boundary.
    ///
    /// # Errors
    /// When those bytes break the protocol; what stands before the offence waits to be passed on.
    pub fn go_on_with(&mut self, limits: &Limits, early: &[u8]) -> Result<(), Fault> {
        self.is_over = false;
        self.take_in(limits, early)
    }

    /// Moves bytes until neither side can go on, or more than [`CONTROLS_AT_ONCE`] control frames have come, which somebody
    /// should look at first; both sockets wake the task, and so do frames that came so.
    ///
    /// # Errors
    /// See [`Fault`]; the direction is over then.
    pub fn pump<R, W>(
        &mut self,
        context: &mut Context<'_>,
        limits: &Limits,
        reader: Option<&mut R>,
        writer: Option<&mut W>,
    ) -> Result<(), Fault>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let mut reader = reader.map(Pin::new);
        let mut writer = writer.map(Pin::new);
        let controls = self.seen.controls();
        loop {
            let wrote = match &mut writer {
                Some(writer) => self.write(context, limits, writer.as_mut())?,
                None => false,
            };
            if let Some(writer) = &mut writer
                && !self.flush(context, writer.as_mut())?
            {
                break;
            }
            let read = match &mut reader {
                Some(reader) => self.read(context, limits, reader.as_mut(), writer.as_mut())?,
                None => false,
            };
            if !wrote && !read {
                break;
            }
            if self.seen.controls().wrapping_sub(controls) > CONTROLS_AT_ONCE {
                context.waker().wake_by_ref();
                break;
            }
        }
        match writer {
            Some(writer) => self.poll_finish(context, writer),
            None => Ok(()),
        }
    }

    /// Has what was written go to the kernel; returns whether all of it has gone.
    fn flush<W: AsyncWrite>(&mut self, context: &mut Context<'_>, writer: Pin<&mut W>) -> Result<bool, Fault> {
        if self.is_unflushed {
            match writer.poll_flush(context) {
                Poll::Pending => return Ok(false),
                Poll::Ready(result) => result.map_err(Fault::Write)?,
            }
            self.is_unflushed = false;
            self.passed = self.sent.messages();
        }
        Ok(true)
    }

    /// Writes what may pass; returns whether anything went.
    fn write<W: AsyncWrite>(
        &mut self,
        context: &mut Context<'_>,
        limits: &Limits,
        mut writer: Pin<&mut W>,
    ) -> Result<bool, Fault> {
        let mut went = false;
        loop {
            if !self.ours.is_empty() && self.ours.may_stand_at(&self.sent) {
                match poll_write(writer.as_mut(), context, self.ours.bytes())? {
                    0 => return Ok(went),
                    length => self.ours.advance(length),
                }
                self.is_unflushed = true;
                went = true;
                if self.ours.is_empty() {
                    self.end_ours();
                }
                continue;
            }
            let length = self.passable(limits);
            if length == 0 {
                return Ok(went);
            }
            let length = match poll_write(writer.as_mut(), context, &self.waiting[..length])? {
                0 => return Ok(went),
                length => length,
            };
            went = true;
            self.is_unflushed = true;
            self.bytes += length as u64;
            let (before, passed) = (self.sent, &self.waiting[..length]);
            self.sent.scan(limits, passed).map_err(Fault::Violation)?;
            Heartbeat::follow(&mut self.heartbeat, limits, before, self.sent, passed);
            if self.sent.controls() != before.controls() {
                self.pings = self.pings.wrapping_add(count_pings(limits, before, passed));
            }
            if self.sent.is_closed() && !before.is_closed() {
                self.close_code = farewell::code_of(limits, before, passed);
            }
            self.waiting.advance(length);
            if self.waiting.is_empty() {
                // Nothing waits: no buffer is kept.
                self.waiting = BytesMut::new();
            }
        }
    }

    fn end_ours(&mut self) {
        if self.ours.is_end() {
            self.valve = Valve::Discard;
            self.waiting = BytesMut::new();
        }
        self.ours = Ours::new();
    }

    /// Reads once if that is wanted, and passes on what it can without keeping it; returns whether bytes came.
    fn read<R: AsyncRead, W: AsyncWrite>(
        &mut self,
        context: &mut Context<'_>,
        limits: &Limits,
        reader: Pin<&mut R>,
        writer: Option<&mut Pin<&mut W>>,
    ) -> Result<bool, Fault> {
        let wanted = self.wanted();
        if wanted == 0 {
            return Ok(false);
        }
        with_buffer(|buffer| {
            let mut buffer = ReadBuf::new(&mut buffer[..wanted]);
            match reader.poll_read(context, &mut buffer) {
                Poll::Pending => return Ok(false),
                Poll::Ready(Ok(())) => {}
                // TLS without a close_notify: frames say themselves where a message ends, so it is an end like a FIN.
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {}
                Poll::Ready(Err(error)) => return Err(self.end(Fault::Read(error))),
            }
            let bytes = buffer.filled();
            if bytes.is_empty() {
                self.is_over = true;
                return Ok(false);
            }
            match writer {
                Some(writer) if self.flows_freely() => self.pass(context, limits, bytes, writer.as_mut())?,
                Some(_) | None => self.take_in(limits, bytes)?,
            }
            Ok(true)
        })
    }

    /// The way of nearly every byte: judged, written at once, and only what was not taken is kept.
    fn pass<W: AsyncWrite>(
        &mut self,
        context: &mut Context<'_>,
        limits: &Limits,
        bytes: &[u8],
        writer: Pin<&mut W>,
    ) -> Result<(), Fault> {
        if let Err(fault) = self.judge(limits, bytes) {
            // The frames before the offence are sound, and their receiver is owed them.
            let sound = &bytes[..sound_bytes(&fault)];
            let length = poll_write(writer, context, sound)?;
            self.is_unflushed |= length > 0;
            self.bytes += length as u64;
            self.sent.scan(limits, &sound[..length]).map_err(Fault::Violation)?;
            self.waiting.extend_from_slice(&sound[length..]);
            return Err(fault);
        }
        let whole = bytes.len() - self.seen.header_bytes_pending().min(bytes.len());
        // What a receiver that is gone did not take may be another's to take.
        let length =
            poll_write(writer, context, &bytes[..whole]).inspect_err(|_| self.waiting.extend_from_slice(bytes))?;
        self.is_unflushed |= length > 0;
        self.bytes += length as u64;
        let before = self.sent;
        if length == bytes.len() {
            self.sent = self.seen;
        } else {
            self.sent.scan(limits, &bytes[..length]).map_err(Fault::Violation)?;
            self.waiting.extend_from_slice(&bytes[length..]);
        }
        Heartbeat::follow(&mut self.heartbeat, limits, before, self.sent, &bytes[..length]);
        if self.sent.is_closed() && !before.is_closed() {
            self.close_code = farewell::code_of(limits, before, &bytes[..length]);
        }
        Ok(())
    }

    /// Judges bytes and keeps them.
    fn take_in(&mut self, limits: &Limits, bytes: &[u8]) -> Result<(), Fault> {
        if self.valve == Valve::Discard {
            return self.judge(limits, bytes);
        }
        if matches!(self.valve, Valve::Shut { .. }) && self.first_wait.is_none() && !bytes.is_empty() {
            self.first_wait = Some(Instant::now());
        }
        let (waiting, pending) = (self.waiting.len(), self.seen.header_bytes_pending());
        self.waiting.extend_from_slice(bytes);
        self.judge(limits, bytes).inspect_err(|fault| {
            // Nothing of the offending frame is passed on, not even the start of its header that came before.
            let sound = match sound_bytes(fault) {
                0 => waiting.saturating_sub(pending),
                sound => waiting + sound,
            };
            self.waiting.truncate(sound);
        })
    }

    fn judge(&mut self, limits: &Limits, bytes: &[u8]) -> Result<(), Fault> {
        if let Some(recorder) = &mut self.recorder {
            recorder.hear(limits, bytes);
        }
        if let Some(watch) = &mut self.quiet_watch {
            watch.hear(limits, bytes);
        }
        self.seen
            .scan(limits, bytes)
            .map_err(|violation| self.end(Fault::Violation(violation)))
    }

    fn end(&mut self, fault: Fault) -> Fault {
        self.is_over = true;
        fault
    }

    fn poll_finish<W: AsyncWrite>(&mut self, context: &mut Context<'_>, writer: Pin<&mut W>) -> Result<(), Fault> {
        // The start of a header whose end never came is nothing that was owed.
        let is_written = self.ours.is_empty() && self.waiting.len() <= self.seen.header_bytes_pending();
        if self.finish != Finish::Asked || !is_written {
            return Ok(());
        }
        match writer.poll_shutdown(context) {
            Poll::Pending => Ok(()),
            Poll::Ready(result) => {
                self.finish = Finish::Done;
                result.map_err(Fault::Write)
            }
        }
    }
}

/// Counts the bytes of what was judged that stand before the offence.
fn sound_bytes(fault: &Fault) -> usize {
    match fault {
        Fault::Violation(violation) => violation.passed,
        Fault::Read(_) | Fault::Write(_) => 0,
    }
}

/// Writes once; zero stands for a writer that takes nothing now.
fn poll_write<W: AsyncWrite>(writer: Pin<&mut W>, context: &mut Context<'_>, bytes: &[u8]) -> Result<usize, Fault> {
    if bytes.is_empty() {
        return Ok(0);
    }
    match writer.poll_write(context, bytes) {
        Poll::Pending => Ok(0),
        Poll::Ready(Ok(0)) => Err(Fault::Write(io::ErrorKind::WriteZero.into())),
        Poll::Ready(Ok(length)) => Ok(length),
        Poll::Ready(Err(error)) => Err(Fault::Write(error)),
    }
}

/// A flood goes no further than the read that it is found in.
const CONTROLS_AT_ONCE: u16 = 100;

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use handover_protocol::frame::encode_text;

    use super::*;

    /// A writer that takes everything and lets go of it only when told, as TLS does while its peer does not read.
    #[derive(Default)]
    struct Keeper {
        is_open: bool,
    }

    impl AsyncWrite for Keeper {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            match self.is_open {
                true => Poll::Ready(Ok(())),
                false => Poll::Pending,
            }
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    /// A writer whose peer is gone.
    struct Gone;

    impl AsyncWrite for Gone {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn what_a_writer_that_is_gone_did_not_take_is_anothers_to_take() {
        let limits = Limits::default();
        let mut context = Context::from_waker(Waker::noop());
        let mut direction = Direction::new(Sender::Server, None);
        let (mut reader, mut gone) = (&b"\x81\x01a\x81\x02b"[..], Gone);
        let fault = direction.pump(&mut context, &limits, Some(&mut reader), Some(&mut gone));
        assert!(matches!(fault, Err(Fault::Write(_))), "{fault:?}");
        assert!(direction.has_passed_whole() && direction.holds_messages());
        let (mut rest, mut heir) = (&b"c"[..], Vec::new());
        direction
            .pump(&mut context, &limits, Some(&mut rest), Some(&mut heir))
            .unwrap();
        assert_eq!(heir, b"\x81\x01a\x81\x02bc");
        assert_eq!(direction.messages_passed(), 2);
    }

    #[test]
    fn a_message_that_the_writer_keeps_to_itself_is_not_passed_on() {
        let limits = Limits::default();
        let mut context = Context::from_waker(Waker::noop());
        let mut message = Vec::new();
        encode_text("hello", None, &mut message);
        let mut direction = Direction::new(Sender::Server, None);
        direction.go_on_with(&limits, &message).unwrap();
        let (mut reader, mut writer) = (&b"\x81\x01a"[..], Keeper::default());
        direction
            .pump(&mut context, &limits, Some(&mut reader), Some(&mut writer))
            .unwrap();
        assert_eq!(direction.messages_passed(), 0);
        assert!(!direction.is_at_boundary() && direction.is_owing(&limits));
        assert_eq!(reader.len(), 3, "the sender feels it");
        writer.is_open = true;
        direction
            .pump(&mut context, &limits, Some(&mut reader), Some(&mut writer))
            .unwrap();
        assert_eq!(direction.messages_passed(), 2);
        assert!(direction.is_at_boundary() && !direction.is_owing(&limits));
    }
}
