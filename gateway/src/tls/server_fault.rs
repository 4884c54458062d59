//! What went wrong with TLS to a server: which check failed, and which key mends it.

use std::error::Error;
use std::io;

use rustls::{AlertDescription, CertificateError};

use crate::telemetry::label::ServerTlsOutcome;

/// Says why there is no TLS with a server; nothing was sent to it that it could have acted upon.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServerTlsFault {
    /// The handshake did not end in time.
    #[error("the TLS handshake with the server did not end in time")]
    Timeout,
    /// The certificate is another host's.
    #[error(
        "the server's certificate is for {presented}, not for {expected}; set server_name to a name that it is for, or renew it for this one"
    )]
    Name {
        /// The name that was checked.
        expected: String,
        /// The names that the certificate has.
        presented: String,
    },
    /// Nobody who is believed has signed it.
    #[error(
        "the server's certificate is signed by nobody who is believed; name its authority's certificate in ca_file"
    )]
    Authority,
    /// It has ended.
    #[error("the server's certificate has expired; renew it at the server")]
    Expired,
    /// It has not begun.
    #[error("the server's certificate does not hold yet; compare the clocks of the two machines")]
    NotYet,
    /// Something else is wrong with it.
    #[error("the server's certificate cannot be believed: {0}")]
    Certificate(String),
    /// The server wants to see a certificate and was shown none.
    #[error("the server demands a client certificate; set client_certificate_file and client_key_file")]
    Demanded,
    /// The server does not accept what it was shown.
    #[error(
        "the server refused what it was shown ({0}); compare client_certificate_file with whom the server believes"
    )]
    Refused(String),
    /// The server has ended the handshake, and not, or not certainly, over what it was shown.
    #[error("the server ended the TLS handshake (alert {0:?}){advice}", advice = advice(*.0))]
    Ended(AlertDescription),
    /// What came back is no TLS.
    #[error("the server does not speak TLS as we do ({0}); is its url http:// or its port another one?")]
    Protocol(String),
    /// It is TLS, and none that both sides speak.
    #[error("the server's TLS does not suit ours: {0}")]
    Unsuited(String),
    /// The connection broke.
    #[error("the connection broke in the TLS handshake: {0}")]
    Broken(String),
}

impl ServerTlsFault {
    /// Reads what a failed handshake says; `expected` is the name that was checked.
    pub(super) fn of_handshake(error: &io::Error, expected: &str) -> Self {
        let Some(inner) = tls_error(error) else {
            return Self::Broken(error.to_string());
        };
        if let rustls::Error::InvalidCertificate(fault) = inner {
            return Self::of_certificate(fault, expected);
        }
        if let rustls::Error::AlertReceived(alert) = inner {
            return Self::of_alert(*alert);
        }
        if let rustls::Error::InvalidMessage(_) | rustls::Error::InappropriateMessage { .. } = inner {
            return Self::Protocol(inner.to_string());
        }
        Self::Unsuited(inner.to_string())
    }

    /// Finds an alert of the server about what it was shown, among the causes of an error.
    ///
    /// With TLS 1.3 the server looks at the client's certificate when the handshake is over for the client, so its refusal
    /// arrives in the place of the answer to the first request, which it has not read.
    pub fn of_answer(error: &(dyn Error + 'static)) -> Option<Self> {
        let mut cause = Some(error);
        while let Some(error) = cause {
            let inner = error.downcast_ref::<io::Error>().and_then(tls_error);
            if let Some(rustls::Error::AlertReceived(alert)) = inner {
                return is_about_certificates(*alert).then(|| Self::of_alert(*alert));
            }
            cause = error.source();
        }
        None
    }

    /// Reads whether somebody is there who only is not believed, or does not believe: no proof that a process is gone.
    pub fn proves_presence(&self) -> bool {
        match self {
            Self::Name { .. }
            | Self::Authority
            | Self::Expired
            | Self::NotYet
            | Self::Certificate(_)
            | Self::Demanded
            | Self::Refused(_)
            | Self::Ended(_) => true,
            Self::Timeout | Self::Protocol(_) | Self::Unsuited(_) | Self::Broken(_) => false,
        }
    }

    /// Returns what it counts as.
    pub fn outcome(&self) -> ServerTlsOutcome {
        match self {
            Self::Timeout => ServerTlsOutcome::Timeout,
            Self::Name { .. } => ServerTlsOutcome::Name,
            Self::Authority => ServerTlsOutcome::Authority,
            Self::Expired | Self::NotYet => ServerTlsOutcome::Expired,
            Self::Certificate(_) => ServerTlsOutcome::Certificate,
            Self::Demanded | Self::Refused(_) | Self::Ended(_) => ServerTlsOutcome::Refused,
            Self::Protocol(_) | Self::Unsuited(_) => ServerTlsOutcome::Protocol,
            Self::Broken(_) => ServerTlsOutcome::Broken,
        }
    }

    fn of_certificate(fault: &CertificateError, expected: &str) -> Self {
        let name = |presented: &[String]| Self::Name {
            expected: expected.to_owned(),
            presented: match presented {
                [] => "no host (it has no subjectAltName)".to_owned(),
                names => names.iter().map(|name| plain_name(name)).collect::<Vec<_>>().join(", "),
            },
        };
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "it is rustls's, and others may be added to it"
        )]
        match fault {
            CertificateError::NotValidForNameContext { presented, .. } => name(presented),
            CertificateError::NotValidForName => name(&[]),
            CertificateError::UnknownIssuer => Self::Authority,
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Self::NotYet,
            // What `openssl req -x509` makes unless it is told otherwise.
            CertificateError::Other(other) if format!("{other:?}").contains("CaUsedAsEndEntity") => Self::Certificate(
                "it is an authority's; make one for the server itself (openssl: -addext basicConstraints=CA:FALSE)"
                    .to_owned(),
            ),
            other => Self::Certificate(other.to_string()),
        }
    }

    fn of_alert(alert: AlertDescription) -> Self {
        let is_demand = matches!(
            alert,
            AlertDescription::CertificateRequired | AlertDescription::NoCertificate
        );
        if is_demand {
            Self::Demanded
        } else if is_about_certificates(alert) && alert != AlertDescription::HandshakeFailure {
            Self::Refused(format!("alert {alert:?}"))
        } else {
            Self::Ended(alert)
        }
    }
}

/// Returns the way out of an alert that has one, to stand behind what is wrong.
fn advice(alert: AlertDescription) -> &'static str {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "it is rustls's, and what its other alerts are about only the server knows"
    )]
    match alert {
        AlertDescription::HandshakeFailure => {
            "; it demands a client certificate (client_certificate_file), or shares no cipher suite with us"
        }
        AlertDescription::ProtocolVersion => "; have it offer TLS 1.2 or 1.3",
        AlertDescription::InsufficientSecurity => "; have it offer a cipher suite of TLS 1.3, or ECDHE with AES-GCM",
        AlertDescription::UnrecognisedName => {
            "; it has no certificate for the name that it was asked for: set server_name to one that it has"
        }
        AlertDescription::NoApplicationProtocol => "; have it take http/1.1 (ALPN)",
        _ => "; its own log says why",
    }
}

/// Reads whether a server says so of what it was shown. TLS 1.2 has no alert for a certificate that is missing: servers
/// say `handshake_failure` then, in the handshake itself.
fn is_about_certificates(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::CertificateRequired
            | AlertDescription::NoCertificate
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            | AlertDescription::DecryptError
            | AlertDescription::HandshakeFailure
    )
}

fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// Takes the kind away that webpki writes around a name: `DnsName("board.test")`.
fn plain_name(name: &str) -> String {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    inner.unwrap_or(name).trim_matches('"').to_owned()
}
