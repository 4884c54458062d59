//! A server as it is named through the admin API, held to the rules of the configuration file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use handover_protocol::ServerName;
use handover_protocol::admin::ServerRequest;

use super::{Allotment, CertificateFiles, Control, ControlToken, ServerConfig, ServerTlsConfig, ServerUrl};
use crate::tls::{CertificateFault, SystemRoots, Trust, TrustFault};

/// Says what of a server's naming cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct NamedFault {
    /// The field at fault.
    pub field: &'static str,
    /// What is wrong with it, and the way out.
    pub problem: String,
}

impl ServerConfig {
    /// Reads how a server is named, and the files that are named with it.
    ///
    /// # Errors
    /// At the first thing that is wrong.
    pub fn named(name: ServerName, request: &ServerRequest, system: &SystemRoots) -> Result<Self, NamedFault> {
        let url = url(&request.url, "url")?;
        let control = control(request)?;
        let is_tls = url.is_tls() || control.as_ref().is_some_and(|control| control.url.is_tls());
        Ok(Self {
            name,
            tls: tls(request, is_tls, system)?,
            url,
            control,
            release: request.release.clone(),
            allotment: allotment(request)?,
        })
    }
}

fn url(text: &str, field: &'static str) -> Result<ServerUrl, NamedFault> {
    text.parse().map_err(|error| {
        fault(
            field,
            format!("{error}; write http://host:port or https://host:port, and nothing behind it"),
        )
    })
}

fn control(request: &ServerRequest) -> Result<Option<Control>, NamedFault> {
    let file = request.control_token_file.as_deref();
    let Some(text) = &request.control_url else {
        return match file {
            Some(_) => Err(fault("control_token_file", "is for no control URL; add control_url")),
            None => Ok(None),
        };
    };
    let url = url(text, "control_url")?;
    let token = file.map(token).transpose()?;
    if !url.is_loopback() && token.is_none() {
        let problem = "leaves this machine without a token; add control_token_file, and give the server the same token";
        return Err(fault("control_url", problem));
    }
    Ok(Some(Control { url, token }))
}

/// Reads how it is checked over TLS.
fn tls(request: &ServerRequest, is_tls: bool, system: &SystemRoots) -> Result<Option<Arc<Trust>>, NamedFault> {
    let ca_file = file(request.ca_file.as_deref(), "ca_file")?;
    let certificate = file(request.client_certificate_file.as_deref(), CLIENT_CERTIFICATE)?;
    let key = file(request.client_key_file.as_deref(), CLIENT_KEY)?;
    let client = match (certificate, key) {
        (Some(certificate), Some(key)) => Some(CertificateFiles { certificate, key }),
        (Some(_), None) => return Err(fault(CLIENT_CERTIFICATE, "has no key; add client_key_file")),
        (None, Some(_)) => {
            let problem = "is the key of no certificate; add client_certificate_file";
            return Err(fault(CLIENT_KEY, problem));
        }
        (None, None) => None,
    };
    let server_name = request.server_name.as_deref();
    if server_name.is_some_and(|name| rustls::pki_types::ServerName::try_from(name).is_err()) {
        let problem = "is neither a host name nor an address; write no scheme and no port";
        return Err(fault("server_name", problem));
    }
    let config = ServerTlsConfig {
        ca_file,
        server_name: server_name.map(Into::into),
        client,
    };
    if !is_tls {
        if config != ServerTlsConfig::default() {
            let problem = "is not https, and how to check it over TLS is said; write https://, or leave that out";
            return Err(fault("url", problem));
        }
        return Ok(None);
    }
    Trust::load(config, system)
        .map(|trust| Some(Arc::new(trust)))
        .map_err(|error| {
            let field = match &error {
                TrustFault::Authorities(_) => "ca_file",
                TrustFault::Client(CertificateFault::Certificate { .. }) => CLIENT_CERTIFICATE,
                TrustFault::Client(CertificateFault::Key { .. } | CertificateFault::Mismatch { .. }) => CLIENT_KEY,
                TrustFault::NoSystemRoots { .. } | TrustFault::Unusable(_) => "url",
            };
            let way_out = match &error {
                TrustFault::Authorities(_) | TrustFault::Client(_) => {
                    "name a PEM file that the gateway's user can read"
                }
                TrustFault::NoSystemRoots { .. } => "name the authority's certificate in ca_file",
                TrustFault::Unusable(_) => "compare the files with those that the server accepts",
            };
            fault(field, format!("cannot be used: {error}; {way_out}"))
        })
}

fn file(path: Option<&str>, field: &'static str) -> Result<Option<PathBuf>, NamedFault> {
    let Some(path) = path.map(PathBuf::from) else {
        return Ok(None);
    };
    if !path.is_absolute() {
        return Err(fault(field, "is no absolute path; it is read on the gateway's machine"));
    }
    Ok(Some(path))
}

fn token(file: &str) -> Result<ControlToken, NamedFault> {
    const FIELD: &str = "control_token_file";
    if !Path::new(file).is_absolute() {
        return Err(fault(FIELD, "is no absolute path; it is read on the gateway's machine"));
    }
    let text = std::fs::read_to_string(file).map_err(|error| fault(FIELD, format!("cannot be read: {error}")))?;
    text.parse().map_err(|error| {
        fault(
            FIELD,
            format!("names a file that {error}; put the token on one line and nothing else"),
        )
    })
}

fn allotment(request: &ServerRequest) -> Result<Allotment, NamedFault> {
    if request.weight > Allotment::WEIGHT_MAX {
        let problem = format!("is out of bounds; choose from 0 to {}", Allotment::WEIGHT_MAX);
        return Err(fault("weight", problem));
    }
    if request
        .capacity
        .is_some_and(|capacity| !(1..=Allotment::CAPACITY_MAX).contains(&capacity))
    {
        let problem = format!("is out of bounds; choose from 1 to {}", Allotment::CAPACITY_MAX);
        return Err(fault("capacity", problem));
    }
    let (names, values) = (Allotment::LABEL_NAME_BYTES_MAX, Allotment::LABEL_BYTES_MAX);
    let fits = |(name, value): (&String, &String)| (1..=names).contains(&name.len()) && value.len() <= values;
    if request.labels.len() > Allotment::LABELS_MAX || !request.labels.iter().all(fits) {
        let most = Allotment::LABELS_MAX;
        let problem =
            format!("are more than {most}, or one has no name of 1 to {names} bytes or more than {values} bytes");
        return Err(fault("labels", problem));
    }
    Ok(Allotment {
        weight: request.weight,
        capacity: request.capacity,
        labels: request.labels.clone(),
    })
}

const CLIENT_CERTIFICATE: &str = "client_certificate_file";
const CLIENT_KEY: &str = "client_key_file";

fn fault(field: &'static str, problem: impl Into<String>) -> NamedFault {
    NamedFault {
        field,
        problem: problem.into(),
    }
}
