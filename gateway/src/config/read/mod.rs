//! Reads a whole configuration out of its file, and goes on past what is wrong.

mod admin;
mod board;
mod drain;
mod health;
mod limits;
mod listen;
mod networks;
mod route;
mod server;
mod server_tls;
mod tls;
mod traps;
mod tree;
pub(super) mod units;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use toml::de::DeTable;
use tracing_subscriber::EnvFilter;

use self::server::ReadServers;
use self::tree::{Item, Section};
use super::finding::{Findings, Severity};
use super::overrides::overlay;
use super::{AccessLog, Config, Listen, LogConfig, MetricsConfig, RegistryConfig, Releases, Shutdown};
use crate::telemetry::{REDACTED_NAMES, Redaction};

/// Reads a file's text; none where something is wrong, and `findings` says what.
///
/// `variables` is what the environment sets, as long as the text before its first line. Files that the text names are
/// looked for from `folder`.
pub(super) fn read(text: &str, variables: &str, folder: &Path, findings: &Findings) -> Option<Config> {
    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        report_syntax(text, &errors, findings);
        return None;
    }
    let mut document = document.into_inner();
    let (variables, _) = DeTable::parse_recoverable(variables);
    overlay(&mut document, variables.into_inner(), findings);
    let mut root = Section::root(findings, &document);
    let admin = admin::read_admin(root.section("admin"), folder);
    let listen = listen::read_listen(root.section("listen"), &admin, folder);
    let tls = tls::read_tls(&mut root, listen.as_ref(), folder);
    let registry = read_registry(root.section("registry"), folder);
    let releases_section = root.section("releases");
    let current_spot = releases_section.spot_of("current");
    let releases = read_releases(releases_section);
    let servers = server::read_servers(&mut root, listen.as_ref(), folder);
    let routes = route::read_routes(&mut root, &servers);
    let limits = limits::read_limits(root.section("limits"));
    let health = health::read_health(root.section("health"));
    let drain = drain::read_drain(root.section("drain"));
    let shutdown = read_shutdown(root.section("shutdown"));
    let metrics = read_metrics(root.section("metrics"));
    let log = read_log(root.section("log"));
    root.close();

    if let Some(releases) = &releases {
        check_current_release(releases, &servers, &current_spot);
    }
    if findings.has_faults() {
        return None;
    }
    Some(Config {
        listen: listen?,
        tls,
        registry: registry?,
        releases: releases?,
        servers: servers.configs,
        routes: routes.into_iter().map(Arc::new).collect(),
        limits,
        health,
        drain,
        shutdown,
        metrics,
        log,
        admin,
    })
}

/// Adds each syntax error, the first of a line: what follows it is mostly its echo.
fn report_syntax(text: &str, errors: &[toml::de::Error], findings: &Findings) {
    let mut lines = Vec::new();
    let mut errors: Vec<_> = errors.iter().collect();
    errors.sort_by_key(|error| error.span().map_or(0, |span| span.start));
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        let line = text[..span.start.min(text.len())].matches('\n').count();
        if lines.contains(&line) {
            continue;
        }
        lines.push(line);
        let problem = format!("this is not TOML: {}", error.message());
        let fix = "correct the syntax (toml.io); the rest is checked once the file can be read";
        findings.add(Severity::Fault, "", Some(span), None, problem, fix);
    }
}

fn read_registry(mut section: Section<'_>, folder: &Path) -> Option<RegistryConfig> {
    if let Some(redis) = section.take("redis") {
        // Such a URL commonly holds a password.
        redis.spot.hide();
        let fix = "remove it and use the embedded registry: file = \"handover.db\"";
        redis
            .spot
            .fault("names a registry that this version does not have", fix);
        section.take("file");
        section.close();
        return None;
    }
    let file = section.require("file", "\"handover.db\"");
    section.close();
    let file = file?;
    let path = folder.join(non_empty(&file, "name a file, such as \"handover.db\"")?);
    let parent = path.parent().unwrap_or(folder);
    if !parent.is_dir() {
        let problem = format!("lies in a folder that does not exist: {}", parent.display());
        file.spot.fault(problem, "create the folder, or name another file");
        return None;
    }
    if path.is_dir() {
        file.spot
            .fault("is a folder", "name a file in it, such as \"handover.db\"");
        return None;
    }
    Some(RegistryConfig { file: path })
}

fn read_releases(mut section: Section<'_>) -> Option<Releases> {
    let current = section.require("current", "\"2026-11-20\"");
    section.close();
    let current = current?.parsed("name it as the servers' release does")?;
    Some(Releases { current })
}

fn read_shutdown(mut section: Section<'_>) -> Shutdown {
    let mut shutdown = Shutdown::default();
    section.duration("grace", &mut shutdown.grace, Duration::ZERO..=SHUTDOWN_GRACE_MAX);
    section.close();
    shutdown
}

fn read_metrics(mut section: Section<'_>) -> MetricsConfig {
    let mut metrics = MetricsConfig::default();
    section.default("open_boards_alias", format!("{:?}", crate::config::OPEN_BOARDS_ALIAS));
    section.read("open_boards_alias", &mut metrics.open_boards_alias, |item| {
        let name = item.text()?;
        if name.is_empty() {
            return Some(None);
        }
        let starts_well = !name.starts_with(|letter: char| letter.is_ascii_digit());
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':';
        if !starts_well || !name.bytes().all(is_name) {
            let fix = "use letters, digits, _ and :, and no digit first; \"\" turns it off";
            item.spot.fault("is not a name of a Prometheus metric", fix);
            return None;
        }
        Some(Some(name.into()))
    });
    section.read("open_boards_label", &mut metrics.open_boards_label, |item| {
        let name = item.text()?;
        let starts_well = name.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '_');
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if !starts_well || name.starts_with("__") || !name.bytes().all(is_name) {
            let fix = "use letters, digits and _, no digit first and no __, as in \"instance\"";
            item.spot.fault("is not a name of a Prometheus label", fix);
            return None;
        }
        Some(name.into())
    });
    section.close();
    metrics
}

fn read_log(mut section: Section<'_>) -> LogConfig {
    let mut log = LogConfig::default();
    section.default("filter", format!("{:?}", log.filter));
    section.read("filter", &mut log.filter, |item| {
        let text = item.text()?;
        if let Err(error) = EnvFilter::builder().parse(text) {
            let fix = "write a level, or targets with levels: \"info\", \"info,handover_gateway::mover=debug\"";
            item.spot.fault(format!("is no log filter: {error}"), fix);
            return None;
        }
        Some(text.into())
    });
    section.default("access", "\"sessions\"".to_owned());
    section.read("access", &mut log.access, |item| match item.text()? {
        "off" => Some(AccessLog::Off),
        "sessions" => Some(AccessLog::Sessions),
        "all" => Some(AccessLog::All),
        _ => {
            let fix = "write \"off\", \"sessions\", or \"all\" for plain requests too";
            item.spot.fault("does not say whose coming and going is logged", fix);
            None
        }
    });
    section.default("redact", format!("{REDACTED_NAMES:?}"));
    section.read("redact", &mut log.redaction, read_redaction);
    section.close();
    log
}

fn read_redaction(item: &Item<'_>) -> Option<Redaction> {
    let items = item.list()?;
    let fix = "name query parameters: [\"token\", \"key\"]; [] where nothing is secret";
    let names: Vec<&str> = items
        .iter()
        .filter_map(|item| {
            let name = item.text()?;
            if !name.contains(char::is_alphanumeric) {
                item.spot.fault("is the name of no query parameter", fix);
            }
            Some(name)
        })
        .collect();
    (names.len() == items.len()).then(|| Redaction::new(names))
}

fn check_current_release(releases: &Releases, servers: &ReadServers<'_>, spot: &tree::Spot<'_>) {
    let is_current = |server: &super::ServerConfig| server.release == releases.current;
    if servers.are_whole && !servers.configs.iter().any(is_current) {
        let fix = "give a server that release, or name another one: until then no new board can be placed";
        spot.warning("is the release of no server", fix);
    }
}

/// Reads a string that is not empty.
fn non_empty<'f>(item: &Item<'f>, fix: &str) -> Option<&'f str> {
    let text = item.text()?;
    if text.is_empty() {
        item.spot.fault("is empty", fix);
    }
    (!text.is_empty()).then_some(text)
}

/// Whoever waits longer for a shutdown has forgotten it.
const SHUTDOWN_GRACE_MAX: Duration = Duration::from_hours(1);
