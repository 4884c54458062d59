//! What the shell shows the gateway, and by what it knows the gateway.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use http::HeaderValue;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

/// Files with what is shown and believed.
#[derive(Debug, Clone, Default, Args)]
pub struct Credentials {
    /// A file with the token that the admin API asks for
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "HANDOVER_TOKEN_FILE",
        help_heading = "Gateway"
    )]
    pub token_file: Option<PathBuf>,
    /// Of https: a PEM file with the authority of the gateway's certificate; the system's without it
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "HANDOVER_CA_FILE",
        help_heading = "Gateway"
    )]
    pub ca_file: Option<PathBuf>,
    /// Of https: a PEM file with the client certificate that the admin API asks for
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "HANDOVER_CLIENT_CERTIFICATE",
        help_heading = "Gateway"
    )]
    pub client_certificate: Option<PathBuf>,
    /// Of https: a PEM file with the key of the client certificate
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "HANDOVER_CLIENT_KEY",
        help_heading = "Gateway"
    )]
    pub client_key: Option<PathBuf>,
}

impl Credentials {
    /// Reads the token; none where none is named.
    ///
    /// # Errors
    /// When the file cannot be read or holds no token.
    pub(super) fn token(&self) -> Result<Option<HeaderValue>, CredentialFault> {
        self.token_file.as_deref().map(read_token).transpose()
    }

    /// Makes what TLS with the gateway needs.
    ///
    /// # Errors
    /// When a file cannot be used, or one of a pair is missing.
    pub(super) fn tls(&self) -> Result<Arc<ClientConfig>, CredentialFault> {
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(CredentialFault::Tls)?
            .with_root_certificates(self.authorities()?);
        let mut config = match (&self.client_certificate, &self.client_key) {
            (Some(certificate), Some(key)) => {
                let read = PrivateKeyDer::from_pem_file(key);
                let read = read.map_err(|error| fault(CLIENT_KEY, key, format!("it holds no private key: {error}")))?;
                let chain = read_certificates(CLIENT_CERTIFICATE, certificate)?;
                let shown = builder.with_client_auth_cert(chain, read);
                shown.map_err(|error| fault(CLIENT_KEY, key, format!("it does not fit the certificate: {error}")))?
            }
            (None, None) => builder.with_no_client_auth(),
            (Some(_), None) => return Err(CredentialFault::Half(CLIENT_CERTIFICATE, CLIENT_KEY)),
            (None, Some(_)) => return Err(CredentialFault::Half(CLIENT_KEY, CLIENT_CERTIFICATE)),
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    fn authorities(&self) -> Result<RootCertStore, CredentialFault> {
        let mut roots = RootCertStore::empty();
        match &self.ca_file {
            Some(file) => {
                for certificate in read_certificates(CA_FILE, file)? {
                    let added = roots.add(certificate);
                    added.map_err(|error| fault(CA_FILE, file, format!("it holds no authority: {error}")))?;
                }
            }
            None => {
                // What cannot be read there is left out; a gateway that needs it is refused with the way out.
                let found = rustls_native_certs::load_native_certs().certs;
                roots.add_parsable_certificates(found);
            }
        }
        Ok(roots)
    }
}

fn read_certificates(option: &'static str, file: &Path) -> Result<Vec<CertificateDer<'static>>, CredentialFault> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(certificates) if certificates.is_empty() => Err(fault(option, file, "it holds no certificate".to_owned())),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(fault(option, file, error.to_string())),
    }
}

fn read_token(file: &Path) -> Result<HeaderValue, CredentialFault> {
    let fault = |problem| fault(TOKEN_FILE, file, problem);
    let text = std::fs::read_to_string(file).map_err(|error| fault(error.to_string()))?;
    let token = text.trim();
    if token.is_empty() {
        return Err(fault("it is empty".to_owned()));
    }
    let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
        .map_err(|_| fault("it holds more than one line of visible letters".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

fn fault(option: &'static str, file: &Path, problem: String) -> CredentialFault {
    CredentialFault::File {
        option,
        file: file.to_owned(),
        problem,
    }
}

/// A file that the command line names is of no use.
#[derive(Debug, thiserror::Error)]
pub enum CredentialFault {
    /// It cannot be read, or holds something else.
    #[error("{option} {}: {problem}", file.display())]
    File {
        /// The option that names it.
        option: &'static str,
        /// Which.
        file: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A certificate without its key, or the other way round.
    #[error("{0} is given without {1}: give both, or none")]
    Half(&'static str, &'static str),
    /// No TLS can be made of them.
    #[error("no TLS can be made of the files: {0}")]
    Tls(rustls::Error),
}

const TOKEN_FILE: &str = "--token-file";
const CA_FILE: &str = "--ca-file";
const CLIENT_CERTIFICATE: &str = "--client-certificate";
const CLIENT_KEY: &str = "--client-key";
