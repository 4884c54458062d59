//! What a held client is answered by the gateway itself: its Pings.

use bytes::BytesMut;
use handover_protocol::frame::{Event, Limits, Opcode, Scanner, unmask};

use super::direction::Direction;

impl Direction {
    /// Takes whole Pings out of what waits and returns their payloads, so that they can be answered (RFC 6455 section
    /// 5.5.3); all else stays as it came.
    pub fn take_pings(&mut self, limits: &Limits) -> Vec<Vec<u8>> {
        let mut pings = Vec::new();
        let mut scanner = self.sent;
        let mut kept = BytesMut::new();
        let (mut at, mut frame_start, mut payload_start, mut key) = (0, 0, 0, None);
        let mut is_frame_start_known = scanner.at_frame_boundary();
        let mut copied = 0;
        while let Ok(advance) = scanner.advance(limits, &self.waiting[at..]) {
            at += advance.consumed;
            match advance.event {
                None => break,
                Some(Event::Header(header)) => {
                    payload_start = at;
                    key = header.mask;
                }
                Some(Event::FrameEnd { opcode, .. }) => {
                    if opcode == Opcode::Ping && is_frame_start_known {
                        let mut payload = self.waiting[payload_start..at].to_vec();
                        if let Some(key) = key {
                            unmask(key, 0, &mut payload);
                        }
                        pings.push(payload);
                        kept.extend_from_slice(&self.waiting[copied..frame_start]);
                        copied = at;
                    }
                    frame_start = at;
                    is_frame_start_known = true;
                }
            }
        }
        if !pings.is_empty() {
            kept.extend_from_slice(&self.waiting[copied..]);
            self.waiting = kept;
        }
        pings
    }

    /// Takes the Pong with `nonce` out of what waits, and returns whether it was there.
    pub fn take_pong(&mut self, limits: &Limits, nonce: &[u8; 8]) -> bool {
        let Some((start, Some(end))) = self.find_pong(limits, nonce) else {
            return false;
        };
        let behind = self.waiting.split_off(end.at);
        self.waiting.truncate(start);
        if let Some(watch) = &mut self.quiet_watch {
            watch.begin(end.scanner);
            watch.hear(limits, &behind);
        }
        self.waiting.unsplit(behind);
        true
    }

    /// Counts the waiting bytes before a Close, before the Pong with `nonce`, or before one that is not whole yet.
    pub(super) fn before_pong(&self, limits: &Limits, nonce: &[u8; 8]) -> usize {
        let mut scanner = self.sent;
        let before_close = scanner.to_close(limits, &self.waiting).map_or(0, |(length, _)| length);
        match self.find_pong(limits, nonce) {
            Some((start, _)) => start.min(before_close),
            None => before_close,
        }
    }

    /// Finds where the Pong starts and, if it is whole, where it ends.
    fn find_pong(&self, limits: &Limits, nonce: &[u8; 8]) -> Option<(usize, Option<PongEnd>)> {
        let mut scanner = self.sent;
        let (mut at, mut frame_start, mut payload_start) = (0, 0, 0);
        let mut is_start_known = scanner.at_frame_boundary();
        let mut is_pong = false;
        while let Ok(advance) = scanner.advance(limits, &self.waiting[at..]) {
            at += advance.consumed;
            match advance.event {
                None => {
                    let is_begun = is_pong || self.waiting.get(frame_start).is_some_and(|first| first & 0x0f == 0xa);
                    return (is_start_known && is_begun).then_some((frame_start, None));
                }
                Some(Event::Header(header)) => {
                    payload_start = at;
                    is_pong = header.opcode == Opcode::Pong;
                }
                Some(Event::FrameEnd { .. }) => {
                    if is_pong && is_start_known && &self.waiting[payload_start..at] == nonce {
                        return Some((frame_start, Some(PongEnd { at, scanner })));
                    }
                    frame_start = at;
                    is_start_known = true;
                    is_pong = false;
                }
            }
        }
        None
    }
}

/// Where the awaited Pong ends in what waits, and a scanner that stands there.
struct PongEnd {
    at: usize,
    scanner: Scanner,
}
