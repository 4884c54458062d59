//! The certificate that every peer shows, and clients that believe it.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

/// A certificate for `localhost` that signs itself, ECDSA on P-256.
#[derive(Debug)]
pub struct Certificate {
    certificate: String,
    key: String,
    der: CertificateDer<'static>,
}

/// How often a client shakes hands anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handshakes {
    /// In full, each time.
    Full,
    /// By the ticket of the last time.
    Resumed,
}

impl Certificate {
    /// Makes a new one.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn make() -> io::Result<Self> {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).map_err(io::Error::other)?;
        Ok(Self {
            certificate: made.cert.pem(),
            key: made.signing_key.serialize_pem(),
            der: made.cert.der().clone(),
        })
    }

    /// Writes it, its key, and both as one file.
    ///
    /// # Errors
    /// When the folder cannot be written to.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        fs::write(folder.join("certificate.pem"), &self.certificate)?;
        fs::write(folder.join("key.pem"), &self.key)?;
        fs::write(folder.join("both.pem"), format!("{}{}", self.certificate, self.key))
    }

    /// Configures clients that believe it.
    ///
    /// # Errors
    /// When rustls does not take it.
    pub fn client(&self, handshakes: Handshakes) -> io::Result<Arc<ClientConfig>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).map_err(io::Error::other)?;
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.resumption = match handshakes {
            Handshakes::Full => Resumption::disabled(),
            Handshakes::Resumed => Resumption::in_memory_sessions(64),
        };
        Ok(Arc::new(config))
    }
}
