//! Tokens, their scopes, and the socket in the file system.

use std::os::unix::fs::PermissionsExt;

use tokio::net::UnixStream;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::config::AdminConfig;
use crate::config::{AdminAddress, AdminToken, Scope};
use crate::drain::memory_fleet::Handle;

/// Three tokens, one a scope.
fn tokens(metrics_open: bool) -> AdminConfig {
    AdminConfig {
        tokens: vec![
            AdminToken::new("grafana", Scope::Read, "read-token-0123456789"),
            AdminToken::new("pipeline", Scope::Operate, "operate-token-0123456789"),
            AdminToken::new("ann", Scope::Admin, "admin-token-0123456789"),
        ],
        metrics_open,
        ..AdminConfig::default()
    }
}

#[tokio::test]
async fn tokens_are_needed_on_loopback_too_and_reach_as_far_as_their_scope() {
    let gateway = Gateway::start(1).await;
    assert_eq!(gateway.get("/v1/servers").await.status, 200, "there are no tokens yet");
    gateway.access.configure(&tokens(false));
    for path in ["/livez", "/healthz"] {
        assert_eq!(gateway.get(path).await.status, 200, "{path}");
    }
    assert_ne!(gateway.get("/readyz").await.status, 401);
    for path in ["/v1/servers", "/metrics", "/nowhere"] {
        let answer = gateway.get(path).await;
        answer.refusal(ProblemType::Unauthorized, None);
        assert_eq!(answer.header("www-authenticate"), Some("bearer realm=\"handover\""));
    }
    let call = async |method: &str, path: &str, token: &str| {
        let token = format!("Bearer {token}");
        let headers = [("Authorization", token.as_str()), ("Content-Type", "application/json")];
        gateway.call(method, path, &headers, "{}").await
    };
    let wrong = call("GET", "/v1/servers", "read-token-012345678").await;
    wrong.refusal(ProblemType::Unauthorized, None);
    assert!(
        wrong
            .header("www-authenticate")
            .unwrap()
            .ends_with("error=\"invalid_token\"")
    );
    for token in [
        "read-token-0123456789",
        "operate-token-0123456789",
        "admin-token-0123456789",
    ] {
        assert_eq!(call("GET", "/v1/servers", token).await.status, 200);
        assert_eq!(call("GET", "/metrics", token).await.status, 200);
    }
    let refused = call("POST", "/v1/drains", "read-token-0123456789").await;
    let problem = refused.refusal(ProblemType::InsufficientScope, None);
    assert!(
        problem
            .detail
            .contains("\"grafana\" has the scope read, and this needs operate"),
        "{problem:?}"
    );
    assert!(
        refused
            .header("www-authenticate")
            .unwrap()
            .ends_with("scope=\"operate\"")
    );
    for token in ["operate-token-0123456789", "admin-token-0123456789"] {
        call("POST", "/v1/drains", token)
            .await
            .refusal(ProblemType::InvalidField, Some("from"));
    }
    call("POST", "/v1/config/reload", "operate-token-0123456789")
        .await
        .refusal(ProblemType::InsufficientScope, None);
    call("POST", "/v1/config/reload", "admin-token-0123456789")
        .await
        .refusal(ProblemType::ShuttingDown, None);
}

#[tokio::test]
async fn with_tokens_other_host_names_are_fine_and_other_origins_are_not() {
    let gateway = Gateway::start(1).await;
    gateway.access.configure(&tokens(true));
    let token = ("Authorization", "Bearer read-token-0123456789");
    let named = gateway
        .call("GET", "/v1/servers", &[("Host", "gateway.example:8081"), token], "")
        .await;
    assert_eq!(named.status, 200);
    let foreign = [
        ("Host", "gateway.example:8081"),
        ("Origin", "http://evil.example"),
        token,
    ];
    gateway
        .call("GET", "/v1/servers", &foreign, "")
        .await
        .refusal(ProblemType::ForbiddenOrigin, None);
    assert_eq!(gateway.get("/metrics").await.status, 200, "metrics_open");
}

#[tokio::test]
async fn the_socket_in_the_file_system_is_its_owners_and_a_stale_one_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin.sock");
    let address = AdminAddress::Unix(path.clone());
    // Somebody has died and left it.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let listener = AdminListener::bind(&address).await.unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let taken = AdminListener::bind(&address).await.unwrap_err();
    assert!(matches!(taken, AdminBindError::Taken { .. }), "{taken}");

    let gateway = Gateway::start(1).await;
    let admin = Admin {
        drains: Arc::clone(&gateway.life.drains),
        fleet: Arc::new(Handle(Arc::clone(&gateway.fleet))),
        metrics: Arc::clone(&gateway.life.metrics),
        readiness: Arc::clone(&gateway.readiness),
        reload: ReloadDesk::open().0,
        access: Arc::clone(&gateway.access),
        home: tokio::runtime::Handle::current(),
    };
    let (tasks, shutdown) = (gateway.life.tasks.clone(), gateway.life.shutdown.clone());
    let serving = tokio::spawn(serve(listener, admin, tasks, shutdown.clone()));
    let mut stream = UnixStream::connect(&path).await.unwrap();
    let request = b"GET /v1/servers HTTP/1.1\r\nHost: handover\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    shutdown.cancel();
    serving.await.unwrap();
    assert!(!path.exists(), "the socket goes with its listener");

    std::fs::write(&path, "a file").unwrap();
    let other = AdminListener::bind(&address).await.unwrap_err();
    assert!(matches!(other, AdminBindError::NoSocket { .. }), "{other}");
    assert!(path.exists());
}
