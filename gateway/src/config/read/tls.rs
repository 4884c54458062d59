//! Reads `[tls]`, and the certificates that it names.

use std::path::{Path, PathBuf};

use super::server::is_readable_by_all;
use super::tree::{Item, Section};
use super::{Listen, non_empty};
use crate::config::{CertificateFiles, TlsConfig, UnknownNames};
use crate::tls::{Certificate, CertificateFault, Standing, Validity};

pub(super) fn read_tls(root: &mut Section<'_>, listen: Option<&Listen>, folder: &Path) -> TlsConfig {
    let mut tls = TlsConfig::default();
    let mut section = root.section("tls");
    section.read("unknown_names", &mut tls.unknown_names, |item| match item.text()? {
        "first" => Some(UnknownNames::First),
        "refuse" => Some(UnknownNames::Refuse),
        _ => {
            item.spot
                .fault("is neither \"first\" nor \"refuse\"", "write one of the two");
            None
        }
    });
    let spot = section.spot_of("certificates");
    let sections = if section.has("certificates") {
        section.sections("certificates", "certificate_file and key_file")
    } else {
        Vec::new()
    };
    let is_named = !sections.is_empty();
    tls.certificates = sections
        .into_iter()
        .filter_map(|mut section| {
            let files = read_certificate(&mut section, folder);
            section.close();
            files
        })
        .collect();
    section.close();
    let listens = listen.is_some_and(|listen| !listen.traffic_tls.is_empty());
    if listens && !is_named {
        let fix = "add [[tls.certificates]] and below it certificate_file = \"app.pem\" and key_file = \"app.key\"";
        spot.fault("is empty, and listen.traffic_tls needs a certificate", fix);
    }
    if !listens && is_named && listen.is_some() {
        let fix = "add it, for example: traffic_tls = [\"0.0.0.0:8443\"] below [listen]; or remove the certificates";
        spot.warning("is used by no listener: listen.traffic_tls is empty", fix);
    }
    tls
}

/// Reads the certificate and the key that a section names.
pub(super) fn read_certificate(section: &mut Section<'_>, folder: &Path) -> Option<CertificateFiles> {
    let certificate = section.require("certificate_file", "\"app.pem\"");
    let key = section.require("key_file", "\"app.key\"");
    let (certificate, key) = (certificate?, key?);
    let files = CertificateFiles {
        certificate: path(&certificate, folder)?,
        key: path(&key, folder)?,
    };
    match Certificate::load(&files) {
        Ok(loaded) => {
            let fix = "renew it; clients that check it (all browsers) refuse the connection";
            warn_of_end(&certificate, loaded.validity, fix);
        }
        Err(fault) => {
            tell(&fault, &certificate, &key);
            return None;
        }
    }
    if is_readable_by_all(&files.key) {
        let fix = format!("chmod o-rwx {}", files.key.display());
        key.spot
            .warning("names a file that everybody on this machine can read", fix);
    }
    Some(files)
}

pub(super) fn path(item: &Item<'_>, folder: &Path) -> Option<PathBuf> {
    Some(folder.join(non_empty(item, "name a PEM file")?))
}

/// Warns of a certificate that does not hold today, or soon will not.
pub(super) fn warn_of_end(item: &Item<'_>, validity: Validity, fix: &str) {
    match validity.now() {
        Standing::Holds => {}
        Standing::NotYet => {
            let fix = "name one that holds, or correct this machine's clock";
            item.spot.warning("names a certificate that does not hold yet", fix);
        }
        Standing::EndsSoon(0) => item.spot.warning("names a certificate that ends within a day", fix),
        Standing::EndsSoon(1) => item.spot.warning("names a certificate that ends in 1 day", fix),
        Standing::EndsSoon(days) => {
            item.spot
                .warning(format!("names a certificate that ends in {days} days"), fix);
        }
        Standing::Ended => item.spot.warning("names a certificate that has expired", fix),
    }
}

pub(super) fn tell(fault: &CertificateFault, certificate: &Item<'_>, key: &Item<'_>) {
    match fault {
        CertificateFault::Certificate { .. } => {
            let fix = "name a PEM file with the certificate first and behind it those that lead to its root, readable by the gateway's user";
            certificate.spot.fault(format!("cannot be used: {fault}"), fix);
        }
        CertificateFault::Key { .. } => {
            let fix = "name a PEM file with the private key without a password, readable by the gateway's user";
            key.spot.fault(format!("cannot be used: {fault}"), fix);
        }
        CertificateFault::Mismatch { .. } => {
            let fix = "name the key that the certificate was made for; was only one of the two renewed?";
            key.spot.fault(format!("does not fit: {fault}"), fix);
        }
    }
}
