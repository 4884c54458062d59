//! What is written is read again: our encoder, our reader of messages, and tungstenite's frames in between.

use handover_protocol::close::{CloseBody, CloseCode};
use handover_protocol::frame::{
    Event, Limits, MaskKey, MessageReader, Opcode, Received, Reserved, Sender, ViolationKind, encode, encode_binary,
    encode_close, encode_ping, encode_pong, encode_text,
};
use proptest::prelude::*;

use crate::wire::WireFrame;
use crate::{config, splits, wire};

/// What a reader without bounds must tell of these frames.
fn expected(frames: &[WireFrame]) -> Vec<Received> {
    let mut received = Vec::new();
    let mut open: Option<(Opcode, bool, Vec<u8>)> = None;
    for frame in frames {
        if frame.opcode.is_control() {
            received.push(Received::Control {
                opcode: frame.opcode,
                payload: frame.payload.clone(),
            });
            continue;
        }
        let (_, _, payload) = open.get_or_insert((frame.opcode, frame.rsv1, Vec::new()));
        payload.extend(&frame.payload);
        if frame.fin {
            let (opcode, compressed, payload) = open.take().unwrap();
            received.push(Received::Message {
                opcode,
                compressed,
                payload,
            });
        }
    }
    received
}

fn read(reader: &mut MessageReader, limits: &Limits, parts: &[&[u8]]) -> Vec<Received> {
    let mut received = Vec::new();
    for part in parts {
        let mut rest = *part;
        while let Some(next) = reader.next(limits, &mut rest).unwrap() {
            received.push(next);
        }
        assert!(rest.is_empty());
    }
    received
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_conversation_is_read_whole_whatever_the_cut(
        sender in wire::sender(),
        frames in wire::conversation(Reserved::Deflate),
        sizes in wire::reads(),
    ) {
        let limits = Limits::default().with_extensions(Reserved::Deflate);
        let bytes = wire::by_hand(&frames, sender);
        let mut reader = MessageReader::new(sender, usize::MAX);
        prop_assert!(read(&mut reader, &limits, &wire::cut(&bytes, &sizes)) == expected(&frames));
        prop_assert!(reader.scanner().at_message_boundary());
    }

    #[test]
    fn messages_over_the_bound_are_told_and_passed_over(
        sender in wire::sender(),
        frames in wire::conversation(Reserved::Zero),
        sizes in wire::reads(),
        bytes_max in 0usize..150,
    ) {
        let bytes = wire::by_hand(&frames, sender);
        let mut reader = MessageReader::new(sender, bytes_max);
        let bounded = expected(&frames).into_iter().map(|received| match received {
            Received::Message { opcode, payload, .. } if payload.len() > bytes_max => Received::TooLarge {
                opcode,
                payload_len: payload.len() as u64,
            },
            kept @ (Received::Message { .. } | Received::Control { .. } | Received::TooLarge { .. }) => kept,
        });
        let received = read(&mut reader, &Limits::default(), &wire::cut(&bytes, &sizes));
        prop_assert!(bounded.eq(received));
    }

    #[test]
    fn our_frames_are_written_like_by_hand(
        frame in wire::conversation(Reserved::Zero).prop_filter_map("no frame", |frames| frames.into_iter().next()),
        key: Option<MaskKey>,
    ) {
        let mut frame = WireFrame { fin: true, ..frame };
        frame.key = key.unwrap_or_default();
        let sender = if key.is_some() { Sender::Client } else { Sender::Server };
        let mut out = b"kept".to_vec();
        encode(frame.opcode, &frame.payload, key, &mut out);
        prop_assert_eq!(&out[..4], b"kept");
        prop_assert!(out[4..] == wire::by_hand(&[frame], sender));
    }

    #[test]
    fn a_close_of_any_reason_is_read_again_and_cut_between_characters(
        reason in "\\PC{0,140}",
        code in 3000u16..5000,
        key: Option<MaskKey>,
    ) {
        let mut out = Vec::new();
        encode_close(CloseCode::new(code), &reason, key, &mut out);
        let sender = if key.is_some() { Sender::Client } else { Sender::Server };
        let mut reader = MessageReader::new(sender, 0);
        let received = read(&mut reader, &Limits::default(), &[&out]);
        let [Received::Control { opcode: Opcode::Close, payload }] = &received[..] else {
            panic!("{received:?}");
        };
        let body = CloseBody::parse(payload).unwrap().unwrap();
        prop_assert_eq!(body.code, CloseCode::new(code));
        prop_assert!(reason.starts_with(body.reason));
        let next = reason[body.reason.len()..].chars().next();
        prop_assert!(next.is_none_or(|next| body.reason.len() + next.len_utf8() > CloseCode::REASON_BYTES_MAX));
    }
}

#[test]
fn the_named_frames_are_what_they_say() {
    let mut out = Vec::new();
    encode_text("Hello", None, &mut out);
    encode_text("Hello", Some([0x37, 0xfa, 0x21, 0x3d]), &mut out);
    encode_binary(&[7], None, &mut out);
    encode_ping(b"Hello", None, &mut out);
    encode_pong(&[9; 200], None, &mut out);
    // The first two and the Ping are the examples of RFC 6455 section 5.7.
    let expected = [
        &[0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f][..],
        &[0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58],
        &[0x82, 0x01, 7],
        &[0x89, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f],
        &[0x8a, 125],
        &[9; 125],
    ];
    assert_eq!(out, expected.concat());
}

#[test]
fn an_announced_length_allocates_nothing() {
    let mut reader = MessageReader::new(Sender::Server, usize::MAX);
    let header = [&[0x82, 127][..], &(1u64 << 40).to_be_bytes()].concat();
    let limits = Limits {
        message_bytes_max: u64::MAX,
        ..Limits::default()
    };
    assert_eq!(read(&mut reader, &limits, &[&header, b"a few bytes"]), []);
}

#[test]
fn messages_before_a_violation_are_still_told() {
    let mut bytes = Vec::new();
    encode_text("taken", None, &mut bytes);
    bytes.push(0x83);
    let mut reader = MessageReader::new(Sender::Server, 100);
    let mut rest = &bytes[..];
    assert!(matches!(
        reader.next(&Limits::default(), &mut rest),
        Ok(Some(Received::Message { .. }))
    ));
    let violation = reader.next(&Limits::default(), &mut rest).unwrap_err();
    assert_eq!((violation.kind, violation.passed), (ViolationKind::ReservedOpcode, 0));
}

#[test]
fn an_empty_frame_ends_without_a_further_byte() {
    let (events, scanner) = splits::events_of(Sender::Server, &Limits::default(), &[&[0x82], &[0x00]]);
    assert!(matches!(
        events[..],
        [
            (2, Event::Header(_)),
            (
                2,
                Event::FrameEnd {
                    message_ended: true,
                    ..
                }
            )
        ]
    ));
    assert!(scanner.unwrap().at_message_boundary());
}
