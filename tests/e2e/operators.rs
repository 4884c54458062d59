//! Who operates the gateway: the admin API over TLS, client certificates with their scopes, and the shell that shows one.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use handover_tests::{Authority, Gateway, Ran, Route, ScriptedOrigin, Shell, eventually};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).expect("the folder is there");
}

/// A gateway whose admin API speaks TLS and asks who calls.
struct Stage {
    gateway: Gateway,
    files: TempDir,
    _origin: ScriptedOrigin,
}

impl Stage {
    async fn start() -> Self {
        let files = tempfile::tempdir().expect("there is room for a folder");
        let folder = files.path();
        let (authority, other) = (Authority::new("ca"), Authority::new("other"));
        write(folder, "ca.pem", &authority.pem());
        write(folder, "other.pem", &other.pem());
        authority.issue_into(folder, "admin", "gateway", &["127.0.0.1", "gateway.test"]);
        authority.issue_into(folder, "pipeline", "release-pipeline", &["ci.test"]);
        authority.issue_into(folder, "grafana", "somebody", &["grafana.test"]);
        authority.issue_into(folder, "stranger", "stranger", &["stranger.test"]);
        other.issue_into(folder, "forged", "release-pipeline", &["ci.test"]);
        write(folder, "ann.token", "admin-token-0123456789\n");
        let path = |name: &str| format!("\"{}\"", folder.join(name).display());
        let admin = format!(
            "[admin.tls]\ncertificate_file = {}\nkey_file = {}\nclient_ca_file = {}\n\
             [[admin.client_certificates]]\nname = \"release-pipeline\"\nscope = \"operate\"\n\
             [[admin.client_certificates]]\nname = \"grafana.test\"\nscope = \"read\"\n\
             [[admin.tokens]]\nname = \"ann\"\nscope = \"admin\"\ntoken_file = {}\n",
            path("admin.pem"),
            path("admin.key"),
            path("ca.pem"),
            path("ann.token")
        );
        let origin = ScriptedOrigin::start().await;
        let gateway = Gateway::builder("r1")
            .origin("board-1", "r1", origin.address())
            .route(&Route::whiteboard())
            .toml(&admin)
            .launch();
        let stage = Self {
            gateway,
            files,
            _origin: origin,
        };
        // Probes show nothing.
        eventually("the gateway is ready", SOON, || async {
            let ran = stage.run(None, &["health", "--ready"]).await;
            assert!(
                stage.gateway.process().is_running(),
                "{}",
                stage.gateway.process().tail()
            );
            ran.code == 0
        })
        .await;
        stage
    }

    fn file(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    fn url(&self) -> String {
        self.gateway.admin().url().replace("http://", "https://")
    }

    /// Runs a command of the shell, which shows the certificate of this name.
    async fn run(&self, shown: Option<&str>, args: &[&str]) -> Ran {
        let text = |name: &str| self.file(name).display().to_string();
        let mut args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        args.extend(["--ca-file".to_owned(), text("ca.pem")]);
        if let Some(name) = shown {
            args.extend(["--client-certificate".to_owned(), text(&format!("{name}.pem"))]);
            args.extend(["--client-key".to_owned(), text(&format!("{name}.key"))]);
        }
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        Shell::new(&self.url()).run(&args).await
    }

    /// Says a request with the certificate of this name, and returns the answer.
    async fn say(&self, shown: &str, request: &str) -> String {
        let mut roots = RootCertStore::empty();
        let authority = CertificateDer::from_pem_file(self.file("ca.pem")).expect("it was written");
        roots.add(authority).expect("it is an authority");
        let chain = vec![CertificateDer::from_pem_file(self.file(&format!("{shown}.pem"))).expect("it was written")];
        let key = PrivateKeyDer::from_pem_file(self.file(&format!("{shown}.key"))).expect("it was written");
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring speaks them")
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .expect("they are a pair");
        let address = self.url().replace("https://", "");
        let stream = TcpStream::connect(&address).await.expect("the gateway listens");
        let name = ServerName::try_from("gateway.test").expect("it is a name");
        let connected = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
        let mut stream = connected.expect("it is believed");
        stream.write_all(request.as_bytes()).await.expect("the gateway reads");
        let mut answer = Vec::new();
        let reading = tokio::time::timeout(SOON, stream.read_to_end(&mut answer));
        reading.await.expect("it is answered").expect("the answer is whole");
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Waits for so many audit lines, and lists them: who, by what, the path and the status.
    async fn audited(&self, count: usize) -> Vec<(String, String, String, u64)> {
        eventually("the audit is written", SOON, || async {
            self.audit_lines().len() >= count
        })
        .await;
        self.audit_lines()
    }

    fn audit_lines(&self) -> Vec<(String, String, String, u64)> {
        let errors = self.gateway.process().errors();
        let lines = errors
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let text = |line: &Value, key: &str| line[key].as_str().unwrap_or_default().to_owned();
        lines
            .filter(|line| line["target"] == "audit")
            .map(|line| {
                let status = line["status"].as_u64().unwrap_or_default();
                (text(&line, "who"), text(&line, "by"), text(&line, "path"), status)
            })
            .collect()
    }
}

fn check(ran: &Ran, code: i32, told: &str) {
    assert_eq!(ran.code, code, "{ran:?}");
    let said = format!("{}{}", ran.stdout, ran.stderr);
    assert!(said.contains(told), "{told:?} is not said: {ran:?}");
}

#[tokio::test]
async fn the_shell_operates_over_mutual_tls_as_far_as_its_certificate_reaches() {
    let stage = Stage::start().await;
    let servers = stage.run(Some("pipeline"), &["servers"]).await;
    check(&servers, 0, "board-1");
    check(&stage.run(Some("grafana"), &["servers"]).await, 0, "board-1");
    check(&stage.run(None, &["servers"]).await, 5, "--client-certificate");

    let cordon = ["servers", "cordon", "board-1"];
    check(&stage.run(None, &cordon).await, 5, "unauthorized");
    check(
        &stage.run(Some("stranger"), &cordon).await,
        5,
        "\"stranger\" is none of [[admin.client_certificates]]",
    );
    let narrow = stage.run(Some("grafana"), &cordon).await;
    check(
        &narrow,
        5,
        "\"grafana.test\" has the scope read, and this needs operate",
    );
    check(&stage.run(Some("pipeline"), &cordon).await, 0, "");
    let dead = ["servers", "dead", "board-1", "--yes"];
    check(&stage.run(Some("pipeline"), &dead).await, 5, "this needs admin");
    let token = stage.file("ann.token").display().to_string();
    let by_token = ["servers", "uncordon", "board-1", "--token-file", &token];
    check(&stage.run(Some("grafana"), &by_token).await, 0, "");

    let ci = [
        ("HANDOVER_CA_FILE", "ca.pem"),
        ("HANDOVER_CLIENT_CERTIFICATE", "pipeline.pem"),
        ("HANDOVER_CLIENT_KEY", "pipeline.key"),
    ];
    let ci = ci.map(|(name, file)| (name, stage.file(file).display().to_string()));
    let ci: Vec<(&str, &str)> = ci.iter().map(|(name, file)| (*name, file.as_str())).collect();
    check(
        &Shell::new(&stage.url()).run_with(&["servers"], &ci).await,
        0,
        "board-1",
    );

    let (cordon, uncordon) = ("/v1/servers/board-1/cordon", "/v1/servers/board-1/uncordon");
    let expected = [
        ("nobody", "nothing", cordon, 401),
        ("stranger", "unknown_certificate", cordon, 403),
        ("grafana.test", "certificate", cordon, 403),
        ("release-pipeline", "certificate", cordon, 200),
        ("release-pipeline", "certificate", "/v1/servers/board-1/dead", 403),
        ("ann", "token", uncordon, 200),
    ];
    let expected = expected.map(|(who, by, path, status)| (who.to_owned(), by.to_owned(), path.to_owned(), status));
    assert_eq!(stage.audited(expected.len()).await, expected);
}

#[tokio::test]
async fn where_tls_fails_the_shell_says_what_would_help() {
    let stage = Stage::start().await;
    let ca = stage.file("ca.pem").display().to_string();
    let other = stage.file("other.pem").display().to_string();
    let plain = format!("https://{}", stage.gateway.traffic());
    let by_name = stage.url().replace("127.0.0.1", "localhost");
    let asked = async |url: &str, ca: Option<&str>| {
        let mut args = vec!["servers"];
        args.extend(ca.iter().flat_map(|ca| ["--ca-file", ca]));
        Shell::new(url).run(&args).await
    };
    check(&asked(&stage.url(), None).await, 6, "give --ca-file");
    check(&asked(&stage.url(), Some(&other)).await, 6, "give --ca-file");
    check(
        &asked(&by_name, Some(&ca)).await,
        6,
        "ask in --admin under a name that the certificate has",
    );
    check(&asked(&plain, Some(&ca)).await, 6, "write http:// in --admin");
    check(
        &asked(stage.gateway.admin().url(), None).await,
        6,
        "write https:// in --admin",
    );
    check(
        &stage.run(Some("forged"), &["servers"]).await,
        6,
        "admin.tls.client_ca_file",
    );
    let key = stage.file("grafana.key").display().to_string();
    let certificate = stage.file("pipeline.pem").display().to_string();
    let crossed = ["servers", "--client-certificate", &certificate, "--client-key", &key];
    check(
        &Shell::new(&stage.url()).run(&crossed).await,
        2,
        "does not fit the certificate",
    );

    let metrics = stage.run(Some("pipeline"), &["health"]).await;
    assert_eq!(metrics.code, 0, "{metrics:?}");
    let answer = stage
        .say(
            "grafana",
            "GET /metrics HTTP/1.1\r\nHost: gateway.test\r\nConnection: close\r\n\r\n",
        )
        .await;
    let refused = answer
        .lines()
        .find_map(|line| line.strip_prefix("handover_admin_tls_handshakes_total{outcome=\"refused\"} "));
    let refused: f64 = refused.and_then(|count| count.parse().ok()).expect("it is counted");
    assert!(refused >= 1.0, "{refused}");
}

#[tokio::test]
async fn a_web_page_that_has_a_browser_show_its_certificate_is_refused() {
    let stage = Stage::start().await;
    let cordon = async |origin: &str| {
        let request = format!(
            "POST /v1/servers/board-1/cordon HTTP/1.1\r\nHost: gateway.test:8081\r\nOrigin: {origin}\r\n\
             Connection: close\r\nContent-Length: 0\r\n\r\n"
        );
        stage.say("pipeline", &request).await
    };
    let refused = cordon("https://evil.test").await;
    assert!(
        refused.starts_with("HTTP/1.1 403 ") && refused.contains("forbidden-origin"),
        "{refused}"
    );
    let refused = cordon("http://gateway.test:8081").await;
    assert!(refused.starts_with("HTTP/1.1 403 "), "{refused}");
    let own = cordon("https://gateway.test:8081").await;
    assert!(own.starts_with("HTTP/1.1 200 "), "{own}");
    let audited = stage.audited(3).await.into_iter().map(|line| (line.0, line.3));
    let audited: Vec<(String, u64)> = audited.collect();
    let expected = [403, 403, 200].map(|status| ("release-pipeline".to_owned(), status));
    assert_eq!(audited, expected);
}

#[tokio::test]
async fn a_reload_exchanges_certificate_authority_and_names_or_nothing() {
    let stage = Stage::start().await;
    let reload = async || {
        let request = "POST /v1/config/reload HTTP/1.1\r\nHost: gateway.test\r\nConnection: close\r\n\
                       Authorization: Bearer admin-token-0123456789\r\nContent-Length: 0\r\n\r\n";
        let answer = stage.say("grafana", request).await;
        let (_, body) = answer.split_once("\r\n\r\n").expect("it has a head");
        serde_json::from_str::<Value>(body).unwrap_or_else(|error| panic!("{error}: {answer}"))
    };
    let config = stage.gateway.directory().join("handover.toml");
    let edit = |from: &str, to: &str| {
        let text = std::fs::read_to_string(&config).expect("the gateway reads it");
        assert!(text.contains(from), "{from} is not in {text}");
        std::fs::write(&config, text.replacen(from, to, 1)).expect("it can be written");
    };

    // A certificate without its key changes nothing.
    let good = std::fs::read_to_string(stage.file("admin.key")).expect("it was written");
    let stranger = std::fs::read_to_string(stage.file("stranger.key")).expect("it was written");
    write(stage.files.path(), "admin.key", &stranger);
    let refused = reload().await;
    assert_eq!(refused["type"], "config-invalid", "{refused}");
    assert_eq!(refused["faults"][0]["key"], "admin.tls.key_file", "{refused}");
    check(&stage.run(Some("pipeline"), &["servers"]).await, 0, "board-1");
    write(stage.files.path(), "admin.key", &good);

    // TLS is not taken away under those who call, nor is anybody let in or shut out for that.
    let whole = std::fs::read_to_string(&config).expect("the gateway reads it");
    let (from, to) = (whole.find("[admin.tls]"), whole.find("[[admin.tokens]]"));
    let without = [
        &whole[..from.expect("it has TLS")],
        &whole[to.expect("it has a token")..],
    ]
    .concat();
    std::fs::write(&config, without).expect("it can be written");
    let held_back = reload().await;
    assert_eq!(held_back["reloaded"], serde_json::json!([]), "{held_back}");
    let keys = held_back["needs_restart"].as_array().expect("it is a list");
    assert!(keys.contains(&Value::from("admin.tls.certificate_file")), "{held_back}");
    check(&stage.run(Some("pipeline"), &["servers"]).await, 0, "board-1");
    std::fs::write(&config, &whole).expect("it can be written");
    assert_eq!(reload().await["needs_restart"], serde_json::json!([]));

    // Names are taken back, and given.
    edit("name = \"release-pipeline\"", "name = \"stranger\"");
    assert_eq!(
        reload().await["reloaded"],
        serde_json::json!(["admin.client_certificates[0].name"])
    );
    check(
        &stage.run(Some("pipeline"), &["servers"]).await,
        5,
        "unknown-certificate",
    );
    check(&stage.run(Some("stranger"), &["servers"]).await, 0, "board-1");

    // Another authority, for both sides.
    let next = Authority::new("next");
    next.issue_into(stage.files.path(), "admin", "gateway", &["127.0.0.1"]);
    next.issue_into(stage.files.path(), "newcomer", "stranger", &["newcomer.test"]);
    write(stage.files.path(), "ca.pem", &next.pem());
    stage.gateway.process().hang_up();
    eventually("the next authority is believed", SOON, || async {
        stage.run(Some("newcomer"), &["servers"]).await.code == 0
    })
    .await;
    check(
        &stage.run(Some("stranger"), &["servers"]).await,
        6,
        "does not accept the client certificate",
    );
}

/// Far more than it takes.
const SOON: Duration = Duration::from_secs(60);
