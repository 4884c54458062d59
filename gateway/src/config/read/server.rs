//! Reads `[[servers]]`.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::path::Path;

use super::non_empty;
use super::server_tls::TlsKeys;
use super::tree::{Item, Section};
use crate::config::{Allotment, Control, ControlToken, Listen, ServerConfig, ServerUrl};
use crate::tls::SystemRoots;

/// The servers, and what other sections must know of them.
pub(super) struct ReadServers<'f> {
    /// Those that could be read.
    pub(super) configs: Vec<ServerConfig>,
    /// Whether that is all of them.
    pub(super) are_whole: bool,
    /// The key of a server that is opaque.
    pub(super) opaque: Option<String>,
    seen: Seen<'f>,
}

/// What must be unique, with the key that has it.
#[derive(Default)]
struct Seen<'f> {
    names: HashMap<&'f str, String>,
    urls: HashMap<ServerUrl, String>,
    control_urls: HashMap<ServerUrl, String>,
}

pub(super) fn read_servers<'f>(root: &mut Section<'f>, listen: Option<&Listen>, folder: &Path) -> ReadServers<'f> {
    let system = SystemRoots::default();
    let sections = root.sections("servers", "name, url and release of a board server");
    let mut servers = ReadServers {
        configs: Vec::new(),
        are_whole: true,
        opaque: None,
        seen: Seen::default(),
    };
    for section in sections {
        let config = read_server(section, &mut servers, listen, folder, &system);
        servers.are_whole &= config.is_some();
        servers.configs.extend(config);
    }
    servers
}

fn read_server<'f>(
    mut section: Section<'f>,
    servers: &mut ReadServers<'f>,
    listen: Option<&Listen>,
    folder: &Path,
    system: &SystemRoots,
) -> Option<ServerConfig> {
    let key = section.spot.key().to_owned();
    let name = section.require("name", "\"board-1\"");
    let url = section.require("url", "\"http://127.0.0.1:9001\"");
    let control_url = section.take("control_url");
    let token_file = section.take("control_token_file");
    let tls_keys = TlsKeys::take(&mut section);
    let release = section.require("release", "\"2026-11-20\"");
    let allotment = read_allotment(&mut section);
    section.close();
    if control_url.is_none() && servers.opaque.is_none() {
        servers.opaque = Some(key);
    }

    let release = release.and_then(|item| item.parsed("name it with letters, digits and . _ : -"));
    let name = name.and_then(|item| {
        note_once(
            &mut servers.seen.names,
            item.text()?,
            &item,
            "give each server a name of its own",
        );
        item.parsed("name it with letters, digits and . _ : -")
    });
    let is_tls = |url: &str| url.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:"));
    let asks_for_tls = |item: &&Item<'_>| item.peek().is_some_and(is_tls);
    let asking = [&url, &control_url].into_iter().flatten().find(asks_for_tls);
    let asking = asking.cloned();
    let tls = tls_keys.read(asking.as_ref(), folder, system);
    let url = url.and_then(|item| {
        let url = read_url(&item)?;
        let fix = "name each process once: its boards would be counted and placed as two servers'";
        note_once(&mut servers.seen.urls, url.clone(), &item, fix);
        check_not_ours(&url, &item, listen);
        Some(url)
    });
    let token = token_file.as_ref().map(|item| read_token(item, folder));
    let control = match (control_url, token) {
        (Some(item), token) => {
            let control = read_control(&item, token);
            if let Some(control) = &control {
                let fix = "give each server the control URL of its own process";
                note_once(&mut servers.seen.control_urls, control.url.clone(), &item, fix);
            }
            Some(control?)
        }
        (None, Some(_)) => {
            let fix = "add control_url, or remove this: a server without control_url is opaque and takes no calls";
            token_file?.spot.fault("is for no control URL", fix);
            None
        }
        (None, None) => None,
    };
    Some(ServerConfig {
        name: name?,
        url: url?,
        control,
        tls,
        release: release?,
        allotment,
    })
}

fn read_allotment(section: &mut Section<'_>) -> Allotment {
    let mut allotment = Allotment::default();
    section.read("weight", &mut allotment.weight, |item| {
        u32::try_from(item.number(0..=Allotment::WEIGHT_MAX.into())?).ok()
    });
    section.read("capacity", &mut allotment.capacity, |item| {
        item.number(1..=Allotment::CAPACITY_MAX).map(Some)
    });
    section.read("labels", &mut allotment.labels, read_labels);
    allotment
}

fn read_labels(item: &Item<'_>) -> Option<BTreeMap<String, String>> {
    let entries = item.section("write labels = { zone = \"a\" }")?.entries();
    if entries.len() > Allotment::LABELS_MAX {
        let fix = format!("keep {} at most", Allotment::LABELS_MAX);
        item.spot.fault("has too many labels", fix);
        return None;
    }
    let read = |(name, item): (String, Item<'_>)| {
        let value = item.text()?;
        let is_long = name.len() > Allotment::LABEL_NAME_BYTES_MAX || value.len() > Allotment::LABEL_BYTES_MAX;
        if is_long || name.is_empty() {
            let (name_max, value_max) = (Allotment::LABEL_NAME_BYTES_MAX, Allotment::LABEL_BYTES_MAX);
            let fix = format!("name it by 1 to {name_max} bytes, and say at most {value_max} bytes");
            item.spot.fault("is too long, or has no name", fix);
            return None;
        }
        Some((name, value.to_owned()))
    };
    entries.into_iter().map(read).collect()
}

/// Reads a server's URL.
fn read_url(item: &Item<'_>) -> Option<ServerUrl> {
    let text = item.text()?;
    if text.contains('@') {
        item.spot.hide();
    }
    item.parsed("write http://host:port or https://host:port, and nothing behind it")
}

/// Reads a control URL with its token. The outer option of the token says whether a file was named.
fn read_control(item: &Item<'_>, token: Option<Option<ControlToken>>) -> Option<Control> {
    let url = read_url(item)?;
    if !url.is_loopback() {
        match token {
            Some(_) if url.is_tls() => {}
            None => {
                let fix = "add control_token_file = \"…\", and give the server the same token";
                item.spot.fault(
                    "leaves this machine without a token: anybody could freeze boards there",
                    fix,
                );
            }
            Some(_) => {
                let fix = "write https://, or use it only within a network you trust: the token can be read on the way";
                item.spot.warning("is neither loopback nor TLS", fix);
            }
        }
    }
    Some(Control {
        url,
        token: match token {
            Some(token) => Some(token?),
            None => None,
        },
    })
}

pub(super) fn read_token(item: &Item<'_>, folder: &Path) -> Option<ControlToken> {
    let path = folder.join(non_empty(item, "name a file that holds the token, and nothing else")?);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) => {
            let fix = "create it, readable by the gateway's user: openssl rand -hex 32 > the file";
            item.spot
                .fault(format!("cannot be read: {}: {error}", path.display()), fix);
            return None;
        }
    };
    let token: ControlToken = match text.parse() {
        Ok(token) => token,
        Err(error) => {
            let fix = "put the token on one line and nothing else: openssl rand -hex 32 > the file";
            item.spot.fault(format!("names a file that {error}"), fix);
            return None;
        }
    };
    if token.reveal().len() < TOKEN_BYTES_MIN {
        let problem = format!("names a token of less than {TOKEN_BYTES_MIN} bytes, which can be guessed");
        item.spot.warning(problem, "make a new one: openssl rand -hex 32");
    }
    if is_readable_by_all(&path) {
        let fix = format!("chmod o-rwx {}", path.display());
        item.spot
            .warning("names a file that everybody on this machine can read", fix);
    }
    Some(token)
}

/// Refuses the gateway's own listeners as servers: a request would go round until the sockets are used up.
fn check_not_ours(url: &ServerUrl, item: &Item<'_>, listen: Option<&Listen>) {
    let Some(listen) = listen else { return };
    let address = url.host().parse::<IpAddr>().ok();
    let is_same = |ours: std::net::SocketAddr| {
        let same_host = address == Some(ours.ip()) || (url.is_loopback() && ours.ip().is_unspecified());
        same_host && url.port() == ours.port()
    };
    if listen.addresses().any(is_same) {
        item.spot.fault(
            "is an address of the gateway itself",
            "write the address of the board server",
        );
    }
}

/// Adds a fault where something that must be unique was there before.
fn note_once<T: Eq + std::hash::Hash>(seen: &mut HashMap<T, String>, value: T, item: &Item<'_>, fix: &str) {
    if let Some(earlier) = seen.get(&value) {
        item.spot.fault(format!("is the same as {earlier}"), fix);
    } else {
        seen.insert(value, item.spot.key().to_owned());
    }
}

#[cfg(unix)]
pub(super) fn is_readable_by_all(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|data| data.permissions().mode() & 0o004 != 0)
}

#[cfg(not(unix))]
pub(super) fn is_readable_by_all(_path: &Path) -> bool {
    false
}

/// 128 bits as text in base64 or more.
const TOKEN_BYTES_MIN: usize = 16;
