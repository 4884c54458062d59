//! Replays the kept streams, and draws new ones from them.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use handover_protocol::frame::{Limits, Reserved, Scanner, Sender, Violation};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::splits::{self, Call};
use crate::{fuzz_config, reference, tungstenite_verdict, wire};

const LIMITS: Limits = Limits {
    message_bytes_max: 100_000,
    fragments_max: 8,
    extensions: Reserved::Zero,
};
const EXTENSIONS: [Reserved; 2] = [Reserved::Zero, Reserved::Deflate];

struct Seed {
    name: String,
    sender: Sender,
    bytes: Vec<u8>,
}

static SEEDS: LazyLock<Vec<Seed>> = LazyLock::new(|| {
    let mut paths: Vec<_> = fs::read_dir(directory())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "bin"));
    paths.sort();
    paths.iter().map(Seed::read).collect()
});

impl Seed {
    fn read(path: &PathBuf) -> Self {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let sender = match name.split('-').next() {
            Some("client") => Sender::Client,
            Some("server") => Sender::Server,
            _ => panic!("{name} does not begin with a side"),
        };
        let bytes = fs::read(path).unwrap();
        Self { name, sender, bytes }
    }
}

fn directory() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "corpus", "frames"].iter().collect()
}

/// Holds everything that must hold for any bytes.
fn check_bytes(sender: Sender, extensions: Reserved, bytes: &[u8], calls: &[(Call, usize)], sizes: &[usize]) {
    let limits = LIMITS.with_extensions(extensions);
    splits::check_calls(sender, &limits, bytes, calls);
    check_events(sender, &limits, bytes, &wire::cut(bytes, sizes));
    tungstenite_verdict::check_verdict(sender, bytes);
}

fn check_events(sender: Sender, limits: &Limits, bytes: &[u8], parts: &[&[u8]]) {
    let reading = reference::read(sender, limits, bytes);
    let (events, end) = splits::events_of(sender, limits, parts);
    assert_eq!(events, reading.events);
    let (kind, passed) = (reading.offence.map(|offence| offence.kind), 0);
    assert_eq!(end.err(), kind.map(|kind| Violation { kind, passed }));
}

#[test]
fn kept_streams_are_judged_alike_at_every_cut() {
    assert!(SEEDS.len() > 24);
    for Seed { bytes, .. } in SEEDS.iter() {
        for sender in [Sender::Client, Sender::Server] {
            for extensions in EXTENSIONS {
                let limits = LIMITS.with_extensions(extensions);
                for cut in 0..=bytes.len() {
                    let (left, right) = bytes.split_at(cut);
                    check_events(sender, &limits, bytes, &[left, right]);
                }
                let steps = vec![(Call::Advance, 1); bytes.len()];
                check_bytes(sender, extensions, bytes, &steps, &[1]);
            }
        }
    }
}

#[test]
fn kept_streams_have_their_kept_verdicts() {
    let mut table = String::new();
    for Seed { name, sender, bytes } in SEEDS.iter() {
        for extensions in EXTENSIONS {
            let mut scanner = Scanner::new(*sender);
            let end = match scanner.scan(&LIMITS.with_extensions(extensions), bytes) {
                Err(violation) => format!("{violation} behind byte {}", violation.passed),
                Ok(()) if scanner.at_message_boundary() => "ends between messages".to_owned(),
                Ok(()) if scanner.at_frame_boundary() => "ends between fragments".to_owned(),
                Ok(()) => "ends inside a frame".to_owned(),
            };
            let messages = scanner.messages();
            let close = if scanner.is_closed() { ", closed" } else { "" };
            writeln!(table, "{name} {extensions:?}: {messages} messages{close}, {end}").unwrap();
        }
    }
    let kept = fs::read_to_string(directory().join("verdicts.txt")).unwrap_or_default();
    assert!(table == kept, "verdicts.txt differs; the scanner now says:\n{table}");
}

#[derive(Debug, Clone)]
enum Mutation {
    FlipBit { at: Index, bit: u8 },
    Overwrite { at: Index, byte: u8 },
    Insert { at: Index, bytes: Vec<u8> },
    Remove { at: Index, count: usize },
    Cut { at: Index },
    Splice { at: Index, seed: Index, from: Index },
}

impl Mutation {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let place = |at: &Index, bytes: &[u8]| at.index(bytes.len() + 1);
        match self {
            Self::FlipBit { at, bit } => {
                let at = place(at, bytes);
                bytes.get_mut(at).into_iter().for_each(|byte| *byte ^= 1 << bit);
            }
            Self::Overwrite { at, byte } => {
                let at = place(at, bytes);
                bytes.get_mut(at).into_iter().for_each(|old| *old = *byte);
            }
            Self::Insert { at, bytes: new } => {
                let at = place(at, bytes);
                bytes.splice(at..at, new.iter().copied());
            }
            Self::Remove { at, count } => {
                let at = place(at, bytes);
                let end = bytes.len().min(at + count);
                bytes.drain(at..end);
            }
            Self::Cut { at } => bytes.truncate(place(at, bytes)),
            Self::Splice { at, seed, from } => {
                let other = &SEEDS[seed.index(SEEDS.len())].bytes;
                bytes.truncate(place(at, bytes));
                bytes.extend(&other[place(from, other)..]);
            }
        }
    }
}

fn mutations() -> impl Strategy<Value = Vec<Mutation>> {
    let at = any::<Index>;
    let mutation = prop_oneof![
        (at(), 0u8..8).prop_map(|(at, bit)| Mutation::FlipBit { at, bit }),
        (at(), header_byte()).prop_map(|(at, byte)| Mutation::Overwrite { at, byte }),
        (at(), vec(header_byte(), 1..15)).prop_map(|(at, bytes)| Mutation::Insert { at, bytes }),
        (at(), 1usize..20).prop_map(|(at, count)| Mutation::Remove { at, count }),
        at().prop_map(|at| Mutation::Cut { at }),
        (at(), at(), at()).prop_map(|(at, seed, from)| Mutation::Splice { at, seed, from }),
    ];
    vec(mutation, 1..6)
}

/// Draws bytes of which more than chance makes headers.
fn header_byte() -> impl Strategy<Value = u8> {
    let telling = prop::sample::select(&[
        0x00, 0x01, 0x02, 0x80, 0x81, 0x82, 0x88, 0x89, 0x8A, 0xC1, 0x7E, 0x7F, 0xFE, 0xFF, 0x7D,
    ]);
    prop_oneof![3 => telling, 1 => any::<u8>(), 1 => 0u8..8]
}

proptest! {
    #![proptest_config(fuzz_config())]

    #[test]
    fn mutated_streams_are_judged_like_the_reference_and_tungstenite(
        seed in any::<Index>(),
        mutations in mutations(),
        extensions in prop::sample::select(&EXTENSIONS),
        calls in splits::calls(),
        sizes in wire::reads(),
    ) {
        let seed = &SEEDS[seed.index(SEEDS.len())];
        let mut bytes = seed.bytes.clone();
        mutations.iter().for_each(|mutation| mutation.apply(&mut bytes));
        check_bytes(seed.sender, extensions, &bytes, &calls, &sizes);
    }

    #[test]
    fn arbitrary_bytes_are_judged_like_the_reference_and_tungstenite(
        sender in wire::sender(),
        extensions in prop::sample::select(&EXTENSIONS),
        bytes in vec(header_byte(), 0..120),
        calls in splits::calls(),
        sizes in wire::reads(),
    ) {
        check_bytes(sender, extensions, &bytes, &calls, &sizes);
    }
}
