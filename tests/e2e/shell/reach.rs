//! How the gateway is reached: sockets, tokens, and nobody there.

use std::sync::{Arc, Mutex};

use handover_tests::{Route, Shell};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpStream, UnixListener};

use super::stage;

#[tokio::test]
async fn a_gateway_that_is_not_there_has_an_exit_code_of_its_own() {
    let shell = Shell::new("http://127.0.0.1:1");
    for args in [
        &["servers"][..],
        &["boards"],
        &["moves"],
        &["top"],
        &["drain", "list"],
        &["drain", "start", "--from", "a", "--to", "b"],
        &["drain", "watch", "d"],
        &["servers", "wait", "a"],
    ] {
        let ran = shell.run(args).await;
        assert_eq!(ran.code, 6, "{args:?}: {ran:?}");
        assert!(ran.stderr.contains("--admin"), "{args:?}: {ran:?}");
        assert_eq!(ran.stdout, "", "{args:?}");
    }
    let secure = Shell::new("https://127.0.0.1:1");
    let nobody = secure.run(&["servers"]).await;
    assert_eq!(nobody.code, 6, "{nobody:?}");
    for (args, told) in [
        (["--ca-file", "/nowhere/ca.pem"], "--ca-file /nowhere/ca.pem"),
        (
            ["--client-key", "/nowhere/ann.key"],
            "--client-key is given without --client-certificate",
        ),
    ] {
        let ran = secure.run(&["servers", args[0], args[1]]).await;
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.stderr.contains(told), "{ran:?}");
    }
    let no_token = shell.run(&["servers", "--token-file", "/nowhere/token"]).await;
    assert_eq!(no_token.code, 2, "{no_token:?}");
}

#[tokio::test]
async fn a_unix_socket_carries_calls_and_their_token() {
    let stage = stage(Route::whiteboard(), std::time::Duration::ZERO).await;
    let directory = tempfile::tempdir().expect("there is room for a directory");
    let (socket, token) = (directory.path().join("admin sock"), directory.path().join("token"));
    std::fs::write(&token, "s3cret\n").expect("the directory was just made");
    let listener = UnixListener::bind(&socket).expect("the directory was just made");
    let admin = stage
        .fleet
        .gateway
        .admin()
        .url()
        .trim_start_matches("http://")
        .to_owned();
    let heads = Arc::new(Mutex::new(String::new()));
    let seen = Arc::clone(&heads);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (admin, seen) = (admin.clone(), Arc::clone(&seen));
            tokio::spawn(async move {
                let mut gateway = TcpStream::connect(admin).await.expect("the gateway listens");
                let (mut from_client, mut to_client) = client.into_split();
                let (mut from_gateway, mut to_gateway) = gateway.split();
                let mut head = vec![0; 4096];
                let length = from_client.read(&mut head).await.expect("the shell asks");
                seen.lock().unwrap().push_str(&String::from_utf8_lossy(&head[..length]));
                to_gateway.write_all(&head[..length]).await.expect("the gateway reads");
                let _ = copy(&mut from_gateway, &mut to_client).await;
            });
        }
    });
    let shell = Shell::new(&format!("unix:{}", socket.display()));
    let env = [("HANDOVER_TOKEN_FILE", token.to_str().expect("a plain path"))];
    let ran = shell.run_with(&["servers"], &env).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains("board-2"), "{ran:?}");
    let head = heads.lock().unwrap().clone();
    assert!(head.contains("authorization: Bearer s3cret\r\n"), "{head}");
}
