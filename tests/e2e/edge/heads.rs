//! Heads that two readers could understand in two ways, and heads that are too large: neither reaches an origin.

use super::{Stage, counted, only_status};

const HEAD: &str = "POST /boards/b/ws HTTP/1.1\r\nHost: h\r\n";

#[tokio::test]
async fn a_request_that_two_readers_could_take_differently_reaches_no_origin() {
    let stage = Stage::start().await;
    let check = async |what: &str, request: String, status: u16| {
        let answer = stage.ask(request.as_bytes()).await;
        assert_eq!(only_status(&answer), Some(status), "{what}: {answer}");
        let lower = answer.to_lowercase();
        assert!(lower.contains("connection: close\r\n"), "{what}: {answer}");
        assert_eq!(stage.origin.take_heard(), [[0; 0]; 0], "{what}");
    };
    let with = |lines: &str| format!("{HEAD}{lines}\r\n\r\n");
    const CHUNKED: &str = "Transfer-Encoding: chunked";
    check(
        "a length and a coding",
        with(&format!("Content-Length: 5\r\n{CHUNKED}")),
        400,
    )
    .await;
    check(
        "a coding and a length",
        with(&format!("{CHUNKED}\r\nContent-Length: 5")),
        400,
    )
    .await;
    check("two lengths", with("Content-Length: 5\r\nContent-Length: 6"), 400).await;
    check("one length twice", with("Content-Length: 5\r\nContent-Length: 5"), 400).await;
    check("a list of lengths", with("Content-Length: 5, 5"), 400).await;
    check("no length", with("Content-Length: "), 400).await;
    check("a signed length", with("Content-Length: +5"), 400).await;
    check("an odd coding", with("Transfer-Encoding: xchunked"), 400).await;
    check("a second coding", with("Transfer-Encoding: gzip, chunked"), 400).await;
    check("two codings", with(&format!("{CHUNKED}\r\n{CHUNKED}")), 400).await;
    check("a coding on HTTP/1.0", with(CHUNKED).replace("1.1", "1.0"), 400).await;
    check("no name", with(": x"), 400).await;
    check("a blank before the colon", with("X-A : x"), 400).await;
    check("NUL in a value", with("X-A: a\0b"), 400).await;
    check("NUL in a name", with("X\0A: b"), 400).await;
    check("a folded line", with("X-A: a\r\n b"), 400).await;
    check("a bare LF behind a line", with("X-A: a\nX-B: b"), 400).await;
    check(
        "a bare LF behind the target",
        with("X-A: a").replacen("\r\n", "\n", 1),
        400,
    )
    .await;
    check("a bare CR", with("X-A: a\rX-B: b"), 400).await;
    check("two hosts", with("Host: other"), 400).await;
    check("no host", with("X-A: a").replace("Host: h\r\n", ""), 400).await;
    check(
        "a host with a user",
        with("X-A: a").replace("Host: h", "Host: u@h"),
        400,
    )
    .await;
    let target = |target: &str| with("X-A: a").replace("/boards/b/ws", target);
    check("another host in the target", target("http://other/boards/b/ws"), 400).await;
    check("a fragment", target("/boards/b/ws#x"), 400).await;
    check("a control byte", target("/boards/b\u{1}/ws"), 400).await;
    check("a tab", target("/boards/b\t/ws"), 400).await;
    check(
        "CONNECT",
        with("X-A: a").replace("POST /boards/b/ws", "CONNECT h:80"),
        405,
    )
    .await;
    check("TRACE", with("X-A: a").replace("POST", "TRACE"), 405).await;
}

#[tokio::test]
async fn a_board_is_named_once_and_strictly() {
    let stage = Stage::start().await;
    stage.origin.will_answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let check = async |target: &str, expected: Result<&str, u16>| {
        let request = format!("GET {target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        let answer = stage.ask(request.as_bytes()).await;
        let heard = stage.origin.take_heard();
        match expected {
            Ok(board) => {
                assert_eq!(only_status(&answer), Some(200), "{target}: {answer}");
                let head = String::from_utf8_lossy(&heard[0]).into_owned();
                assert_eq!(super::values(&head, "handover-board"), [board], "{target}: {head}");
                assert!(
                    head.starts_with(&format!("GET {target} HTTP/1.1\r\n")),
                    "{target}: {head}"
                );
            }
            Err(status) => {
                assert_eq!(only_status(&answer), Some(status), "{target}: {answer}");
                assert_eq!(heard, [[0; 0]; 0], "{target}");
            }
        }
    };
    check("/boards/b/ws?x=%00", Ok("b")).await;
    check("/boards/%62/ws", Ok("b")).await;
    check("/boards/%2562/ws", Ok("%2562")).await;
    check("/boards/%00/ws", Err(400)).await;
    check("/boards/%0a/ws", Err(400)).await;
    check("/boards/%ff/ws", Err(400)).await;
    check("/boards/%/ws", Err(400)).await;
    check("/boards//ws", Err(400)).await;
    check("/boards/../ws", Err(400)).await;
    check("/boards/%2e%2e/ws", Err(400)).await;
    check("/boards/..%2fadmin/ws", Err(400)).await;
    check("/boards/b%2fws", Err(404)).await;
    check("/boards/b;x=1/ws", Err(400)).await;
    check("/boards/b/../c/ws", Err(404)).await;
    check("/boards/b/ws/", Err(404)).await;
}

#[tokio::test]
async fn a_head_that_is_too_large_is_told_so_and_counted() {
    let stage = Stage::start().await;
    let check = async |request: String, status: u16, limit: &str| {
        let before = stage.limit_hits(limit).await;
        let answer = stage.ask(request.as_bytes()).await;
        assert_eq!(only_status(&answer), Some(status), "{limit}: {answer}");
        assert_eq!(stage.origin.take_heard(), [[0; 0]; 0], "{limit}");
        counted(&stage, limit, before + 1.0).await;
    };
    check(
        format!("{HEAD}X-A: {}\r\n\r\n", "a".repeat(16 * 1024)),
        431,
        "head_bytes_max",
    )
    .await;
    check(
        format!("{HEAD}{}\r\n", "X-A: a\r\n".repeat(200)),
        431,
        "header_count_max",
    )
    .await;
    let target = format!("/boards/b/ws?{}", "a".repeat(8 * 1024));
    check(
        format!("{HEAD}\r\n").replace("/boards/b/ws", &target),
        414,
        "target_bytes_max",
    )
    .await;
}
