//! Reads `[admin]`, `[admin.tls]`, `[[admin.tokens]]` and `[[admin.client_certificates]]`.

use std::path::{Path, PathBuf};

use super::server::read_token;
use super::tls::{path, read_certificate};
use super::tree::{Item, Section, Spot};
use crate::config::admin::digest_of;
use crate::config::{AdminCertificate, AdminConfig, AdminTls, AdminToken, CertificateFiles, Scope};
use crate::tls::{OperatorsFault, OperatorsFiles};

/// Reads who may use the admin API.
pub(super) fn read_admin(mut section: Section<'_>, folder: &Path) -> AdminConfig {
    let mut admin = AdminConfig::default();
    section.flag("metrics_open", &mut admin.metrics_open);
    let sections = section.optional_sections("tokens", "name, token_file and scope");
    read_operators(&mut section, &mut admin, folder);
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

/// Reads TLS, and whose client certificates count.
fn read_operators(section: &mut Section<'_>, admin: &mut AdminConfig, folder: &Path) {
    let is_tls = section.has("tls");
    let mut tls = section.section("tls");
    let client_ca_spot = tls.spot_of("client_ca_file");
    let client_ca = tls.take("client_ca_file");
    let has_client_ca = client_ca.is_some();
    if is_tls {
        let files = read_certificate(&mut tls, folder);
        let client_ca = client_ca.map(|item| (path(&item, folder), item));
        if let Some(files) = files {
            let spot = section.spot_of("tls");
            admin.tls = read_tls(files, client_ca, &spot);
        }
    } else {
        tls.take("certificate_file");
        tls.take("key_file");
    }
    tls.close();
    let spot = section.spot_of("client_certificates");
    let entries = section.optional_sections("client_certificates", "name and scope");
    let is_anybody_named = !entries.is_empty();
    for entry in entries {
        let key = entry.spot.key().to_owned();
        let spot = entry.spot.clone();
        let Some(entry) = read_client_certificate(entry) else {
            continue;
        };
        if admin.client_certificates.iter().any(|other| other.name == entry.name) {
            spot.fault(
                format!("has the name of an entry before {key}"),
                "leave one of them: it says what the name may do",
            );
        }
        admin.client_certificates.push(entry);
    }
    if is_anybody_named && !has_client_ca {
        let fix = "add [admin.tls] with certificate_file, key_file and client_ca_file, the CA that has issued them";
        spot.fault(
            "names certificates, and admin.tls.client_ca_file names nobody who issues them",
            fix,
        );
    }
    if has_client_ca && !is_anybody_named {
        let fix = "add [[admin.client_certificates]] with the name in a certificate and its scope, or remove the CA";
        client_ca_spot.fault(
            "believes certificates, and [[admin.client_certificates]] lets nobody do anything",
            fix,
        );
    }
}

fn read_tls(
    files: CertificateFiles,
    client_ca: Option<(Option<PathBuf>, Item<'_>)>,
    spot: &Spot<'_>,
) -> Option<AdminTls> {
    let (client_ca, item) = match client_ca {
        Some((path, item)) => (Some(path?), Some(item)),
        None => (None, None),
    };
    let tls = AdminTls { files, client_ca };
    match (OperatorsFiles::load(&tls), item) {
        (Ok(_), _) => Some(tls),
        (Err(fault @ OperatorsFault::Authority { .. }), Some(item)) => {
            let fix = "name a PEM file with the CA's certificate, readable by the gateway's user";
            item.spot.fault(format!("cannot be used: {fault}"), fix);
            None
        }
        // Without a fault the API would be served without TLS. Files can change behind their first reading.
        (Err(fault), _) => {
            spot.fault(format!("cannot be used: {fault}"), "mend its files");
            None
        }
    }
}

fn read_client_certificate(mut section: Section<'_>) -> Option<AdminCertificate> {
    let name = section.require("name", "\"release-pipeline\"");
    let scope = section.require("scope", "\"operate\"");
    section.close();
    let fix = "write a name of the certificate: its common name, a DNS name, an e-mail address or a URI";
    let name = name.and_then(|item| super::non_empty(&item, fix));
    let scope = scope.and_then(|item| read_scope(&item));
    Some(AdminCertificate {
        name: name?.into(),
        scope: scope?,
    })
}

fn read_scope(item: &Item<'_>) -> Option<Scope> {
    Some(match item.choice(&["read", "operate", "admin"])? {
        "admin" => Scope::Admin,
        "operate" => Scope::Operate,
        _ => Scope::Read,
    })
}

fn read_entry<'f>(mut section: Section<'f>, folder: &Path) -> Option<(AdminToken, Spot<'f>)> {
    let spot = section.spot.clone();
    let name = section.require("name", "\"release-pipeline\"");
    let scope = section.require("scope", "\"operate\"");
    let file = section.take("token_file");
    let sha256 = section.take("sha256");
    section.close();
    let name = name.and_then(|item| super::non_empty(&item, "name who holds it"));
    let scope = scope.and_then(|item| read_scope(&item));
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
