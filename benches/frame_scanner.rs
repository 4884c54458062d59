//! Measures the frame scanner beside a state machine that looks at every byte, in the shapes that a relay sees: many
//! small frames in one read, some larger ones, and a read from the middle of a large one.
//!
//! What counts is the ratio of the two, and the time per frame; `cargo bench -p handover-benches`.

use std::hint::black_box;

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use handover_protocol::frame::{Limits, Scanner, Sender, encode_binary};

const READ_BYTES: usize = 64 * 1024;
const MEBIBYTE: usize = 1024 * 1024;

fn main() {
    divan::main();
}

/// Payload sizes of the frames that fill one input.
#[divan::bench(args = [64, 1024, MEBIBYTE])]
fn scanner(bencher: Bencher, payload_len: usize) {
    let input = Input::new(payload_len);
    let limits = Limits::default();
    input.bench(bencher, |bytes| {
        let mut scanner = Scanner::new(Sender::Client);
        scanner.scan(&limits, bytes).expect("the frames are whole");
        scanner.messages()
    });
}

/// The same in reads of 64 KiB: all but the first begin somewhere in a frame.
#[divan::bench(args = [64, 1024, MEBIBYTE])]
fn scanner_in_reads(bencher: Bencher, payload_len: usize) {
    let input = Input::of_bytes(payload_len, MEBIBYTE);
    let limits = Limits::default();
    input.bench(bencher, |bytes| {
        let mut scanner = Scanner::new(Sender::Client);
        for read in bytes.chunks(READ_BYTES) {
            scanner.scan(&limits, black_box(read)).expect("the frames are whole");
        }
        scanner.messages()
    });
}

#[divan::bench(args = [64, 1024, MEBIBYTE])]
fn byte_by_byte(bencher: Bencher, payload_len: usize) {
    let input = Input::new(payload_len);
    input.bench(bencher, |bytes| {
        let mut naive = ByteByByte::default();
        bytes.iter().for_each(|byte| naive.push(*byte));
        naive.messages
    });
}

/// Masked messages of one size, one after the other.
struct Input {
    bytes: Vec<u8>,
    frames: u64,
}

impl Input {
    fn new(payload_len: usize) -> Self {
        Self::of_bytes(payload_len, READ_BYTES)
    }

    /// As many frames as end within `bytes_max`; at least one.
    fn of_bytes(payload_len: usize, bytes_max: usize) -> Self {
        let mut bytes = Vec::new();
        let mut frames = 0;
        while frames == 0 || bytes.len() + bytes.len() / frames as usize <= bytes_max {
            encode_binary(&vec![b'x'; payload_len], Some([1, 2, 3, 4]), &mut bytes);
            frames += 1;
        }
        Self { bytes, frames }
    }

    fn bench(&self, bencher: Bencher, messages: impl Fn(&[u8]) -> u64 + Sync) {
        assert_eq!(messages(&self.bytes), self.frames);
        bencher
            .counter(BytesCount::of_slice(&self.bytes))
            .counter(ItemsCount::new(self.frames))
            .bench(|| messages(black_box(&self.bytes)));
    }
}

/// Finds the ends of masked messages by walking every byte, and judges nothing.
#[derive(Default)]
struct ByteByByte {
    at: u64,
    header_len: u64,
    frame_len: u64,
    ends_message: bool,
    messages: u64,
}

impl ByteByByte {
    fn push(&mut self, byte: u8) {
        match self.at {
            0 => self.ends_message = byte & 0x88 == 0x80,
            1 => {
                self.frame_len = u64::from(byte & 0x7F);
                self.header_len = match self.frame_len {
                    126 => 4,
                    127 => 10,
                    _ => 2,
                };
                if self.header_len > 2 {
                    self.frame_len = 0;
                }
            }
            at if at < self.header_len => self.frame_len = self.frame_len << 8 | u64::from(byte),
            _ => {}
        }
        self.at += 1;
        if self.at > 1 && self.at == self.header_len + 4 + self.frame_len {
            self.messages += u64::from(self.ends_message);
            self.at = 0;
            self.frame_len = 0;
        }
    }
}
