//! Releases that bring their servers by the configuration file, and take the old ones away by it.

use std::time::Duration;

use handover_protocol::admin::{
    ConfigReloaded, DrainState, Problem, ProblemType, ServerOrigin, ServerState, ServerView, ServerWish,
};
use handover_tests::{AdminError, BoardServer, Database, Gateway, GatewayBuilder, Program, Route, User, eventually};
use reqwest::Method;
use serde_json::{Value, json};

/// A gateway whose file is written anew.
struct Stage {
    gateway: Gateway,
}

impl Stage {
    fn write(&self, builder: &GatewayBuilder) {
        let admin = self.gateway.admin().url().trim_start_matches("http://");
        let admin = admin.trim_end_matches('/').parse().expect("it is an address");
        let file = self.gateway.directory().join("handover.toml");
        std::fs::write(file, builder.file(self.gateway.traffic(), admin)).expect("it can be written");
    }

    async fn reload(&self) -> Result<ConfigReloaded, Problem> {
        let path = "/v1/config/reload";
        match self.gateway.admin().send_raw(Method::POST, path, None::<&()>).await {
            Ok(body) => {
                let reloaded: ConfigReloaded = serde_json::from_str(&body).expect("it is as documented");
                // Anybody may read the tokens of tests.
                let warnings = Vec::new();
                Ok(ConfigReloaded { warnings, ..reloaded })
            }
            Err(AdminError::Refused { body, .. }) => Err(serde_json::from_str(&body).expect("it is a problem")),
            Err(other) => panic!("{other:?}"),
        }
    }

    async fn server(&self, name: &str) -> Option<ServerView> {
        let list = self.gateway.admin().servers().await.expect("it lists its servers");
        list.servers.into_iter().find(|server| server.name.as_str() == name)
    }

    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> (u16, Value) {
        self.gateway.admin().call(method, path, body).await
    }

    async fn owner(&self, board: &str) -> String {
        let view = self.gateway.admin().board(board).await.expect("it is open");
        view.server.expect("it is owned").to_string()
    }
}

fn names(servers: &[handover_protocol::ServerName]) -> Vec<&str> {
    servers.iter().map(|server| server.as_str()).collect()
}

async fn server(name: &str, release: &str, database: &Database) -> BoardServer {
    let builder = BoardServer::builder(Program::Reference, name, release, database);
    builder.start().await
}

#[tokio::test]
async fn a_release_brings_its_servers_by_the_file_and_takes_the_old_ones_away_by_it() {
    let database = Database::fresh().await;
    let (old, new) = tokio::join!(server("board-1", "r1", &database), server("board-2", "r2", &database));
    let route = Route::whiteboard();
    let before = Gateway::builder("r1").server(&old).route(&route);
    let stage = Stage {
        gateway: before.start().await,
    };
    stage.gateway.all_ready().await;
    let mut ann = User::join(stage.gateway.traffic(), "b", "ann").await;

    stage.write(&Gateway::builder("r1").server(&old).server(&new).route(&route));
    stage.gateway.process().hang_up();
    eventually("the new server is there and ready", SOON, || async {
        stage.server("board-2").await.is_some_and(|server| server.ready)
    })
    .await;

    // The old one is taken out too early: it stays, closed to new boards, and the answer says so.
    let after = Gateway::builder("r2").server(&new).route(&route);
    stage.write(&after);
    let reloaded = stage.reload().await.expect("nothing is wrong");
    assert_eq!(reloaded.reloaded, ["releases.current"]);
    assert!(reloaded.needs_restart.is_empty(), "{reloaded:?}");
    let [kept] = reloaded.servers.still_in_use.as_slice() else {
        panic!("{reloaded:?}");
    };
    assert_eq!((kept.server.as_str(), kept.wanted), ("board-1", ServerWish::Removed));
    assert_eq!((kept.boards, kept.sessions), (1, 1));
    assert!(kept.fix.contains("drain it"), "{kept:?}");
    let view = stage.server("board-1").await.expect("it is kept");
    assert_eq!((view.state, view.safe_to_terminate), (ServerState::Cordoned, false));
    assert!(view.reason.is_some_and(|reason| reason.contains("configuration")));
    let _bob = User::join(stage.gateway.traffic(), "new", "bob").await;
    assert_eq!(stage.owner("new").await, "board-2");
    assert_eq!(stage.owner("b").await, "board-1", "who was there is served on");
    let seq = ann.draw().await;
    ann.saved(seq).await;

    let request = json!({"id": "d", "from": {"servers": ["board-1"]}, "to": {"release": "r2"}});
    assert_eq!(stage.call(Method::POST, "/v1/drains", Some(&request)).await.0, 202);
    let status = stage.gateway.admin().drained("d", SOON).await;
    assert_eq!((status.state, status.boards.moved), (DrainState::Done, 1), "{status:?}");
    let seq = ann.draw().await;
    ann.saved(seq).await;
    eventually("nothing needs the old server", SOON, || async {
        let view = stage.server("board-1").await;
        view.is_some_and(|server| server.safe_to_terminate)
    })
    .await;
    stage.gateway.process().hang_up();
    eventually("the old server has gone", SOON, || async {
        stage.server("board-1").await.is_none()
    })
    .await;
    let metrics = stage.gateway.admin().metrics().await.expect("it has metrics");
    assert_eq!(metrics.value("handover_sessions", &[("server", "board-1")]), None);

    let reloaded = stage.reload().await.expect("nothing is wrong");
    assert_eq!(reloaded, ConfigReloaded::default(), "it is safe to repeat");
}

#[tokio::test]
async fn what_is_new_of_a_server_holds_at_once_and_another_address_waits_until_it_is_drained() {
    let database = Database::fresh().await;
    let (first, second) = tokio::join!(server("board-1", "r1", &database), server("board-2", "r1", &database));
    let route = Route::whiteboard();
    let whole = Gateway::builder("r1").server(&first).server(&second).route(&route);
    let stage = Stage {
        gateway: whole.clone().start().await,
    };
    stage.gateway.all_ready().await;
    let ann = User::join(stage.gateway.traffic(), "b", "ann").await;
    assert_eq!(stage.owner("b").await, "board-1");

    // Behind the last server's table, which is the second's.
    let file = stage.gateway.directory().join("handover.toml");
    let text = std::fs::read_to_string(&file).expect("the gateway reads it");
    let weighed = text.replacen("\n[[routes]]", "weight = 7\nlabels = { zone = \"b\" }\n\n[[routes]]", 1);
    let moved = weighed.replacen("release = \"r1\"", "release = \"r2\"", 1);
    std::fs::write(&file, &moved).expect("it can be written");
    let reloaded = stage.reload().await.expect("nothing is wrong");
    assert_eq!(names(&reloaded.servers.changed), ["board-2"], "{reloaded:?}");
    let view = stage.server("board-2").await.expect("it is named");
    assert_eq!((view.weight, view.labels["zone"].as_str()), (7, "b"));
    let [kept] = reloaded.servers.still_in_use.as_slice() else {
        panic!("{reloaded:?}");
    };
    assert_eq!((kept.server.as_str(), kept.wanted), ("board-1", ServerWish::Replaced));
    let view = stage.server("board-1").await.expect("it is kept");
    assert_eq!(view.release.as_str(), "r1", "until then it is what it was");

    // Thinking again opens it as it was.
    std::fs::write(&file, &weighed).expect("it can be written");
    let reloaded = stage.reload().await.expect("nothing is wrong");
    assert!(reloaded.servers.still_in_use.is_empty(), "{reloaded:?}");
    let view = stage.server("board-1").await.expect("it is named");
    assert_eq!(view.state, ServerState::Ready);

    // Once nothing needs it, it is replaced.
    drop(ann);
    let to_second = json!({"to": "board-2"});
    let (status, report) = stage.call(Method::POST, "/v1/boards/b/move", Some(&to_second)).await;
    assert_eq!((status, &report["result"]), (200, &json!("moved")), "{report}");
    std::fs::write(&file, &moved).expect("it can be written");
    eventually("it runs the other release", SOON, || async {
        stage.reload().await.expect("nothing is wrong");
        let view = stage.server("board-1").await.expect("it is named");
        view.release.as_str() == "r2" && view.ready
    })
    .await;
}

#[tokio::test]
async fn servers_of_the_admin_api_stay_unless_the_file_takes_them_over() {
    let database = Database::fresh().await;
    let (first, second) = tokio::join!(server("board-1", "r1", &database), server("board-2", "r1", &database));
    let route = Route::whiteboard();
    let alone = Gateway::builder("r1").server(&first).route(&route);
    let mut stage = Stage {
        gateway: alone.clone().start().await,
    };
    let naming = json!({
        "url": format!("http://{}", second.traffic()),
        "control_url": format!("http://{}", second.control().expect("it has the contract")),
        "control_token_file": second.token_file(),
        "release": "r1",
    });
    assert_eq!(
        stage.call(Method::PUT, "/v1/servers/board-2", Some(&naming)).await.0,
        201
    );
    let reloaded = stage.reload().await.expect("nothing is wrong");
    assert_eq!(reloaded, ConfigReloaded::default());
    let view = stage.server("board-2").await.expect("it stays");
    assert_eq!(view.origin, ServerOrigin::Api);

    // The same process under another name is refused, and nothing changes.
    let twice = alone.clone().origin("board-9", "r1", second.traffic());
    stage.write(&twice);
    let problem = stage.reload().await.expect_err("it is named twice");
    assert_eq!(problem.kind, ProblemType::ConfigInvalid);
    assert_eq!(problem.faults[0].key, "servers[1].url", "{problem:?}");
    assert!(stage.server("board-9").await.is_none());

    // Under its own name it is the file's from there on, also when the file drops it.
    stage.write(&alone.clone().server(&second));
    let reloaded = stage.reload().await.expect("nothing is wrong");
    assert_eq!(names(&reloaded.servers.changed), ["board-2"]);
    let view = stage.server("board-2").await.expect("it stays");
    assert_eq!(view.origin, ServerOrigin::Config);
    stage.write(&alone);
    let reloaded = stage.reload().await.expect("nothing is wrong");
    assert_eq!(names(&reloaded.servers.removed), ["board-2"]);
    stage.gateway.restart().await;
    assert!(stage.server("board-2").await.is_none(), "it does not come back");
}

/// Far more than it takes.
const SOON: Duration = Duration::from_secs(60);
