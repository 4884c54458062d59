//! Why TLS with a gateway fails, and what would help.

use std::error::Error;
use std::fmt;

use rustls::{AlertDescription, CertificateError};

/// What is wrong with TLS, as whoever has to mend it needs to hear it.
#[derive(Debug)]
pub struct TlsFault {
    told: String,
}

impl TlsFault {
    /// Looks for what TLS says in an error and its causes; none where it says nothing.
    pub(super) fn in_error(error: &(dyn Error + 'static)) -> Option<Self> {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(fault) = error.downcast_ref::<rustls::Error>() {
                return Some(Self { told: tell(fault) });
            }
            // An I/O error hands out the causes of what it wraps, and not that itself.
            let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
            cause = match wrapped {
                Some(wrapped) => Some(wrapped),
                None => error.source(),
            };
        }
        None
    }
}

impl fmt::Display for TlsFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.told)
    }
}

fn tell(error: &rustls::Error) -> String {
    let shown = "its certificate";
    match error {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            format!("{shown} is of no authority that is known here\n  give --ca-file or HANDOVER_CA_FILE")
        }
        rustls::Error::InvalidCertificate(
            fault @ (CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }),
        ) => format!("{shown} is for another name: {fault}\n  ask in --admin under a name that the certificate has"),
        rustls::Error::InvalidCertificate(
            fault @ (CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. }),
        ) => format!("{shown} does not hold now: {fault}\n  renew the files of [admin.tls], and reload the gateway"),
        rustls::Error::InvalidCertificate(fault) => format!("{shown} cannot be believed: {fault}"),
        rustls::Error::InvalidMessage(_) => "it speaks no TLS there\n  write http:// in --admin".to_owned(),
        rustls::Error::AlertReceived(alert) if is_of_client(*alert) => format!(
            "it does not accept the client certificate ({alert:?})\n  --client-certificate must be of the authority in \
             admin.tls.client_ca_file, issued for TLS clients, and hold today"
        ),
        other => format!("TLS failed: {other}"),
    }
}

/// Reads whether a gateway says by an alert that what the client has shown is of no use.
fn is_of_client(alert: AlertDescription) -> bool {
    [
        AlertDescription::BadCertificate,
        AlertDescription::UnsupportedCertificate,
        AlertDescription::CertificateRevoked,
        AlertDescription::CertificateExpired,
        AlertDescription::CertificateUnknown,
        AlertDescription::UnknownCA,
        AlertDescription::AccessDenied,
        AlertDescription::DecryptError,
        AlertDescription::CertificateRequired,
    ]
    .contains(&alert)
}
