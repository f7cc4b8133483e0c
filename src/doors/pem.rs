//! Files in PEM made into what TLS needs. A message names the key of the configuration, the file, and what is wrong.

use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{InconsistentKeys, RootCertStore, ServerConfig};
use sha2::{Digest, Sha256};

use super::validity::Validity;
use crate::config::Tls;

/// Largest file that is read, in bytes: the authorities of a whole operating system have 250 kB.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Certificates in one file at most.
const CERTIFICATES_MAX: usize = 1000;

/// A file of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    key: String,
    path: PathBuf,
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` ({})", self.key, self.path.display())
    }
}

/// Why certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{0} cannot be read")]
    Read(Named, #[source] io::Error),
    /// A file is no certificate or key.
    #[error("{0} has more than {FILE_BYTES_MAX} bytes: it is no certificate or key")]
    TooLarge(Named),
    /// A file is not PEM.
    #[error("{0} is not PEM")]
    NotPem(Named, #[source] pem::Error),
    /// Nothing is in it.
    #[error("{0} holds no certificate in PEM")]
    NoCertificate(Named),
    /// Too much is in it.
    #[error("{0} holds more than {CERTIFICATES_MAX} certificates")]
    TooMany(Named),
    /// No key, or one behind a password.
    #[error("{0} holds no private key in PEM that can be read without a password")]
    NoKey(Named),
    /// The key is for another certificate.
    #[error("{0} does not match {1}: the certificate is of another key")]
    Mismatch(Named, Named),
    /// The library refuses it.
    #[error("{0} cannot be used")]
    Unusable(Named, #[source] rustls::Error),
    /// The bytes are PEM and no certificate.
    #[error("{0} holds something that is no certificate")]
    NotCertificate(Named),
    /// The authorities cannot be used.
    #[error("{0} cannot be used")]
    Authorities(Named, #[source] rustls::server::VerifierBuilderError),
}

/// The files of one door, as the configuration names them.
#[derive(Clone, Debug)]
pub(super) struct Files {
    certificate: Named,
    key: Named,
    authorities: Option<Named>,
}

/// Their bytes at one time.
pub(super) struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
    authorities: Option<Vec<u8>>,
}

impl Files {
    /// The files of a door; `None` when it has no TLS.
    pub(super) fn of(door: &str, tls: &Tls) -> Option<Self> {
        let named = |key: &str, path: &Path| Named {
            key: format!("{door}.tls.{key}"),
            path: path.to_owned(),
        };
        Some(Self {
            certificate: named("cert_file", tls.cert_file.as_deref()?),
            key: named("key_file", tls.key_file.as_deref()?),
            authorities: (tls.client_ca_file.as_deref()).map(|path| named("client_ca_file", path)),
        })
    }

    /// Reads all of them. Holds its thread.
    pub(super) fn read(&self) -> Result<Contents, TlsError> {
        Ok(Contents {
            certificate: read(&self.certificate)?,
            key: read(&self.key)?,
            authorities: self.authorities.as_ref().map(read).transpose()?,
        })
    }

    /// Makes the settings of TLS out of them.
    pub(super) fn settings(
        &self,
        contents: &Contents,
    ) -> Result<(ServerConfig, Validity), TlsError> {
        let chain = certificates(&self.certificate, &contents.certificate)?;
        let validity = Validity::of(&chain)
            .ok_or_else(|| TlsError::NotCertificate(self.certificate.clone()))?;
        let key = PrivateKeyDer::from_pem_slice(&contents.key).map_err(|error| {
            if matches!(error, pem::Error::NoItemsFound) {
                TlsError::NoKey(self.key.clone())
            } else {
                TlsError::NotPem(self.key.clone(), error)
            }
        })?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let versions = [&rustls::version::TLS13, &rustls::version::TLS12];
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&versions)
            .map_err(|error| TlsError::Unusable(self.certificate.clone(), error))?;
        let builder = match (&self.authorities, &contents.authorities) {
            (Some(named), Some(bytes)) => {
                builder.with_client_cert_verifier(verifier(named, bytes, provider)?)
            }
            (Some(_) | None, _) => builder.with_no_client_auth(),
        };
        let mut settings = builder
            .with_single_cert(chain, key)
            .map_err(|error| self.refused(error))?;
        settings.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok((settings, validity))
    }

    fn refused(&self, error: rustls::Error) -> TlsError {
        let (certificate, key) = (self.certificate.clone(), self.key.clone());
        if error == rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) {
            TlsError::Mismatch(certificate, key)
        } else if matches!(error, rustls::Error::InvalidCertificate(_)) {
            TlsError::Unusable(certificate, error)
        } else {
            TlsError::Unusable(key, error)
        }
    }
}

impl Contents {
    /// What tells these contents from others.
    pub(super) fn fingerprint(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        let authorities = self.authorities.as_deref().unwrap_or_default();
        for part in [&self.certificate, &self.key, authorities] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        hash.finalize().into()
    }
}

fn read(named: &Named) -> Result<Vec<u8>, TlsError> {
    let failed = |error| TlsError::Read(named.clone(), error);
    let file = std::fs::File::open(&named.path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(TlsError::TooLarge(named.clone()));
    }
    Ok(bytes)
}

fn certificates(named: &Named, bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let mut found = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(bytes) {
        if found.len() == CERTIFICATES_MAX {
            return Err(TlsError::TooMany(named.clone()));
        }
        found.push(certificate.map_err(|error| TlsError::NotPem(named.clone(), error))?);
    }
    if found.is_empty() {
        return Err(TlsError::NoCertificate(named.clone()));
    }
    Ok(found)
}

fn verifier(
    named: &Named,
    bytes: &[u8],
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn rustls::server::danger::ClientCertVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    for authority in certificates(named, bytes)? {
        roots
            .add(authority)
            .map_err(|error| TlsError::Unusable(named.clone(), error))?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| TlsError::Authorities(named.clone(), error))
}

#[cfg(test)]
mod tests;
