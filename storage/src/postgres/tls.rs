//! How connections to Postgres are protected: the four modes that people know from libpq, without the two that fall
//! back to plain text by themselves.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore,
    SignatureScheme,
};

use super::Error;

/// Largest file of authorities that is read, in bytes: those of a whole operating system have 250 kB.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// How a connection is protected: `postgres.tls`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// Not at all.
    Disable,
    /// Encrypted; the server is not checked. With `sslrootcert` in the URL it is checked as with [`Tls::VerifyCa`],
    /// as libpq does.
    Require,
    /// Encrypted; the server has a certificate of a known authority.
    VerifyCa,
    /// Encrypted; the certificate is of a known authority and names the host.
    VerifyFull,
}

impl Tls {
    /// The mode of a word: of `postgres.tls`, and of `sslmode` in a URL.
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "disable" => Some(Self::Disable),
            "require" => Some(Self::Require),
            "verify-ca" => Some(Self::VerifyCa),
            "verify-full" => Some(Self::VerifyFull),
            _ => None,
        }
    }
}

/// Whose word counts for who a server is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Authorities {
    /// The authorities of the operating system.
    #[default]
    System,
    /// Those in this file, PEM, and no others.
    File(PathBuf),
}

/// What the library needs to speak TLS in a mode; nothing where none is spoken.
///
/// # Errors
/// When the file of authorities cannot be used, or the operating system has none.
pub(super) fn settings(
    mode: Tls,
    authorities: Option<&Authorities>,
) -> Result<Option<ClientConfig>, Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let known = authorities.unwrap_or(&Authorities::System);
    let verifier: Arc<dyn ServerCertVerifier> = match (mode, authorities) {
        (Tls::Disable, _) => return Ok(None),
        (Tls::Require, None) => Arc::new(Unchecked(Arc::clone(&provider))),
        (Tls::Require | Tls::VerifyCa, _) => Arc::new(AnyName(verifier(known, &provider)?)),
        (Tls::VerifyFull, _) => verifier(known, &provider)?,
    };
    let versions = [&rustls::version::TLS13, &rustls::version::TLS12];
    let settings = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions)
        .map_err(Error::TlsSettings)?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(Some(settings))
}

/// Checks the chain and the name.
fn verifier(
    authorities: &Authorities,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, Error> {
    match authorities {
        Authorities::System => {
            let system = rustls_platform_verifier::Verifier::new(Arc::clone(provider));
            Ok(Arc::new(system.map_err(Error::TlsSettings)?))
        }
        Authorities::File(path) => {
            let mut roots = RootCertStore::empty();
            for authority in certificates(path)? {
                roots.add(authority).map_err(Error::TlsSettings)?;
            }
            let provider = Arc::clone(provider);
            let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
            let built = builder.build();
            Ok(built.map_err(|error| Error::TlsSettings(TlsError::General(error.to_string())))?)
        }
    }
}

/// The certificates of a file, at least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let unusable = |source: io::Error| Error::Authorities {
        path: path.to_owned(),
        source,
    };
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut bytes))
        .map_err(unusable)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let all = all.map_err(|error| unusable(io::Error::other(error.to_string())))?;
    if all.is_empty() {
        return Err(unusable(io::Error::other("it holds no certificate in PEM")));
    }
    Ok(all)
}

/// Accepts every server, as `require` says: what is sent is hidden from who listens, not from who stands between.
#[derive(Debug)]
struct Unchecked(Arc<CryptoProvider>);

impl ServerCertVerifier for Unchecked {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls12_signature(
            message,
            cert,
            dss,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls13_signature(
            message,
            cert,
            dss,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Checks the chain and forgives the name, which is looked at last.
#[derive(Debug)]
struct AnyName(Arc<dyn ServerCertVerifier>);

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let checked =
            self.0
                .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        let is_name = |error: &TlsError| {
            let TlsError::InvalidCertificate(why) = error else {
                return false;
            };
            *why == CertificateError::NotValidForName
                || matches!(why, CertificateError::NotValidForNameContext { .. })
        };
        match checked {
            Err(error) if is_name(&error) => Ok(ServerCertVerified::assertion()),
            checked => checked,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
