//! The probe against servers that speak when they like.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpListener;
use tokio::time::interval;
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::report::{Mode, ProbeReport};
use super::station::{Address, Station};
use super::trial::Trial;
use crate::config::ServerTlsConfig;
use crate::shell::Data;
use crate::tls::SystemRoots;

/// What a server does with everybody who comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// Greets, and answers each message.
    Answers,
    /// The same, and says something all the time.
    Ticks,
    /// Ends the session at once.
    Closes,
}

async fn server(manner: Manner) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                // Whoever goes ends it.
                let _ = serve(manner, accept_async(stream).await.unwrap()).await;
            });
        }
    });
    address
}

async fn serve(
    manner: Manner,
    mut socket: tokio_tungstenite::WebSocketStream<tokio::net::TcpStream>,
) -> Result<(), tokio_tungstenite::tungstenite::Error> {
    if manner == Manner::Closes {
        let frame = CloseFrame {
            code: CloseCode::Policy,
            reason: "who are you".into(),
        };
        socket.close(Some(frame)).await?;
        while let Some(Ok(_)) = socket.next().await {}
        return Ok(());
    }
    socket.send(Message::text("hello")).await?;
    let mut tick = interval(Duration::from_millis(20));
    loop {
        tokio::select! {
            said = socket.next() => match said {
                Some(Ok(Message::Text(_))) => socket.send(Message::text("answer")).await?,
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Ok(()),
            },
            _ = tick.tick(), if manner == Manner::Ticks => socket.send(Message::text("tick")).await?,
        }
    }
}

async fn probe(manner: Manner) -> ProbeReport {
    let mut stations = Vec::new();
    for number in 0..2 {
        let address = server(manner).await;
        stations.push(
            Station::new(
                number,
                &Address {
                    url: &format!("http://{address}").parse().unwrap(),
                    control: None,
                    token_file: None,
                    tls: &ServerTlsConfig::default(),
                },
                &SystemRoots::default(),
            )
            .unwrap(),
        );
    }
    let trial = Trial {
        url: &"ws://app.example/{board}".parse().unwrap(),
        headers: &[],
        subprotocols: &[],
        script: &["ask".to_owned()],
        wait: Duration::from_millis(400),
    };
    trial.run(&stations).await
}

#[tokio::test]
async fn the_greeting_of_a_server_that_only_answers_is_found() {
    let report = probe(Manner::Answers).await;
    assert!(report.holds(Mode::Transparent), "{report:?}");
    assert!(
        report.text().contains("greeting = { messages = 1 }"),
        "{}",
        report.text()
    );
}

#[tokio::test]
async fn of_a_server_that_speaks_unasked_no_greeting_is_recommended() {
    let report = probe(Manner::Ticks).await;
    let text = report.text();
    assert!(
        !report.holds(Mode::Transparent) && report.holds(Mode::Reconnect),
        "{text}"
    );
    assert!(
        text.contains("speaks unasked") && text.contains("\nmode = \"reconnect\""),
        "{text}"
    );
    assert!(text.lines().all(|line| line.matches("tick").count() <= 2), "{text}");
    assert!(!text.lines().any(|line| line.starts_with("greeting")), "{text}");
}

#[tokio::test]
async fn a_server_that_ends_sessions_at_once_is_told_with_its_code_and_reason() {
    let report = probe(Manner::Closes).await;
    let text = report.text();
    assert!(text.contains("close code 1008 (\"who are you\")"), "{text}");
    assert!(!report.holds(Mode::Reconnect) && !report.is_complete(), "{text}");
}
