//! Each rule is found, named, paid with the right close code, and found with the byte that breaks it.

use handover_protocol::close::CloseCode;
use handover_protocol::frame::{Limits, Reserved, Scanner, Sender, Violation, ViolationKind};

use crate::reference;

const LIMITS: Limits = Limits {
    message_bytes_max: 1000,
    fragments_max: 3,
    extensions: Reserved::Zero,
};
const DEFLATE: Limits = Limits {
    extensions: Reserved::Deflate,
    ..LIMITS
};

/// Behind `before`, which is fine, the last byte of `offending` breaks a rule, and no byte before it.
#[track_caller]
fn check(limits: &Limits, sender: Sender, before: &[u8], offending: &[u8], kind: ViolationKind) {
    let bytes = [before, offending].concat();
    let last = bytes.len() - 1;
    let mut scanner = Scanner::new(sender);
    assert_eq!(scanner.scan(limits, &bytes[..last]), Ok(()));
    assert_eq!(scanner.scan(limits, &bytes[last..]), Err(Violation { kind, passed: 0 }));

    let passed = before.len();
    let mut whole = Scanner::new(sender);
    assert_eq!(whole.scan(limits, &bytes), Err(Violation { kind, passed }));
}

#[test]
fn size_and_policy_have_close_codes_of_their_own() {
    let code = ViolationKind::close_code;
    assert_eq!(code(ViolationKind::MessageTooLarge), CloseCode::MESSAGE_TOO_BIG);
    assert_eq!(code(ViolationKind::TooManyFragments), CloseCode::POLICY_VIOLATION);
    assert_eq!(code(ViolationKind::Unmasked), CloseCode::PROTOCOL_ERROR);
    assert_eq!(code(ViolationKind::LengthTopBit), CloseCode::PROTOCOL_ERROR);
}

const OPEN: &[u8] = &[0x01, 0x03, b'a', b'b', b'c'];
const PING: &[u8] = &[0x89, 0x01, b'!'];

#[test]
fn a_missing_or_unwanted_mask_is_found_at_the_second_byte() {
    check(&LIMITS, Sender::Client, &[], &[0x81, 0x05], ViolationKind::Unmasked);
    check(&LIMITS, Sender::Client, &[], &[0x89, 0x00], ViolationKind::Unmasked);
    check(&LIMITS, Sender::Server, PING, &[0x82, 0x85], ViolationKind::Masked);
}

#[test]
fn every_reserved_opcode_is_found_at_the_first_byte() {
    for opcode in (0x3..=0x7).chain(0xB..=0xF) {
        for fin in [0, 0x80] {
            check(
                &LIMITS,
                Sender::Server,
                PING,
                &[fin | opcode],
                ViolationKind::ReservedOpcode,
            );
            check(
                &DEFLATE,
                Sender::Client,
                &[],
                &[fin | 0x40 | opcode],
                ViolationKind::ReservedOpcode,
            );
        }
    }
}

#[test]
fn reserved_bits_are_found_unless_the_extension_gives_them_a_meaning() {
    for bits in (0x10..=0x70).step_by(0x10) {
        check(&LIMITS, Sender::Server, &[], &[0x82 | bits], ViolationKind::ReservedBit);
        if bits != 0x40 {
            check(
                &DEFLATE,
                Sender::Server,
                &[],
                &[0x82 | bits],
                ViolationKind::ReservedBit,
            );
        }
    }
    for control in [0x88, 0x89, 0x8A] {
        check(
            &DEFLATE,
            Sender::Server,
            &[],
            &[0x40 | control],
            ViolationKind::MisplacedRsv1,
        );
    }
    check(&DEFLATE, Sender::Server, OPEN, &[0xC0], ViolationKind::MisplacedRsv1);
    let mut scanner = Scanner::new(Sender::Server);
    assert_eq!(scanner.scan(&DEFLATE, &[0x41, 0x01, 0, 0x80, 0x00, 0xC2, 0x00]), Ok(()));
}

#[test]
fn long_and_fragmented_control_frames_are_found() {
    for control in [0x88, 0x89, 0x8A] {
        check(
            &LIMITS,
            Sender::Server,
            OPEN,
            &[control, 126],
            ViolationKind::ControlTooLong,
        );
        check(
            &LIMITS,
            Sender::Client,
            &[],
            &[control, 0xFF],
            ViolationKind::ControlTooLong,
        );
        check(
            &LIMITS,
            Sender::Server,
            &[],
            &[control & 0x7F],
            ViolationKind::ControlFragmented,
        );
    }
}

#[test]
fn fragments_out_of_place_are_found() {
    for fin in [0, 0x80] {
        check(&LIMITS, Sender::Server, PING, &[fin], ViolationKind::StrayContinuation);
        check(
            &LIMITS,
            Sender::Server,
            OPEN,
            &[fin | 1],
            ViolationKind::MissingContinuation,
        );
        check(
            &LIMITS,
            Sender::Server,
            OPEN,
            &[fin | 2],
            ViolationKind::MissingContinuation,
        );
        let open_with_ping = [OPEN, PING].concat();
        check(
            &LIMITS,
            Sender::Server,
            &open_with_ping,
            &[fin | 2],
            ViolationKind::MissingContinuation,
        );
    }
    let ended = [OPEN, &[0x80, 0x00]].concat();
    check(
        &LIMITS,
        Sender::Server,
        &ended,
        &[0x80],
        ViolationKind::StrayContinuation,
    );
}

#[test]
fn lengths_in_the_wrong_form_are_found() {
    let wide = |length: u64| [&[0x82, 127][..], &length.to_be_bytes()].concat();
    check(
        &LIMITS,
        Sender::Server,
        &[],
        &[0x82, 126, 0, 125],
        ViolationKind::LengthNotMinimal,
    );
    check(&LIMITS, Sender::Server, &[], &wide(0), ViolationKind::LengthNotMinimal);
    check(
        &LIMITS,
        Sender::Server,
        PING,
        &wide(65535),
        ViolationKind::LengthNotMinimal,
    );
    check(
        &LIMITS,
        Sender::Server,
        PING,
        &wide(1 << 63),
        ViolationKind::LengthTopBit,
    );
    check(
        &LIMITS,
        Sender::Server,
        PING,
        &wide(u64::MAX),
        ViolationKind::LengthTopBit,
    );
}

#[test]
fn a_message_over_the_limit_is_found_before_its_payload() {
    let exbibyte = [&[0x82, 127][..], &(1u64 << 60).to_be_bytes()].concat();
    check(&LIMITS, Sender::Server, &[], &exbibyte, ViolationKind::MessageTooLarge);
    check(
        &LIMITS,
        Sender::Server,
        &[],
        &[0x82, 126, 3, 233],
        ViolationKind::MessageTooLarge,
    );
    check(
        &LIMITS,
        Sender::Server,
        OPEN,
        &[0x80, 126, 3, 230],
        ViolationKind::MessageTooLarge,
    );
    let mut scanner = Scanner::new(Sender::Server);
    let at_the_limit = [OPEN, &[0x80, 126, 3, 229], &[0; 997]].concat();
    assert_eq!(scanner.scan(&LIMITS, &at_the_limit), Ok(()));
    assert_eq!(scanner.messages(), 1);
    // What one message announced does not count towards the next.
    assert_eq!(scanner.scan(&LIMITS, &at_the_limit), Ok(()));
}

#[test]
fn control_frames_do_not_count_towards_a_message() {
    let limits = Limits {
        message_bytes_max: 3,
        fragments_max: 2,
        ..LIMITS
    };
    let mut scanner = Scanner::new(Sender::Server);
    let bytes = [OPEN, PING, PING, PING, &[0x80, 0x00]].concat();
    assert_eq!(scanner.scan(&limits, &bytes), Ok(()));
    assert_eq!(scanner.messages(), 1);
}

#[test]
fn a_flood_of_empty_continuations_is_found() {
    let before = [OPEN, &[0x00, 0x00], &[0x00, 0x00]].concat();
    check(
        &LIMITS,
        Sender::Server,
        &before,
        &[0x00],
        ViolationKind::TooManyFragments,
    );
    check(
        &LIMITS,
        Sender::Server,
        &before,
        &[0x80],
        ViolationKind::TooManyFragments,
    );
}

#[test]
fn limits_of_all_ones_overflow_nothing() {
    let limits = Limits {
        message_bytes_max: u64::MAX,
        fragments_max: u32::MAX,
        extensions: Reserved::Zero,
    };
    let huge = (u64::MAX >> 1).to_be_bytes();
    let first = [&[0x02, 127][..], &huge].concat();
    let mut scanner = Scanner::new(Sender::Server);
    assert_eq!(scanner.scan(&limits, &first), Ok(()));
    assert!(!scanner.at_frame_boundary());
    assert_eq!(scanner.scan(&limits, &[0; 4096]), Ok(()));
    assert_eq!(scanner.messages(), 0);
}

#[test]
fn every_pair_of_first_bytes_is_judged_like_the_reference() {
    for limits in [LIMITS, DEFLATE] {
        for (sender, mask) in [(Sender::Client, 0x80), (Sender::Server, 0)] {
            let open: &[u8] = if mask == 0 { OPEN } else { &[0x01, 0x80, 1, 2, 3, 4] };
            for before in [&[], open] {
                for pair in 0..=u16::MAX {
                    let [first, second] = pair.to_be_bytes();
                    let bytes = [before, &[first, second, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]].concat();
                    check_like_the_reference(sender, &limits, &bytes);
                }
            }
        }
    }
}

#[test]
fn every_16_bit_length_and_the_edges_of_the_64_bit_ones_are_judged_like_the_reference() {
    for message_bytes_max in [0, 125, 126, 65535, 65536, 1 << 40, u64::MAX] {
        let limits = Limits {
            message_bytes_max,
            ..LIMITS
        };
        for length in 0..=u16::MAX {
            let [high, low] = length.to_be_bytes();
            check_like_the_reference(Sender::Server, &limits, &[0x82, 126, high, low]);
        }
        for power in 0..64 {
            for length in [(1u64 << power) - 1, 1 << power, (1 << power) | 1] {
                let bytes = [&[0x82, 127][..], &length.to_be_bytes()].concat();
                check_like_the_reference(Sender::Server, &limits, &bytes);
            }
        }
    }
}

#[track_caller]
fn check_like_the_reference(sender: Sender, limits: &Limits, bytes: &[u8]) {
    let reading = reference::read(sender, limits, bytes);
    let expected = reading.offence.map_or(Ok(()), |offence| {
        let (kind, passed) = (offence.kind, offence.frame_start);
        Err(Violation { kind, passed })
    });
    let mut scanner = Scanner::new(sender);
    assert_eq!(
        scanner.scan(limits, bytes),
        expected,
        "{sender:?} {limits:?} {bytes:x?}"
    );
    if let (Ok(()), Some(place)) = (expected, reading.places.last()) {
        assert_eq!(scanner.messages(), place.messages);
        assert_eq!(scanner.header_bytes_pending(), place.header_bytes);
    }
}
