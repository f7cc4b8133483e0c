//! Certificates made for tests, and the files that hold them.

use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, IsCa, Issuer, KeyPair};

use crate::config::Tls;

/// An authority, and the certificates that it signs.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate, PEM.
    pub(super) pem: String,
}

/// A certificate and its key, PEM.
pub(super) struct Pair {
    pub(super) certificate: String,
    pub(super) key: String,
}

impl Authority {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        Self { issuer, pem }
    }

    /// A certificate for a name.
    pub(super) fn sign(&self, name: &str) -> Pair {
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Pair {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }
}

/// A directory with the files of a door.
pub(super) struct Shelf {
    dir: tempfile::TempDir,
}

impl Shelf {
    pub(super) fn new(pair: &Pair) -> Self {
        let shelf = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        shelf.put(pair);
        shelf
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), content).unwrap();
    }

    /// Writes a certificate and its key.
    pub(super) fn put(&self, pair: &Pair) {
        self.write("cert.pem", &pair.certificate);
        self.write("key.pem", &pair.key);
    }

    /// The settings that name the files.
    pub(super) fn tls(&self) -> Tls {
        Tls {
            cert_file: Some(self.path("cert.pem")),
            key_file: Some(self.path("key.pem")),
            client_ca_file: None,
        }
    }

    pub(super) fn dir(&self) -> &Path {
        self.dir.path()
    }
}
