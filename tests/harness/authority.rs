//! A certificate authority of a test's own, and the certificates that it issues.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use tempfile::TempDir;

/// An authority; its files go with it.
#[derive(Debug)]
pub struct Authority {
    name: String,
    directory: TempDir,
    params: CertificateParams,
    key: KeyPair,
    certificate: Certificate,
}

/// A certificate and its key, in files.
#[derive(Debug, Clone)]
pub struct Issued {
    /// PEM: the certificate.
    pub certificate: PathBuf,
    /// PEM: its private key.
    pub key: PathBuf,
}

impl Authority {
    /// Makes an authority.
    ///
    /// # Panics
    /// When there is no room for its files.
    pub fn new(name: &str) -> Self {
        let directory = tempfile::tempdir().expect("there is room for a temporary directory");
        let key = KeyPair::generate().expect("the system has randomness");
        let mut params = CertificateParams::new(Vec::new()).expect("no name is malformed");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.self_signed(&key).expect("the key is sound");
        let authority = Self {
            name: name.to_owned(),
            directory,
            params,
            key,
            certificate,
        };
        std::fs::write(authority.file(), authority.pem()).expect("the directory was just made");
        authority
    }

    /// Returns the PEM file with its certificate.
    pub fn file(&self) -> PathBuf {
        self.directory.path().join(format!("{}.pem", self.name))
    }

    /// Returns its certificate.
    pub fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// Issues a certificate for a name or an address.
    pub fn issue(&self, name: &str) -> Issued {
        self.issue_until(name, 4000)
    }

    /// Issues a certificate that holds to the beginning of a year.
    ///
    /// # Panics
    /// When there is no room for its files.
    pub fn issue_until(&self, name: &str, year: i32) -> Issued {
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("the name is sound");
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(year, 1, 1);
        self.sign(params, self.directory.path(), &format!("{name}-{year}"))
    }

    /// Issues `FILE.pem` and `FILE.key` in a folder, for a common name and DNS names or addresses.
    ///
    /// # Panics
    /// When the files cannot be written.
    pub fn issue_into(&self, folder: &Path, file: &str, common_name: &str, alternative: &[&str]) -> Issued {
        let names: Vec<String> = alternative.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("the names are sound");
        params.distinguished_name.push(DnType::CommonName, common_name);
        self.sign(params, folder, file)
    }

    fn sign(&self, mut params: CertificateParams, folder: &Path, file: &str) -> Issued {
        let key = KeyPair::generate().expect("the system has randomness");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let issuer = Issuer::from_params(&self.params, &self.key);
        let certificate = params.signed_by(&key, &issuer).expect("both keys are sound");
        let issued = Issued {
            certificate: folder.join(format!("{file}.pem")),
            key: folder.join(format!("{file}.key")),
        };
        std::fs::write(&issued.certificate, certificate.pem()).expect("the folder is there");
        std::fs::write(&issued.key, key.serialize_pem()).expect("the folder is there");
        issued
    }
}
