//! Every documented call, good and bad, against the OpenAPI document that describes it.
//!
//! Schemathesis makes the requests: examples, the edges of each schema, and what no schema allows. It holds answers
//! against the document: statuses, media types, bodies, refusals of what is wrong, acceptance of what is right. Each
//! call gets a gateway, or a server, of its own, so that no call lives on what another has left. Event streams never end
//! by themselves and are tested by hand.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use handover_protocol::openapi;
use handover_tests::{BoardServer, Database, Gateway, Program, Route, User, workspace};
use serde_json::Value;

/// One documented call.
struct Operation {
    id: String,
    path: String,
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_api_answers_as_its_document_says() {
    let document = serde_json::to_value(openapi::admin()).expect("a document is JSON");
    for operation in operations(&document) {
        let database = Database::fresh().await;
        let server = async |name: &str, release: &str| {
            BoardServer::builder(Program::Reference, name, release, &database)
                .start()
                .await
        };
        let (source, target) = (server("board-1", "r1").await, server("board-2", "r2").await);
        let gateway = Gateway::builder("r1")
            .server(&source)
            .server(&target)
            .route(&Route::whiteboard())
            .start()
            .await;
        gateway.all_ready().await;
        let mut user = User::join(gateway.traffic(), KNOWN_BOARD, "ann").await;
        let seq = user.draw().await;
        user.saved(seq).await;
        let url = gateway.admin().url();
        try_out("admin.json", &operation, url, None, &gateway.directory()).await;
        assert!(gateway.process().is_running(), "{} ended the gateway", operation.id);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_contract_is_answered_as_its_document_says() {
    let document = serde_json::to_value(openapi::contract()).expect("a document is JSON");
    for operation in operations(&document) {
        let database = Database::fresh().await;
        let server = BoardServer::builder(Program::Reference, "board-1", "r1", &database)
            .start()
            .await;
        let control = server.control().expect("the reference server has the contract");
        let token = std::fs::read_to_string(server.token_file()).expect("the fixture wrote the token");
        let directory = tempfile::tempdir().expect("there is room for a temporary directory");
        let url = format!("http://{control}");
        try_out("contract.json", &operation, &url, Some(token.trim()), directory.path()).await;
        assert!(server.process().is_running(), "{} ended the server", operation.id);
    }
}

/// Lists the calls whose answers end.
fn operations(document: &Value) -> Vec<Operation> {
    let paths = document["paths"].as_object().expect("a document has paths");
    let mut found = Vec::new();
    for (path, methods) in paths {
        for operation in methods.as_object().expect("a path has methods").values() {
            let answers = operation["responses"].as_object().expect("a call has answers");
            let streams = answers
                .values()
                .any(|answer| !answer["content"]["text/event-stream"].is_null());
            if !streams {
                let id = operation["operationId"]
                    .as_str()
                    .expect("each call has an id")
                    .to_owned();
                found.push(Operation { id, path: path.clone() });
            }
        }
    }
    found
}

/// Runs Schemathesis on one call: with everything that it can think of, then with the id of something that exists.
async fn try_out(document: &str, operation: &Operation, url: &str, token: Option<&str>, directory: &Path) {
    run(document, operation, url, token, directory, "").await;
    let known = match operation.path.split('/').nth(2) {
        Some("boards") => KNOWN_BOARD,
        Some("servers") => "board-1",
        Some(_) | None => return,
    };
    if operation.path.contains("{id}") || operation.path.contains("{name}") {
        let parameters = format!("[parameters]\n\"path.id\" = \"{known}\"\n\"path.name\" = \"{known}\"\n");
        run(document, operation, url, token, directory, &parameters).await;
    }
}

async fn run(
    document: &str,
    operation: &Operation,
    url: &str,
    token: Option<&str>,
    directory: &Path,
    parameters: &str,
) {
    let settings = directory.join("schemathesis.toml");
    std::fs::write(&settings, format!("{SETTINGS}\n{parameters}")).expect("the directory is the fixture's");
    let mut command = Command::new(workspace().join("tests/.venv/bin/schemathesis"));
    command
        .arg("--config-file")
        .arg(&settings)
        .arg("run")
        .arg(workspace().join("protocol/openapi").join(document))
        .args(["--url", url, "--include-operation-id", &operation.id])
        .args(["--phases", "examples,coverage,fuzzing", "--max-examples", MAX_EXAMPLES])
        .args(["--seed", SEED, "--generation-database", "none", "--continue-on-failure"])
        .args(["--warnings", "off"])
        .current_dir(directory)
        .stdin(Stdio::null());
    if let Some(token) = token {
        command.args(["--header", &format!("Authorization: Bearer {token}")]);
    }
    let ran = tokio::process::Command::from(command).kill_on_drop(true).output();
    let output = tokio::time::timeout(PATIENCE, ran)
        .await
        .unwrap_or_else(|_| panic!("{} did not end", operation.id))
        .expect("schemathesis is installed by tests/run");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{} does not keep to its document ({parameters:?}):\n{told}{}",
        operation.id,
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        told.contains("Tested: 1"),
        "{} was not tried at all:\n{told}",
        operation.id
    );
}

/// A body of the right form may still name what there is not (422), or come at the wrong moment (409).
const SETTINGS: &str = "\
[checks.positive_data_acceptance]
expected-statuses = [\"2xx\", 401, 403, 404, 409, 422, 503]
";

/// A board that somebody is on.
const KNOWN_BOARD: &str = "sketch";

/// A call takes seconds so; one seed, for a test that fails has to fail again.
const MAX_EXAMPLES: &str = "30";
const SEED: &str = "20261124";

/// A run takes seconds; a busy machine takes its time.
const PATIENCE: Duration = Duration::from_secs(300);
