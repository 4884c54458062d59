//! The example documents every key that the reader knows, with the code's own defaults, and so does the schema.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use handover_gateway::config::example::{EXAMPLE, cases, descriptions, known_settings};
use handover_gateway::config::{Config, Kind, schema_text};
use serde_json::Value;

/// A place where the files are that the example names.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    for name in ["board-1.token", "pipeline.token"] {
        let token = format!("{name}-0123456789abcdef0123456789abcdef");
        fs::write(folder.path().join(name), token).expect("the folder was just made");
    }
    let made = rcgen::generate_simple_self_signed(["app.example".to_owned()]).expect("the name is sound");
    for name in ["app.pem", "admin.pem", "operators.pem", "servers-ca.pem", "gateway.pem"] {
        fs::write(folder.path().join(name), made.cert.pem()).expect("the folder was just made");
    }
    for name in ["app.key", "admin.key", "gateway.key"] {
        fs::write(folder.path().join(name), made.signing_key.serialize_pem()).expect("the folder was just made");
    }
    folder
}

#[test]
fn the_example_shows_the_defaults_of_the_code() {
    let folder = folder();
    let configured = |text: &str| {
        let config = Config::parse(text, &folder.path().join("handover.toml"));
        config.map(|(config, _)| format!("{config:?}"))
    };
    let cases = cases();
    assert_ne!(cases[0], EXAMPLE, "no default is shown");
    assert_eq!(configured(&cases[0]), configured(EXAMPLE));
    for case in &cases[1..] {
        let added = configured(case);
        assert!(added.is_ok(), "{}", added.unwrap_err());
        if *case != cases[0] {
            assert_ne!(added, configured(EXAMPLE), "an addition changes nothing:\n{case}");
        }
    }
    let shown: BTreeSet<String> = known_settings()
        .list()
        .iter()
        .filter(|setting| setting.default.is_some())
        .map(|setting| setting.general_key())
        .collect();
    assert!(shown.len() > 30, "only {shown:?} have defaults");
}

#[test]
fn the_example_holds_every_key_and_says_what_it_is_for() {
    let descriptions = descriptions();
    let settings = known_settings();
    for setting in settings.list() {
        // It is read to be refused, and entries of lists are shown with their lists.
        let is_operators_own = setting.key.contains(".labels.");
        if setting.key == "registry.redis" || setting.key.ends_with(']') || is_operators_own {
            continue;
        }
        let key = setting.general_key();
        let is_shown = settings.list().iter().any(|other| {
            let is_header = matches!(other.kind, Some(Kind::Tables { .. } | Kind::Table));
            other.general_key() == key && other.kind.is_some() && (other.given.is_some() || is_header)
        });
        assert!(is_shown, "{} is nowhere in the example", setting.key);
        let is_explained_around = key.matches('.').count() > 1 || key.ends_with(']') || !key.contains('.');
        let text = descriptions.get(&key).or_else(|| descriptions.get(&format!("{key}[]")));
        let text = text.map_or("", String::as_str);
        assert!(
            is_explained_around || !text.is_empty(),
            "the example says nothing of {key}"
        );
    }
}

#[test]
fn the_schema_in_the_tree_is_the_readers() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/handover.schema.json");
    let schema = schema_text();
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, &schema).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == schema,
        "run this test with BLESS=1 and read the difference of {}",
        path.display()
    );
    let schema: Value = serde_json::from_str(&schema).unwrap();
    let route = &schema["properties"]["routes"]["items"];
    assert_eq!(route["properties"]["close_code"]["default"], 1012);
    assert_eq!(route["required"], serde_json::json!(["board", "name"]));
    assert_eq!(route["properties"]["mode"]["enum"][1], "reconnect");
    assert_eq!(
        schema["properties"]["limits"]["properties"]["sessions_max"]["minimum"],
        1
    );
}
