//! Somebody's server that says a lot behind its end, all of it before its `close_notify`.

use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use handover_protocol::admin::{DrainMode, MoveRequest};
use handover_tests::{Authority, Gateway, Heard, Issued, Route, User};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::tungstenite::Message;

use super::SOON;

/// Starts a server that welcomes users, and when it is told to go away says `words` messages before its own Close.
async fn talkative(shown: &Issued, words: usize) -> std::net::SocketAddr {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring speaks them")
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_file(&shown.certificate).expect("it was just written")],
            PrivateKeyDer::from_pem_file(&shown.key).expect("it was just written"),
        )
        .expect("they are a pair");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a port");
    let address = listener.local_addr().expect("it listens");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // Whoever only knocks, or leaves, is nobody to talk to.
                let _ = talk(acceptor, stream, words).await;
            });
        }
    });
    address
}

async fn talk(acceptor: TlsAcceptor, stream: TcpStream, words: usize) -> Option<()> {
    let stream = acceptor.accept(stream).await.ok()?;
    let mut socket = tokio_tungstenite::accept_async(stream).await.ok()?;
    loop {
        match socket.next().await?.ok()? {
            Message::Text(_) => socket.send(Message::text("welcome")).await.ok()?,
            Message::Close(_) => break,
            Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
    }
    // tungstenite says nothing behind a Close; RFC 6455 section 5.5.1 lets a server end what it was saying first.
    let stream = socket.get_mut();
    for word in 0..words {
        let text = format!("{word:05}").repeat(1000);
        let length = u16::try_from(text.len()).expect("it is short").to_be_bytes();
        stream.write_all(&[0x81, 126, length[0], length[1]]).await.ok()?;
        stream.write_all(text.as_bytes()).await.ok()?;
    }
    stream.write_all(&[0x88, 2, 0x03, 0xe8]).await.ok()?;
    // The close_notify, and the end of the stream right behind it.
    stream.shutdown().await.ok()?;
    let _ = stream.read_to_end(&mut Vec::new()).await;
    Some(())
}

#[tokio::test]
async fn all_that_an_opaque_server_says_before_its_close_notify_reaches_the_client() {
    const WORDS: usize = 300;
    let authority = Authority::new("ours");
    let shown = authority.issue("127.0.0.1");
    let (source, target) = tokio::join!(talkative(&shown, WORDS), talkative(&shown, 0));
    let table = |name: &str, release: &str, address: std::net::SocketAddr| {
        format!(
            "[[servers]]\nname = \"{name}\"\nrelease = \"{release}\"\nurl = \"https://{address}\"\nca_file = {:?}\n",
            authority.file()
        )
    };
    let gateway = Gateway::builder("r1")
        .route(
            &Route::whiteboard()
                .with("mode", "\"reconnect\"")
                .with("quiet", "\"50ms\"")
                .with("settle", "\"50ms\""),
        )
        .toml(&(table("board-1", "r1", source) + &table("board-2", "r2", target)))
        .start()
        .await;
    gateway.all_ready().await;
    let mut ann = User::connect(gateway.traffic(), "b", "ann")
        .await
        .expect("she is let in");
    ann.send(Message::text("hello")).await;
    assert!(matches!(ann.hear(SOON).await, Heard::Text(_)), "she is welcomed");
    let request = MoveRequest {
        to: "board-2".parse().expect("a good name"),
        mode: DrainMode::Reconnect,
    };
    let moving = gateway.admin().move_board("b", &request);
    let hearing = async {
        let mut heard = 0;
        while heard < WORDS {
            let said = ann.hear(SOON).await;
            let text = format!("{said:?}");
            assert!(
                text.contains(&format!("{heard:05}{heard:05}")),
                "{heard} comes next, and not {}",
                &text[..60.min(text.len())]
            );
            heard += 1;
        }
        ann.closed(SOON).await
    };
    let (moved, code) = tokio::join!(moving, hearing);
    let moved = moved.expect("the gateway answers");
    assert!(moved.is_moved(), "{moved:?}");
    assert_eq!(code, Some(1012), "she is told to come back behind all of it");
}
