//! Whom the gateway believes at a server, and what it shows there: read from files, ready for handshakes.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::ring;
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, RootCertStore};

use super::certificate::{Certificate, CertificateFault, Validity, read_chain, validity_of};
use crate::config::ServerTlsConfig;

/// Whom the gateway believes at one server, and what it shows there.
///
/// Each server has one of its own: tickets are kept by the name that was checked, and those of one server are no other's.
pub struct Trust {
    config: ServerTlsConfig,
    /// Until when the authorities of `ca_file` hold, the last of them.
    authority: Option<Validity>,
    shown: Option<Certificate>,
    client: Arc<ClientConfig>,
}

impl Trust {
    /// Reads the files.
    ///
    /// TLS 1.2 and 1.3, HTTP/1.1 only, tickets are taken and used; every certificate is verified.
    ///
    /// # Errors
    /// When one of them cannot be used, or nobody is named and the system trusts nobody.
    pub fn load(config: ServerTlsConfig, system: &SystemRoots) -> Result<Self, TrustFault> {
        let (roots, authority) = match &config.ca_file {
            Some(file) => {
                let (roots, authority) = read_authorities(file)?;
                (roots, Some(authority))
            }
            None => (system.get()?, None),
        };
        let shown = config.client.as_ref().map(Certificate::load_nameless).transpose();
        let shown = shown.map_err(TrustFault::Client)?;
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider)).build();
        let verifier = verifier.map_err(|error| TrustFault::Unusable(error.to_string()))?;
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| TrustFault::Unusable(error.to_string()))?;
        let builder = builder.with_webpki_verifier(verifier);
        let mut client = match &shown {
            Some(certificate) => {
                let resolver = SingleCertAndKey::from(Arc::clone(&certificate.key));
                builder.with_client_cert_resolver(Arc::new(resolver))
            }
            None => builder.with_no_client_auth(),
        };
        client.alpn_protocols = vec![b"http/1.1".to_vec()];
        client.resumption = Resumption::in_memory_sessions(TICKETS_MAX);
        Ok(Self {
            config,
            authority,
            shown,
            client: Arc::new(client),
        })
    }

    /// Returns what the operator has said.
    pub fn config(&self) -> &ServerTlsConfig {
        &self.config
    }

    /// Returns until when the last of the authorities in `ca_file` holds; none where the system's are believed.
    pub fn authority(&self) -> Option<Validity> {
        self.authority
    }

    /// Returns the certificate that the server is shown.
    pub fn shown(&self) -> Option<&Certificate> {
        self.shown.as_ref()
    }

    pub(super) fn client(&self) -> &Arc<ClientConfig> {
        &self.client
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Trust").field(&self.config).finish()
    }
}

/// The certificates that the system trusts, read once when the first server asks for them.
#[derive(Debug, Clone, Default)]
pub struct SystemRoots(Arc<OnceLock<Result<Arc<RootCertStore>, TrustFault>>>);

impl SystemRoots {
    fn get(&self) -> Result<Arc<RootCertStore>, TrustFault> {
        self.0.get_or_init(read_system).clone()
    }
}

fn read_system() -> Result<Arc<RootCertStore>, TrustFault> {
    let read = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Systems carry certificates that no verifier of today takes; what is left out is believed by nobody.
    let (added, _) = roots.add_parsable_certificates(read.certs);
    if added > 0 {
        return Ok(Arc::new(roots));
    }
    let reason = read
        .errors
        .first()
        .map_or_else(String::new, |error| format!(": {error}"));
    Err(TrustFault::NoSystemRoots { reason })
}

fn read_authorities(file: &Path) -> Result<(Arc<RootCertStore>, Validity), TrustFault> {
    let mut roots = RootCertStore::empty();
    let mut last: Option<Validity> = None;
    for certificate in read_chain(file).map_err(TrustFault::Authorities)? {
        let validity = validity_of(&certificate, file).map_err(TrustFault::Authorities)?;
        if last.is_none_or(|last| last.not_after < validity.not_after) {
            last = Some(validity);
        }
        roots.add(certificate).map_err(|error| {
            TrustFault::Authorities(CertificateFault::Certificate {
                file: file.to_owned(),
                reason: format!("holds a certificate that cannot be believed: {error}"),
            })
        })?;
    }
    let last = last.ok_or_else(|| {
        TrustFault::Authorities(CertificateFault::Certificate {
            file: file.to_owned(),
            reason: "holds no certificate".into(),
        })
    })?;
    Ok((Arc::new(roots), last))
}

/// Says why nobody could be believed, or nothing be shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustFault {
    /// The file of the authorities.
    #[error(transparent)]
    Authorities(CertificateFault),
    /// No authorities are named, and the system has none.
    #[error("this system trusts no certificate authority{reason}")]
    NoSystemRoots {
        /// Why, where the system says.
        reason: String,
    },
    /// What the server is to be shown.
    #[error(transparent)]
    Client(CertificateFault),
    /// All of it can be read, and no handshake can be made of it.
    #[error("no handshake can be made of these certificates: {0}")]
    Unusable(String),
}

/// rustls keeps eight for each name; a server has one name, or one for sessions and one for control calls.
const TICKETS_MAX: usize = 16;
