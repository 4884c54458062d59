//! The certificates that clients are shown, chosen by the name that they ask for, and exchanged while they connect.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::certificate::{Certificate, CertificateFault};
use crate::config::{TlsConfig, UnknownNames};

/// All certificates; one look-up without a lock a handshake.
#[derive(Debug)]
pub struct Certificates {
    table: ArcSwap<Table>,
}

/// What one reading of the files has brought.
#[derive(Debug)]
struct Table {
    config: TlsConfig,
    certificates: Vec<Certificate>,
    /// The place of the first certificate for a name; a wildcard stands without its `*`.
    by_name: HashMap<String, usize>,
}

impl Certificates {
    /// Reads every certificate.
    ///
    /// # Errors
    /// When there is none, or one of them cannot be used.
    pub fn load(config: &TlsConfig) -> Result<Arc<Self>, CertificatesError> {
        Ok(Arc::new(Self {
            table: ArcSwap::from_pointee(Table::load(config)?),
        }))
    }

    /// Takes other files in the place of those that there were.
    ///
    /// # Errors
    /// When one of them cannot be used: all stays as it was.
    pub fn replace(&self, config: &TlsConfig) -> Result<(), CertificatesError> {
        self.table.store(Arc::new(Table::load(config)?));
        Ok(())
    }

    /// Returns what is shown now, in the order of the configuration.
    pub fn list(&self) -> Vec<Certificate> {
        self.table.load().certificates.clone()
    }
}

impl Table {
    fn load(config: &TlsConfig) -> Result<Self, CertificatesError> {
        let mut certificates = Vec::new();
        let mut by_name = HashMap::new();
        for (index, files) in config.certificates.iter().enumerate() {
            let certificate = Certificate::load(files).map_err(|fault| CertificatesError::Unusable { index, fault })?;
            for name in &certificate.names {
                by_name
                    .entry(name.strip_prefix('*').unwrap_or(name).to_owned())
                    .or_insert(index);
            }
            certificates.push(certificate);
        }
        if certificates.is_empty() {
            return Err(CertificatesError::None);
        }
        Ok(Self {
            config: config.clone(),
            certificates,
            by_name,
        })
    }

    /// Finds the certificate for a name; one that names it stands before a wildcard (RFC 6125 section 6.4.4).
    fn choose(&self, name: Option<&str>) -> Option<&Certificate> {
        let Some(name) = name else {
            return self.certificates.first();
        };
        let name = name.to_ascii_lowercase();
        let wildcard = name.find('.').map(|dot| &name[dot..]);
        let found = self.by_name.get(&name);
        let found = found.or_else(|| wildcard.and_then(|wildcard| self.by_name.get(wildcard)));
        match (found, self.config.unknown_names) {
            (Some(index), _) => self.certificates.get(*index),
            (None, UnknownNames::First) => self.certificates.first(),
            (None, UnknownNames::Refuse) => None,
        }
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let table = self.table.load();
        table
            .choose(hello.server_name())
            .map(|certificate| Arc::clone(&certificate.key))
    }
}

/// Says why certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificatesError {
    /// There is none.
    #[error("no certificate is named; add [[tls.certificates]] with certificate_file and key_file")]
    None,
    /// One of them is wrong.
    #[error("tls.certificates[{index}] cannot be used: {fault}")]
    Unusable {
        /// Its place in the configuration.
        index: usize,
        /// What is wrong with it.
        #[source]
        fault: CertificateFault,
    },
}
