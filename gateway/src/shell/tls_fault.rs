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
    if let rustls::Error::InvalidCertificate(fault) = error {
        return tell_of_certificate(fault);
    }
    if let rustls::Error::InvalidMessage(_) = error {
        return "it speaks no TLS there\n  write http:// in --admin".to_owned();
    }
    if let rustls::Error::AlertReceived(alert) = error
        && is_of_client(*alert)
    {
        return format!(
            "it does not accept the client certificate ({alert:?})\n  --client-certificate must be of the authority in \
             admin.tls.client_ca_file, issued for TLS clients, and hold today"
        );
    }
    format!("TLS failed: {error}")
}

fn tell_of_certificate(fault: &CertificateError) -> String {
    if let CertificateError::UnknownIssuer = fault {
        return "its certificate is of no authority that is known here\n  give --ca-file or HANDOVER_CA_FILE"
            .to_owned();
    }
    if let CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } = fault {
        return format!(
            "its certificate is for another name: {fault}\n  ask in --admin under a name that the certificate has"
        );
    }
    if let CertificateError::Expired
    | CertificateError::ExpiredContext { .. }
    | CertificateError::NotValidYet
    | CertificateError::NotValidYetContext { .. } = fault
    {
        return format!(
            "its certificate does not hold now: {fault}\n  renew the files of [admin.tls], and reload the gateway"
        );
    }
    format!("its certificate cannot be believed: {fault}")
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
