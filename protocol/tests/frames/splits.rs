//! Every method tells the same as the reference, whatever the stream is cut into.

use handover_protocol::frame::{Event, Limits, Reserved, Scanner, Sender, Violation};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::reference::{self, Reading};
use crate::{config, wire};

/// One call of the scanner.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Call {
    Scan,
    Advance,
    ToMessageBoundary,
    ToMessageCount { more: u64 },
    ToClose,
}

pub(crate) fn calls() -> impl Strategy<Value = Vec<(Call, usize)>> {
    let call = prop_oneof![
        Just(Call::Scan),
        Just(Call::Advance),
        Just(Call::ToMessageBoundary),
        (0u64..4).prop_map(|more| Call::ToMessageCount { more }),
        Just(Call::ToClose),
    ];
    let window = prop_oneof![4 => 0usize..12, 2 => 0usize..300, 1 => 0usize..200_000];
    vec((call, window), 1..60)
}

/// Makes the calls in turn, each on what is left cut at its window, and compares each answer with the reference.
pub(crate) fn check_calls(sender: Sender, limits: &Limits, bytes: &[u8], calls: &[(Call, usize)]) {
    let reading = reference::read(sender, limits, bytes);
    let mut scanner = Scanner::new(sender);
    let mut at = 0;
    for (call, window) in calls {
        let end = bytes.len().min(at + window);
        match check_call(&mut scanner, limits, &reading, *call, at, &bytes[at..end]) {
            Ok(consumed) => at += consumed,
            Err(violation) => return check_sticks(scanner, limits, violation),
        }
        check_place(&scanner, &reading, at);
    }
}

fn check_call(
    scanner: &mut Scanner,
    limits: &Limits,
    reading: &Reading,
    call: Call,
    at: usize,
    input: &[u8],
) -> Result<usize, Violation> {
    let end = at + input.len();
    let first_place =
        |holds: &dyn Fn(usize) -> bool| (at..=end).find(|place| *place < reading.places.len() && holds(*place));
    let offence = reading
        .offence
        .filter(|offence| offence.seen <= end)
        .map(|offence| Violation {
            kind: offence.kind,
            passed: offence.frame_start.saturating_sub(at),
        });
    match call {
        Call::Scan => {
            let answer = scanner.scan(limits, input);
            assert_eq!(answer.err(), offence);
            answer.map(|()| input.len())
        }
        Call::Advance => check_advance(scanner, limits, reading, at, input),
        Call::ToMessageBoundary => {
            let answer = scanner.to_message_boundary(limits, input);
            match first_place(&|place| reading.places[place].at_message_boundary) {
                Some(place) => assert_eq!(answer, Ok(Some(place - at))),
                None => assert_eq!(answer, offence.map_or(Ok(None), Err)),
            }
            answer.map(|passed| passed.unwrap_or(input.len()))
        }
        Call::ToMessageCount { more } => {
            let count = scanner.messages() + more;
            let answer = scanner.to_message_count(limits, count, input);
            let reached =
                |place: usize| reading.places[place].at_message_boundary && reading.places[place].messages >= count;
            match first_place(&reached) {
                Some(place) => assert_eq!(answer, Ok(place - at)),
                None => assert_eq!(answer, offence.map_or(Ok(input.len()), Err)),
            }
            answer
        }
        Call::ToClose => {
            let answer = scanner.to_close(limits, input);
            let is_close = |place: usize| {
                let begins =
                    reading.places[place].at_frame_boundary && input.get(place - at).is_some_and(|byte| byte % 16 == 8);
                begins || (place == at && reading.places[place].in_close)
            };
            match first_place(&is_close) {
                Some(place) => assert_eq!(answer, Ok((place - at, true))),
                None => assert_eq!(answer, offence.map_or(Ok((input.len(), false)), Err)),
            }
            answer.map(|(passed, _)| passed)
        }
    }
}

/// One step, and one more where the frame has no payload, so that other calls may follow.
fn check_advance(
    scanner: &mut Scanner,
    limits: &Limits,
    reading: &Reading,
    at: usize,
    input: &[u8],
) -> Result<usize, Violation> {
    let end = at + input.len();
    let advance = match scanner.advance(limits, input) {
        Ok(advance) => advance,
        Err(violation) => {
            let offence = reading.offence.expect("the reference sees an offence too");
            let expected = Violation {
                kind: offence.kind,
                passed: 0,
            };
            assert_eq!(violation, expected);
            assert!(offence.frame_start <= at && offence.seen <= end);
            return Err(violation);
        }
    };
    let expected = reading.events.iter().find(|(place, _)| *place > at && *place <= end);
    assert_eq!(advance.event, expected.map(|(_, event)| *event));
    assert_eq!(at + advance.consumed, expected.map_or(end, |(place, _)| *place));
    if let Some(Event::Header(header)) = advance.event
        && header.payload_len == 0
    {
        let message_ended = header.fin && !header.opcode.is_control();
        let opcode = header.opcode;
        let end = scanner.advance(limits, &[])?;
        assert_eq!(
            (end.consumed, end.event),
            (0, Some(Event::FrameEnd { opcode, message_ended }))
        );
    }
    Ok(advance.consumed)
}

fn check_place(scanner: &Scanner, reading: &Reading, at: usize) {
    let place = reading.places[at];
    assert_eq!(scanner.messages(), place.messages);
    assert_eq!(scanner.at_frame_boundary(), place.at_frame_boundary);
    assert_eq!(scanner.at_message_boundary(), place.at_message_boundary);
    assert_eq!(scanner.header_bytes_pending(), place.header_bytes);
    assert_eq!(scanner.is_closed(), place.is_closed);
}

/// After a violation every call answers with it, and nothing counts any more.
fn check_sticks(mut scanner: Scanner, limits: &Limits, violation: Violation) {
    let again = Violation { passed: 0, ..violation };
    let before = scanner;
    let fine = [0x82, 0x00, 0x88, 0x80, 1, 2, 3, 4];
    for input in [&fine[..], &[]] {
        assert_eq!(scanner.scan(limits, input), Err(again));
        assert_eq!(scanner.advance(limits, input), Err(again));
        assert_eq!(scanner.to_message_boundary(limits, input), Err(again));
        assert_eq!(scanner.to_message_count(limits, 0, input), Err(again));
        assert_eq!(scanner.to_close(limits, input), Err(again));
    }
    assert_eq!(scanner, before);
    assert!(!scanner.at_frame_boundary() && !scanner.at_message_boundary());
}

/// Takes every event of `parts`, with the number of bytes before it.
pub(crate) fn events_of(
    sender: Sender,
    limits: &Limits,
    parts: &[&[u8]],
) -> (Vec<(usize, Event)>, Result<Scanner, Violation>) {
    let mut scanner = Scanner::new(sender);
    let mut events = Vec::new();
    let mut at = 0;
    for part in parts {
        let mut rest = *part;
        loop {
            let advance = match scanner.advance(limits, rest) {
                Ok(advance) => advance,
                Err(violation) => return (events, Err(violation)),
            };
            rest = &rest[advance.consumed..];
            at += advance.consumed;
            match advance.event {
                Some(event) => events.push((at, event)),
                None => break,
            }
        }
        assert!(rest.is_empty());
    }
    (events, Ok(scanner))
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_cut_of_a_conversation_shows_the_same_events_and_counts(
        sender in wire::sender(),
        (extensions, frames) in prop_oneof![Just(Reserved::Zero), Just(Reserved::Deflate)]
            .prop_flat_map(|extensions| (Just(extensions), wire::conversation(extensions))),
        sizes in wire::reads(),
    ) {
        let limits = Limits::default().with_extensions(extensions);
        let bytes = wire::by_hand(&frames, sender);
        prop_assert!(bytes == wire::by_tungstenite(&frames, sender));

        let (events, scanner) = events_of(sender, &limits, &wire::cut(&bytes, &sizes));
        let scanner = scanner.unwrap();
        let headers = events.iter().filter_map(|(_, event)| match event {
            Event::Header(header) => Some((header.opcode, header.fin, header.rsv1, header.mask, header.payload_len)),
            Event::FrameEnd { .. } => None,
        });
        let expected = frames.iter().map(|frame| {
            let mask = (sender == Sender::Client).then_some(frame.key);
            (frame.opcode, frame.fin, frame.rsv1, mask, frame.payload.len() as u64)
        });
        prop_assert!(headers.eq(expected));
        prop_assert_eq!(&events, &reference::read(sender, &limits, &bytes).events);
        let messages = frames.iter().filter(|frame| frame.fin && !frame.opcode.is_control()).count();
        prop_assert_eq!(scanner.messages(), messages as u64);
        prop_assert!(scanner.at_message_boundary());

        let mut whole = Scanner::new(sender);
        whole.scan(&limits, &bytes).unwrap();
        prop_assert_eq!(whole, scanner);
    }

    #[test]
    fn every_method_agrees_with_the_reference_on_a_conversation(
        sender in wire::sender(),
        frames in wire::conversation(Reserved::Deflate),
        calls in calls(),
        keep in 0.0f64..=1.0,
    ) {
        let limits = Limits::default().with_extensions(Reserved::Deflate);
        let bytes = wire::by_hand(&frames, sender);
        let kept = (bytes.len() as f64 * keep) as usize;
        check_calls(sender, &limits, &bytes, &calls);
        check_calls(sender, &limits, &bytes[..kept], &calls);
    }

    #[test]
    fn every_method_agrees_with_the_reference_under_tight_limits(
        sender in wire::sender(),
        frames in wire::conversation(Reserved::Deflate),
        calls in calls(),
        message_bytes_max in 0u64..200,
        fragments_max in 0u32..4,
    ) {
        let limits = Limits { message_bytes_max, fragments_max, extensions: Reserved::Deflate };
        check_calls(sender, &limits, &wire::by_hand(&frames, sender), &calls);
    }
}
