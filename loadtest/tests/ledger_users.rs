//! Virtual users against a server that follows a script, over real sockets: what they do when they are told to go.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use handover_loadtest::user::{Clock, Crowd, Endpoint, Plan, Reader, Record, Resend, SocketEnd};
use handover_loadtest::wire::{ClientMessage, Saved, ServerMessage, Welcome};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

/// The server's end of one connection.
struct Peer(WebSocketStream<TcpStream>);

impl Peer {
    /// Accepts the next connection and hears its hello.
    async fn accept(listener: &TcpListener) -> Self {
        let (socket, _) = listener.accept().await.unwrap();
        let mut peer = Self(tokio_tungstenite::accept_async(socket).await.unwrap());
        assert!(matches!(peer.next().await, Some(ClientMessage::Hello(_))));
        peer
    }

    async fn next(&mut self) -> Option<ClientMessage> {
        match self.0.next().await?.ok()? {
            Message::Text(text) => Some(serde_json::from_str(&text).unwrap()),
            Message::Close(_) => None,
            other @ (Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => {
                panic!("users send only text: {other:?}")
            }
        }
    }

    /// Returns the number of the next change; `None` once the user has closed.
    async fn next_seq(&mut self) -> Option<u64> {
        match self.next().await? {
            ClientMessage::Draw(draw) => Some(draw.seq),
            ClientMessage::Hello(hello) => panic!("hello again: {hello:?}"),
        }
    }

    async fn say(&mut self, message: &ServerMessage) {
        let text = serde_json::to_string(message).unwrap();
        self.0.send(Message::text(text)).await.unwrap();
    }

    async fn welcome(&mut self) {
        let welcome = Welcome {
            board: "board".into(),
            revision: 0,
            users: 1,
            changes: Some(Vec::new()),
            server: "script".into(),
            release: "r1".into(),
            resumed: false,
        };
        self.say(&ServerMessage::Welcome(welcome)).await;
    }

    async fn save(&mut self, seq: u64) {
        self.say(&ServerMessage::Saved(Saved { seq, revision: seq })).await;
    }

    /// Acknowledges everything until the user goes, and returns the numbers.
    async fn save_all(&mut self) -> Vec<u64> {
        let mut seqs = Vec::new();
        while let Some(seq) = self.next_seq().await {
            seqs.push(seq);
            self.save(seq).await;
        }
        seqs
    }

    async fn close(&mut self, code: u16) {
        let frame = CloseFrame {
            code: CloseCode::from(code),
            reason: "".into(),
        };
        self.0.send(Message::Close(Some(frame))).await.unwrap();
    }
}

/// Lets one user draw for a while, and returns what it remembers.
async fn one_user(listener: &TcpListener, resend: Resend) -> Record {
    let plan = Plan {
        endpoint: Endpoint::plain(&listener.local_addr().unwrap().to_string()),
        board: "board".parse().unwrap(),
        number: 1,
        interval: Duration::from_millis(10),
        resend,
        pad_bytes: 0,
        prefix: "u".to_owned(),
        reader: Reader::Prompt,
    };
    let crowd = Crowd::gather(vec![plan], Clock::start(), Duration::from_secs(10))
        .await
        .unwrap();
    crowd.draw();
    sleep(Duration::from_millis(700)).await;
    crowd.settle(Duration::from_secs(1)).await;
    crowd.leave().await.pop().unwrap()
}

async fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

#[tokio::test]
async fn after_a_close_only_what_was_not_acknowledged_is_sent_again() {
    let listener = listen().await;
    let script = async {
        let mut old = Peer::accept(&listener).await;
        old.welcome().await;
        for seq in 1..=4 {
            assert_eq!(old.next_seq().await, Some(seq));
            if seq <= 2 {
                old.save(seq).await;
            }
        }
        old.close(1012).await;
        let mut new = Peer::accept(&listener).await;
        new.welcome().await;
        new.save_all().await
    };
    let (record, on_the_new) = tokio::join!(one_user(&listener, Resend::Unacknowledged), script);
    let until = record.changes.len() as u64;
    assert_eq!(on_the_new, (3..=until).collect::<Vec<_>>());
    assert_eq!(
        record
            .resent
            .keys()
            .copied()
            .filter(|&seq| seq <= 4)
            .collect::<Vec<_>>(),
        [3, 4]
    );
    assert_eq!(record.sockets[0].end, Some(SocketEnd::Closed(1012)));
    assert!(record.is_served);
    assert!(record.changes.iter().all(|change| change.acked().is_some()));
}

#[tokio::test]
async fn a_user_that_never_sends_again_goes_on_behind_what_was_lost() {
    let listener = listen().await;
    let script = async {
        let mut old = Peer::accept(&listener).await;
        old.welcome().await;
        assert_eq!(old.next_seq().await, Some(1));
        drop(old);
        let mut new = Peer::accept(&listener).await;
        new.welcome().await;
        new.save_all().await
    };
    let (record, on_the_new) = tokio::join!(one_user(&listener, Resend::Never), script);
    assert!(!on_the_new.contains(&1));
    assert!(on_the_new.is_sorted());
    assert_eq!(record.resent, BTreeMap::new());
    assert_eq!(record.changes[0].acked(), None);
}

#[tokio::test]
async fn told_by_a_message_a_user_closes_and_still_takes_the_last_answers() {
    let listener = listen().await;
    let script = async {
        let mut old = Peer::accept(&listener).await;
        old.welcome().await;
        assert_eq!(old.next_seq().await, Some(1));
        old.0.send(Message::text(r#"{"type":"reconnect"}"#)).await.unwrap();
        old.save(1).await;
        let mut more = 1;
        while let Some(seq) = old.next_seq().await {
            old.save(seq).await;
            more = seq;
        }
        // The library has its answer to the Close ready, and sends it with the next flush.
        let _ = old.0.flush().await;
        drop(old);
        let mut new = Peer::accept(&listener).await;
        new.welcome().await;
        (more, new.save_all().await)
    };
    let (record, (last_on_the_old, on_the_new)) = tokio::join!(one_user(&listener, Resend::Unacknowledged), script);
    assert_eq!(on_the_new.first(), Some(&(last_on_the_old + 1)));
    assert_eq!(record.resent, BTreeMap::new());
    assert_eq!(record.sockets[0].end, Some(SocketEnd::Commanded));
}

#[tokio::test]
async fn changes_that_come_due_while_nobody_listens_are_late_from_when_they_were_due() {
    let listener = listen().await;
    let script = async {
        let mut old = Peer::accept(&listener).await;
        old.welcome().await;
        assert_eq!(old.next_seq().await, Some(1));
        old.save(1).await;
        old.close(1012).await;
        let mut new = Peer::accept(&listener).await;
        sleep(Duration::from_millis(300)).await;
        new.welcome().await;
        new.save_all().await
    };
    let (record, on_the_new) = tokio::join!(one_user(&listener, Resend::Unacknowledged), script);
    assert!(on_the_new.is_sorted());
    let slowest = record
        .changes
        .iter()
        .filter_map(|change| change.latency())
        .max()
        .unwrap();
    assert!(slowest >= 280_000, "the slowest took {slowest} us");
    let due_meanwhile = record
        .changes
        .iter()
        .filter(|change| change.latency().is_some_and(|late| late > 20_000))
        .count();
    assert!(due_meanwhile > 15, "{due_meanwhile} changes came due in 300 ms");
}
