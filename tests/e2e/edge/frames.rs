//! Frames: what breaks RFC 6455 ends the session by the code owed and nothing of it is passed on; what is the endpoints'
//! to judge is passed on as it came.

use handover_tests::{RawClient, Route};

use super::Stage;

/// Text "ok", masked with zeros: what stands before an offence and is passed on.
const BEFORE: &[u8] = &[0x81, 0x82, 0, 0, 0, 0, b'o', b'k'];
/// Text "ok" of a server.
const BEFORE_OF_SERVER: &[u8] = &[0x81, 2, b'o', b'k'];

/// Returns the code of the Close that ends what a client heard.
pub(super) async fn close_code(what: &str, client: &mut RawClient) -> u16 {
    let heard = client.rest().await;
    match heard[..] {
        [0x88, length, high, low, ..] if usize::from(length) + 2 == heard.len() => u16::from_be_bytes([high, low]),
        _ => panic!("{what}: no Close and nothing else: {heard:?}"),
    }
}

pub(super) fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = 0x80 | u8::try_from(payload.len()).expect("short");
    [&[first, length, 0, 0, 0, 0], payload].concat()
}

#[tokio::test]
async fn a_client_that_breaks_the_protocol_is_told_which_rule_and_the_origin_sees_none_of_it() {
    let stage = Stage::start().await;
    let check = async |what: &str, bytes: &[u8], code: u16| {
        let mut client = stage.session().await;
        client.say([BEFORE, bytes].concat()).await;
        assert_eq!(close_code(what, &mut client).await, code, "{what}");
        let passed = stage.origin.behind_head(BEFORE.len()).await;
        let behind = passed.strip_prefix(BEFORE).expect("what stood before is passed on");
        // The origin may be told as well; frames of the gateway's own are Closes.
        assert!(behind.is_empty() || behind[0] == 0x88, "{what}: {behind:?}");
        stage.origin.take_heard();
    };
    check("unmasked", BEFORE_OF_SERVER, 1002).await;
    check("RSV1 without deflate", &masked(0xC1, b"x"), 1002).await;
    check("RSV2", &masked(0xA1, b"x"), 1002).await;
    check("RSV3", &masked(0x91, b"x"), 1002).await;
    for opcode in [3, 7, 11, 15] {
        check("a reserved opcode", &masked(0x80 | opcode, b"x"), 1002).await;
    }
    check("a Ping of 126 bytes", &[0x89, 0xFE, 0, 126, 0, 0, 0, 0], 1002).await;
    check("a fragmented Ping", &masked(0x09, b"x"), 1002).await;
    check("a fragmented Close", &masked(0x08, &[3, 232]), 1002).await;
    check("a continuation of nothing", &masked(0x80, b"x"), 1002).await;
    check(
        "a length with its top bit",
        &[&[0x82, 0xFF, 0x80], &[0; 11][..]].concat(),
        1002,
    )
    .await;
    check("a length in 16 bits for nothing", &[0x82, 0xFE, 0, 5, 0, 0, 0, 0], 1002).await;
    check("one EiB", &[&[0x82, 0xFF, 0x10], &[0; 11][..]].concat(), 1009).await;
}

#[tokio::test]
async fn a_message_is_bounded_in_bytes_and_in_fragments_over_all_its_frames() {
    let route = Route::whiteboard().with("message_bytes_max", "\"64KiB\"");
    let stage = Stage::with(&route, "").await;
    let check = async |what: &str, first: Vec<u8>, next: Vec<u8>, count: usize, code: u16| {
        let mut client = stage.session().await;
        let mut flood = first;
        flood.extend(next.repeat(count));
        client.say(flood).await;
        assert_eq!(close_code(what, &mut client).await, code, "{what}");
        stage.origin.take_heard();
    };
    check(
        "a message inside another",
        masked(0x01, b"x"),
        masked(0x81, b"y"),
        1,
        1002,
    )
    .await;
    check(
        "too many bytes",
        masked(0x02, &[7; 100]),
        masked(0x00, &[7; 125]),
        600,
        1009,
    )
    .await;
    check(
        "too many fragments",
        masked(0x01, b""),
        masked(0x00, b""),
        1_000_000,
        1008,
    )
    .await;
    assert_eq!(stage.limit_hits("message_bytes_max").await, 1.0);
    assert_eq!(stage.limit_hits("message_fragments_max").await, 1.0);

    let stage = Stage::with(&route, "\n[limits]\nmessage_fragments_max = 2\n").await;
    let mut client = stage.session().await;
    let two = [masked(0x01, b"a"), masked(0x80, b"b")].concat();
    client
        .say(
            [
                &two[..],
                &two,
                &masked(0x01, b"a"),
                &masked(0x00, b""),
                &masked(0x80, b""),
            ]
            .concat(),
        )
        .await;
    assert_eq!(close_code("three frames", &mut client).await, 1008);
}

#[tokio::test]
async fn a_server_that_breaks_the_protocol_is_no_fault_of_the_clients() {
    let stage = Stage::start().await;
    let check = async |what: &str, bytes: &[u8], code: u16| {
        stage
            .origin
            .will_answer([super::ScriptedOrigin::SWITCHING.as_bytes(), BEFORE_OF_SERVER, bytes].concat());
        let mut client = stage.session().await;
        assert_eq!(client.hear(BEFORE_OF_SERVER.len()).await, BEFORE_OF_SERVER, "{what}");
        assert_eq!(close_code(what, &mut client).await, 1011, "{what}");
        // A masked Close with a code and nothing more.
        let told = stage.origin.behind_head(8).await;
        let &[0x88, 0x82, one, two, _, _, high, low] = &told[..] else {
            panic!("{what}: {told:?}");
        };
        assert_eq!(u16::from_be_bytes([high ^ one, low ^ two]), code, "{what}");
        stage.origin.take_heard();
    };
    check("masked", BEFORE, 1002).await;
    check("a reserved bit", &[0xA1, 1, b'x'], 1002).await;
    check("a reserved opcode", &[0x83, 1, b'x'], 1002).await;
    check("one EiB", &[0x82, 127, 0x10, 0, 0, 0, 0, 0, 0, 0], 1009).await;
}

#[tokio::test]
async fn what_is_the_endpoints_to_judge_is_passed_on_as_it_came() {
    let stage = Stage::start().await;
    let check = async |what: &str, bytes: Vec<u8>| {
        let mut client = stage.session().await;
        client.say(&bytes).await;
        assert_eq!(stage.origin.behind_head(bytes.len()).await, bytes, "{what}");
        stage.origin.take_heard();
    };
    check("text that is no UTF-8", masked(0x81, &[0xFF, 0xC0])).await;
    check(
        "what looks like HTTP",
        masked(0x81, b"GET /boards/c/ws HTTP/1.1\r\nHost: h\r\n\r\n"),
    )
    .await;
    check("a bare LF, # and NUL", masked(0x82, b"\n#\0\r\n\r\n")).await;
    check("an empty message", masked(0x82, b"")).await;
    check("a Close without a code", masked(0x88, b"")).await;
    check("a Close of one byte", masked(0x88, &[3])).await;
    check("a Close that no one may send", masked(0x88, &1005_u16.to_be_bytes())).await;
    check("a Close of an unknown code", masked(0x88, &999_u16.to_be_bytes())).await;
    let control_between = [masked(0x01, b"a"), masked(0x89, b"ping"), masked(0x80, b"b")].concat();
    check("a Ping between fragments", control_between).await;
}

#[tokio::test]
async fn what_is_the_clients_to_judge_of_a_server_is_passed_on_as_it_came() {
    let stage = Stage::start().await;
    let check = async |what: &str, bytes: &[u8]| {
        let switching = super::ScriptedOrigin::SWITCHING.as_bytes();
        stage.origin.will_answer([switching, bytes].concat());
        let mut client = stage.session().await;
        assert_eq!(client.hear(bytes.len()).await, bytes, "{what}");
        stage.origin.take_heard();
    };
    check("text that is no UTF-8", &[0x81, 2, 0xFF, 0xC0]).await;
    check("what looks like HTTP", b"\x81\x13HTTP/1.1 200 OK\r\n\r\n").await;
    check("an empty message", &[0x82, 0]).await;
    check("a Close without a code", &[0x88, 0]).await;
    check("a Close of one byte", &[0x88, 1, 3]).await;
    check("a Close that no one may send", &[0x88, 2, 3, 237]).await;
    check("a Close of an unknown code", &[0x88, 2, 3, 231]).await;
    check("a Pong that nobody asked for", &[0x8A, 1, b'x']).await;
    check("a Ping between fragments", &[0x01, 1, b'a', 0x89, 0, 0x80, 1, b'b']).await;
}

#[tokio::test]
async fn what_is_compressed_is_passed_on_as_it_came_and_only_where_that_was_agreed() {
    let stage = Stage::start().await;
    const DEFLATE: &str = "Sec-WebSocket-Extensions: permessage-deflate";
    let switching = super::ScriptedOrigin::SWITCHING.replacen("\r\n\r\n", &format!("\r\n{DEFLATE}\r\n\r\n"), 1);
    stage.origin.will_answer(&switching);
    let session = async || {
        let mut client = stage.client().await;
        client.say(super::handshake_and(DEFLATE)).await;
        let head = client.head().await;
        assert_eq!(super::only_status(&head), Some(101), "{head}");
        client
    };
    // The second is no sound DEFLATE at all: nobody but the server looks into either.
    for message in [masked(0xC1, &[0xCA, 0xCF, 0x06, 0x00]), masked(0xC2, &[0xFF; 100])] {
        let mut client = session().await;
        client.say(&message).await;
        assert_eq!(stage.origin.behind_head(message.len()).await, message);
        stage.origin.take_heard();
    }
    for (what, bytes) in [
        ("a compressed Ping", masked(0xC9, b"x")),
        (
            "a bit on a continuation",
            [masked(0x41, b"x"), masked(0xC0, b"y")].concat(),
        ),
    ] {
        let mut client = session().await;
        client.say(bytes).await;
        assert_eq!(close_code(what, &mut client).await, 1002, "{what}");
        stage.origin.take_heard();
    }
}
