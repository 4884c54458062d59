//! Reads `[admin]` and `[[admin.tokens]]`.

use std::path::Path;

use super::server::read_token;
use super::tree::{Item, Section};
use crate::config::admin::digest_of;
use crate::config::{AdminConfig, AdminToken, Scope};

/// Reads who may use the admin API.
pub(super) fn read_admin(mut section: Section<'_>, folder: &Path) -> AdminConfig {
    let mut admin = AdminConfig::default();
    section.flag("metrics_open", &mut admin.metrics_open);
    let sections = section.optional_sections("tokens", "name, token_file and scope");
    section.close();
    for section in sections {
        let key = section.spot.key().to_owned();
        let Some((token, spot)) = read_entry(section, folder) else {
            continue;
        };
        let is_same = |other: &&AdminToken| other.name == token.name || other.digest == token.digest;
        if let Some(earlier) = admin.tokens.iter().find(is_same) {
            let what = if earlier.name == token.name { "name" } else { "token" };
            let fix = format!("give each entry a {what} of its own: it says in the log who has changed what");
            spot.fault(format!("has the {what} of an entry before {key}"), fix);
        }
        admin.tokens.push(token);
    }
    admin
}

fn read_entry<'f>(mut section: Section<'f>, folder: &Path) -> Option<(AdminToken, super::tree::Spot<'f>)> {
    let spot = section.spot.clone();
    let name = section.require("name", "\"release-pipeline\"");
    let scope = section.require("scope", "\"operate\"");
    let file = section.take("token_file");
    let sha256 = section.take("sha256");
    section.close();
    let name = name.and_then(|item| super::non_empty(&item, "name who holds it"));
    let scope = scope.and_then(|item| {
        Some(match item.choice(&["read", "operate", "admin"])? {
            "admin" => Scope::Admin,
            "operate" => Scope::Operate,
            _ => Scope::Read,
        })
    });
    let digest = match (file, sha256) {
        (Some(file), None) => read_token(&file, folder).map(|token| digest_of(token.reveal().as_bytes())),
        (None, Some(item)) => read_digest(&item),
        (Some(_), Some(item)) => {
            item.spot
                .fault("is a second source of the token", "leave one of token_file and sha256");
            None
        }
        (None, None) => {
            let fix = "add token_file = \"…\", or sha256 = \"…\" with the token's SHA-256 in hexadecimal digits";
            spot.fault("has no token", fix);
            None
        }
    };
    let token = AdminToken {
        name: name?.into(),
        scope: scope?,
        digest: digest?,
    };
    Some((token, spot))
}

fn read_digest(item: &Item<'_>) -> Option<[u8; 32]> {
    let text = item.text()?;
    let mut digest = [0; 32];
    let is_hex = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_hex {
        let fix = "write what this says: printf %s TOKEN | sha256sum";
        item.spot.fault("is not a SHA-256 in 64 hexadecimal digits", fix);
        return None;
    }
    for (byte, pair) in digest.iter_mut().zip(text.as_bytes().chunks(2)) {
        let pair = std::str::from_utf8(pair).ok()?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(digest)
}
