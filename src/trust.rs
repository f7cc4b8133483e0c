//! Whose certificates a client of ours accepts, and which one it shows: for commands that ask a node, and for
//! simulated agents.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, RootCertStore,
    SignatureScheme,
};

/// Largest file that is read, in bytes: the authorities of a whole operating system have 250 kB.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Whose word counts for who a server is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// The authorities of the operating system.
    #[default]
    System,
    /// The authorities in this file, PEM, and no others.
    Authorities(PathBuf),
    /// Only the very certificate at the start of this file, whatever names and dates it has: that of a node on this
    /// machine, read where the node reads it.
    Exactly(PathBuf),
}

/// Why TLS cannot be spoken.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error("{} holds no {what} in PEM", path.display())]
    Holds {
        /// The file.
        path: PathBuf,
        /// What is missing.
        what: &'static str,
        /// What the library says.
        source: pem::Error,
    },
    /// The library refuses what is in a file, or that of the operating system.
    #[error("TLS cannot be spoken")]
    Library(#[from] Error),
}

/// The settings of TLS for a client that trusts so, and shows the certificate of the file `identity`, which holds a
/// chain and its key. Both versions of HTTP are offered.
///
/// # Errors
/// When a file cannot be used.
pub fn client_settings(trust: &Trust, identity: Option<&Path>) -> Result<ClientConfig, TrustError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let versions = [&rustls::version::TLS13, &rustls::version::TLS12];
    let builder =
        ClientConfig::builder_with_provider(provider.clone()).with_protocol_versions(&versions)?;
    let builder = match trust {
        Trust::System => {
            let system = rustls_platform_verifier::Verifier::new(provider)?;
            (builder.dangerous()).with_custom_certificate_verifier(Arc::new(system))
        }
        Trust::Authorities(path) => {
            let mut roots = RootCertStore::empty();
            for authority in certificates(path)? {
                roots.add(authority)?;
            }
            builder.with_root_certificates(roots)
        }
        Trust::Exactly(path) => {
            // a file that cannot be read is told now, not as a failed handshake
            certificates(path)?;
            let pinned = Pinned {
                path: path.clone(),
                provider,
            };
            (builder.dangerous()).with_custom_certificate_verifier(Arc::new(pinned))
        }
    };
    let mut settings = match identity {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let key = PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|source| {
                TrustError::Holds {
                    path: path.to_owned(),
                    what: "private key",
                    source,
                }
            })?;
            builder.with_client_auth_cert(certificates(path)?, key)?
        }
    };
    settings.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(settings)
}

fn read(path: &Path) -> Result<Vec<u8>, TrustError> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut bytes))
        .map_err(|source| TrustError::Read {
            path: path.to_owned(),
            source,
        })?;
    Ok(bytes)
}

/// The certificates of a file, at least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let holds = |source| TrustError::Holds {
        path: path.to_owned(),
        what: "certificate",
        source,
    };
    let bytes = read(path)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let all = all.map_err(holds)?;
    if all.is_empty() {
        return Err(holds(pem::Error::NoItemsFound));
    }
    Ok(all)
}

/// Accepts the certificate that the file holds at this moment.
#[derive(Debug)]
struct Pinned {
    path: PathBuf,
    provider: Arc<CryptoProvider>,
}

/// The server shows another certificate.
#[derive(Debug, thiserror::Error)]
#[error(
    "the server does not show the certificate of {}: a changed one is taken up within seconds",
    .0.display()
)]
struct AnotherCertificate(PathBuf);

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let pinned = certificates(&self.path)
            .map_err(|error| Error::General(error.to_string()))?
            .swap_remove(0);
        if *end_entity == pinned {
            return Ok(ServerCertVerified::assertion());
        }
        let why = OtherError(Arc::new(AnotherCertificate(self.path.clone())));
        Err(Error::InvalidCertificate(CertificateError::Other(why)))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        (self.provider.signature_verification_algorithms).supported_schemes()
    }
}
