//! Reads how a server of `[[servers]]` is checked over TLS, and the files that it names.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::ServerName;

use super::non_empty;
use super::server::is_readable_by_all;
use super::tls::{tell, warn_of_end};
use super::tree::{Item, Section};
use crate::config::{CertificateFiles, ServerTlsConfig};
use crate::tls::{SystemRoots, Trust, TrustFault};

/// The keys of one server that are about TLS, as they stand there.
pub(super) struct TlsKeys<'f> {
    ca_file: Option<Item<'f>>,
    server_name: Option<Item<'f>>,
    certificate: Option<Item<'f>>,
    key: Option<Item<'f>>,
}

impl<'f> TlsKeys<'f> {
    pub(super) fn take(section: &mut Section<'f>) -> Self {
        Self {
            ca_file: section.take("ca_file"),
            server_name: section.take("server_name"),
            certificate: section.take("client_certificate_file"),
            key: section.take("client_key_file"),
        }
    }

    /// Reads the files. `asking` is a URL of the server that asks for TLS, where one does.
    pub(super) fn read(self, asking: Option<&Item<'f>>, folder: &Path, system: &SystemRoots) -> Option<Arc<Trust>> {
        let given = [&self.ca_file, &self.server_name, &self.certificate, &self.key];
        let first = given.into_iter().flatten().next();
        if let (Some(item), None) = (first, asking) {
            let fix = "write https:// in url or control_url, or remove it";
            item.spot
                .warning("is used by no URL: the server is reached without TLS", fix);
        }
        let shown = asking.or(first)?;
        let client = match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => Some(CertificateFiles {
                certificate: path(certificate, folder)?,
                key: path(key, folder)?,
            }),
            (Some(alone), None) => {
                let fix = "add client_key_file with its private key; both may stand in one file";
                alone.spot.fault("has no key", fix);
                return None;
            }
            (None, Some(alone)) => {
                let fix = "add client_certificate_file with the certificate that it is for, or remove it";
                alone.spot.fault("is the key of no certificate", fix);
                return None;
            }
            (None, None) => None,
        };
        let config = ServerTlsConfig {
            ca_file: match &self.ca_file {
                Some(item) => Some(path(item, folder)?),
                None => None,
            },
            server_name: match &self.server_name {
                Some(item) => Some(read_name(item)?),
                None => None,
            },
            client,
        };
        match Trust::load(config, system) {
            Ok(trust) => {
                self.look_at(&trust);
                Some(Arc::new(trust))
            }
            Err(fault) => {
                self.tell(&fault, shown);
                None
            }
        }
    }

    /// Warns of what can be used and soon cannot, or should not be.
    fn look_at(&self, trust: &Trust) {
        if let (Some(item), Some(validity)) = (&self.ca_file, trust.authority()) {
            let fix =
                "name the authority's new certificate, and keep the old one in the file as long as servers show it";
            warn_of_end(item, validity, fix);
        }
        if let (Some(item), Some(shown)) = (&self.certificate, trust.shown()) {
            warn_of_end(
                item,
                shown.validity,
                "renew it; servers that check it refuse the connection",
            );
        }
        let files = trust.config().client.as_ref();
        if let (Some(item), Some(files)) = (&self.key, files)
            && is_readable_by_all(&files.key)
        {
            let fix = format!("chmod o-rwx {}", files.key.display());
            item.spot
                .warning("names a file that everybody on this machine can read", fix);
        }
    }

    fn tell(&self, fault: &TrustFault, asking: &Item<'f>) {
        match fault {
            TrustFault::Authorities(_) => {
                let spot = self.ca_file.as_ref().map_or(&asking.spot, |item| &item.spot);
                let fix = "name a PEM file with the certificates of whom to believe, readable by the gateway's user";
                spot.fault(format!("cannot be used: {fault}"), fix);
            }
            TrustFault::NoSystemRoots { .. } => {
                let fix = "name the authority's certificate in ca_file, or install the system's (ca-certificates)";
                asking.spot.fault(format!("cannot be checked: {fault}"), fix);
            }
            TrustFault::Client(fault) => {
                if let (Some(certificate), Some(key)) = (&self.certificate, &self.key) {
                    tell(fault, certificate, key);
                }
            }
            TrustFault::Unusable(_) => {
                asking.spot.fault(
                    fault.to_string(),
                    "compare the files with those that the server accepts",
                );
            }
        }
    }
}

fn read_name(item: &Item<'_>) -> Option<Arc<str>> {
    let fix = "write the name that the server's certificate is for, as in \"board-1.internal\"; no scheme and no port";
    let name = non_empty(item, fix)?;
    if ServerName::try_from(name).is_err() {
        item.spot.fault("is neither a host name nor an address", fix);
        return None;
    }
    Some(name.into())
}

fn path(item: &Item<'_>, folder: &Path) -> Option<PathBuf> {
    Some(folder.join(non_empty(item, "name a PEM file")?))
}
