//! The rules of the house: who may import whom, what `protocol` may not touch, and which licences come in.

mod imports;
mod licences;
mod sources;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use handover_tests::workspace;
use serde_json::Value;

use imports::crate_imports;
use licences::{Licences, banned_crates};
use sources::Source;

#[test]
fn packages_of_the_house_depend_in_one_direction() {
    let metadata = Metadata::read();
    let allowed: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("handover-protocol", &[] as &[&str]),
        ("handover-gateway", &["handover-protocol"]),
        ("handover-loadtest", &["handover-protocol"]),
        (
            "handover-benches",
            &["handover-protocol", "handover-gateway", "handover-loadtest"],
        ),
        ("handover-tests", &["handover-protocol", "handover-loadtest"]),
    ]);
    for package in metadata.members() {
        let name = word(&package["name"]);
        let allowed = allowed
            .get(name)
            .unwrap_or_else(|| panic!("{name}: which packages may it use?"));
        let used = dependencies(package, None)
            .into_iter()
            .filter(|used| used.starts_with("handover-"));
        for used in used {
            assert!(allowed.contains(&used.as_str()), "{name} must not depend on {used}");
        }
    }
}

#[test]
fn protocol_touches_no_runtime_no_socket_and_no_clock() {
    let metadata = Metadata::read();
    let protocol = metadata.member("handover-protocol");
    for used in dependencies(protocol, Some("normal")) {
        assert!(
            PROTOCOL_USES.contains(&used.as_str()),
            "protocol must not depend on {used}"
        );
    }
    let reached = metadata.reached_from("handover-protocol");
    assert!(reached.contains("serde"), "{reached:?}");
    for runtime in [
        "tokio",
        "mio",
        "hyper",
        "socket2",
        "async-std",
        "smol",
        "chrono",
        "time",
        "getrandom",
    ] {
        assert!(!reached.contains(runtime), "protocol reaches {runtime}");
    }
    for source in Source::of_package("protocol") {
        for word in FORBIDDEN_IN_PROTOCOL {
            assert!(!source.code().contains(word), "{}: {word}", source.path());
        }
    }
}

#[test]
fn the_gateway_imports_downwards_only() {
    let layers: BTreeMap<&str, usize> = GATEWAY_LAYERS
        .iter()
        .enumerate()
        .flat_map(|(layer, modules)| modules.iter().map(move |module| (*module, layer)))
        .collect();
    let layer_of = |module: &str, path: &str| {
        let layer = layers.get(module).copied();
        layer.unwrap_or_else(|| panic!("{path}: in which layer of the gateway is {module}?"))
    };
    let mut faults = Vec::new();
    for source in Source::of_package("gateway") {
        let layer = layer_of(source.module(), source.path());
        for import in crate_imports(source.code(), source.depth()) {
            if layer_of(&import, source.path()) > layer {
                faults.push(format!("{} imports {import}", source.path()));
            }
        }
    }
    assert_eq!(faults, [] as [String; 0], "adapters < drivers < edges < root");
}

#[test]
fn the_shell_knows_the_gateway_by_its_api_only() {
    let mut seen = 0;
    for source in Source::of_package("gateway") {
        if source.module() != "shell" {
            continue;
        }
        seen += 1;
        for import in crate_imports(source.code(), source.depth()) {
            assert_eq!(import, "shell", "{} looks into the gateway", source.path());
        }
    }
    assert!(seen > 10, "{seen}");
}

#[test]
fn every_limit_and_every_fallback_that_has_a_series_is_counted_somewhere() {
    let sources = Source::of_package("gateway");
    for label in ["Limit", "Fallback"] {
        let declared = format!("\n    {label} {{");
        let files = sources
            .iter()
            .filter(|source| source.path().contains("/telemetry/label"));
        let values = files.filter_map(|source| source.code().split_once(&declared)).next();
        let values = values.expect("it is declared").1;
        let values = values.split_once("\n    }").expect("its end is indented so").0;
        let mut count = 0;
        for value in values.lines().filter_map(|line| line.trim().split_once(" = ")) {
            let path = format!("{label}::{}", value.0);
            let is_path = |rest: &str| !rest.starts_with(|next: char| next.is_ascii_alphanumeric());
            let uses = |source: &Source| source.code().split(&path).skip(1).any(is_path);
            assert!(sources.iter().any(uses), "nothing counts {path}");
            count += 1;
        }
        assert!(count > 5, "{label}: {values}");
    }
}

#[test]
fn licences_and_crates_are_those_of_deny_toml() {
    let metadata = Metadata::read();
    let path = workspace().join("deny.toml");
    let deny = std::fs::read_to_string(path).expect("the workspace has a deny.toml");
    let allowed = Licences::allowed_by(&deny);
    let mut used = BTreeSet::new();
    for package in metadata.packages() {
        let (name, licence) = (&package["name"], package["license"].as_str().unwrap_or_default());
        let needed = allowed.needed_for(licence);
        used.extend(needed.unwrap_or_else(|| panic!("{name} comes under {licence:?}, which deny.toml does not allow")));
    }
    assert_eq!(used, allowed.all(), "deny.toml allows licences that nothing needs");
    let banned = banned_crates(&deny);
    assert!(banned.contains("openssl"), "{banned:?}");
    let lock = std::fs::read_to_string(workspace().join("Cargo.lock")).expect("the workspace has a lock file");
    for name in banned {
        assert!(!lock.contains(&format!("name = \"{name}\"")), "{name} has come in");
    }
}

/// What cargo says of the workspace and all it depends on.
struct Metadata(Value);

impl Metadata {
    fn read() -> Self {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .args(["metadata", "--format-version=1", "--locked"])
            .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
            .current_dir(workspace())
            .output()
            .expect("cargo can be started");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Self(serde_json::from_slice(&output.stdout).expect("cargo prints JSON"))
    }

    fn packages(&self) -> &[Value] {
        self.0["packages"].as_array().expect("there are packages")
    }

    fn members(&self) -> impl Iterator<Item = &Value> {
        self.packages().iter().filter(|package| package["source"].is_null())
    }

    fn member(&self, name: &str) -> &Value {
        self.members()
            .find(|package| package["name"] == name)
            .unwrap_or_else(|| panic!("no package {name}"))
    }

    /// Returns the names of all packages that are built into `name`, tests and build scripts aside.
    fn reached_from(&self, name: &str) -> BTreeSet<String> {
        let names: BTreeMap<&str, &str> = self
            .packages()
            .iter()
            .map(|package| (word(&package["id"]), word(&package["name"])))
            .collect();
        let nodes = self.0["resolve"]["nodes"].as_array().expect("the graph is resolved");
        let mut open = vec![word(&self.member(name)["id"])];
        let mut reached = BTreeSet::new();
        while let Some(id) = open.pop() {
            let node = nodes
                .iter()
                .find(|node| node["id"] == id)
                .expect("every package is in the graph");
            for used in node["deps"].as_array().expect("a node has dependencies") {
                let kinds = used["dep_kinds"].as_array().expect("a dependency has kinds");
                let is_normal = kinds.iter().any(|kind| kind["kind"].is_null());
                let package = names[word(&used["pkg"])];
                if is_normal && reached.insert(package.to_owned()) {
                    open.push(word(&used["pkg"]));
                }
            }
        }
        reached
    }
}

/// Returns the packages that one depends on; of one kind, or of all.
fn dependencies(package: &Value, kind: Option<&str>) -> Vec<String> {
    let all = package["dependencies"]
        .as_array()
        .expect("a package lists its dependencies");
    all.iter()
        .filter(|used| kind.is_none_or(|kind| used["kind"].as_str().unwrap_or("normal") == kind))
        .map(|used| word(&used["name"]).to_owned())
        .collect()
}

fn word(value: &Value) -> &str {
    value.as_str().expect("cargo names it")
}

/// What `protocol` may be built from: data in, data out.
const PROTOCOL_USES: &[&str] = &["serde", "serde_json", "thiserror", "percent-encoding", "utoipa"];

const FORBIDDEN_IN_PROTOCOL: &[&str] = &[
    "tokio",
    "std::net",
    "std::fs",
    "std::env",
    "std::process",
    "std::thread",
    "Instant::now",
    "SystemTime",
    "elapsed()",
    "println!",
    "async fn",
];

/// The modules of the gateway, the lowest layer first: adapters, drivers, edges, and what composes them.
const GATEWAY_LAYERS: [&[&str]; 4] = [
    &["config", "telemetry", "tls", "registry", "upstream"],
    &["board", "relay", "session", "mover", "drain", "rollout"],
    &["edge", "admin", "console", "shell", "probe"],
    &[
        "lib",
        "main",
        "cli",
        "serve",
        "compose",
        "fleet",
        "reload",
        "supervisor",
    ],
];
