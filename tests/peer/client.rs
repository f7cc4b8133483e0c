//! Whoever speaks to a node's peer listener without being a node: bytes as a test wants them, over TLS or not.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ampora::peer::KeyHash;
use bytes::Bytes;
use rcgen::{CertificateParams, KeyPair, PKCS_ED25519, PublicKeyData, SigningKey};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, SignatureScheme, SupportedProtocolVersion,
};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Nothing that goes well takes longer.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// A key and a certificate for it.
pub(crate) struct Key {
    pair: KeyPair,
}

impl Key {
    pub(crate) fn new() -> Self {
        Self {
            pair: KeyPair::generate().expect("a key"),
        }
    }

    /// The key of whoever bears the join token with this secret: made here by itself, so that it stays what it is.
    pub(crate) fn of_bearer(secret: [u8; 32]) -> Self {
        let domain = b"ampora join token: seed of its bearer's Ed25519 key, 1\0";
        let seed = Sha256::digest([&domain[..], &secret].concat());
        let head = hex::decode("302e020100300506032b657004220420").expect("hex");
        let der = PrivatePkcs8KeyDer::from([&head[..], &seed].concat());
        let pair = KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_ED25519);
        Self {
            pair: pair.expect("a key"),
        }
    }

    /// What a newcomer with this key signs in a session, and the key beside it.
    pub(crate) fn prove(&self, channel: &[u8; 32]) -> (Bytes, Bytes) {
        let public = self.pair.subject_public_key_info();
        let domain = b"ampora join: proof of a newcomer's key, 1\0";
        let signature = self.pair.sign(&[&domain[..], channel].concat());
        (public.into(), signature.expect("signed").into())
    }

    pub(crate) fn hash(&self) -> KeyHash {
        Sha256::digest(self.pair.subject_public_key_info()).into()
    }

    /// A certificate of this key: of another name each time, and one that ended long ago.
    fn certificate(&self, name: &str) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        params.not_before = rcgen::date_time_ymd(1999, 1, 1);
        params.not_after = rcgen::date_time_ymd(2000, 1, 1);
        params
            .self_signed(&self.pair)
            .expect("a certificate")
            .into()
    }

    fn private(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(self.pair.serialize_der().into())
    }
}

/// Settings of TLS: which key is shown, what is spoken.
pub(crate) fn settings(
    key: Option<&Key>,
    version: &'static SupportedProtocolVersion,
    protocol: Option<&str>,
) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .expect("a version")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody));
    let mut settings = match key {
        Some(key) => builder
            .with_client_auth_cert(vec![key.certificate("expired.example")], key.private())
            .expect("a pair"),
        None => builder.with_no_client_auth(),
    };
    settings.alpn_protocols = protocol
        .map(|name| name.as_bytes().to_vec())
        .into_iter()
        .collect();
    settings
}

/// What nodes speak.
pub(crate) fn as_node(key: &Key) -> ClientConfig {
    settings(Some(key), &rustls::version::TLS13, Some("ampora-peer/1"))
}

/// Settings that show the certificate of one key and sign with another.
pub(crate) fn stolen(shown: &Key, held: &Key) -> ClientConfig {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let signing = provider.key_provider.load_private_key(held.private());
    let signing = signing.expect("a key");
    let certified = CertifiedKey::new(vec![shown.certificate("stolen.example")], signing);
    let mut settings = as_node(held);
    settings.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(certified));
    settings
}

/// A connection inside TLS.
pub(crate) struct Client {
    stream: TlsStream<TcpStream>,
}

impl Client {
    pub(crate) async fn open(address: SocketAddr, settings: ClientConfig) -> io::Result<Self> {
        let tcp = TcpStream::connect(address).await?;
        let name = ServerName::try_from("anything.example").expect("a name");
        let connecting = TlsConnector::from(Arc::new(settings)).connect(name, tcp);
        let stream = tokio::time::timeout(SOON, connecting).await??;
        Ok(Self { stream })
    }

    /// What this session exports.
    pub(crate) fn channel(&self) -> [u8; 32] {
        let session = self.stream.get_ref().1;
        let exported = session.export_keying_material([0; 32], b"EXPORTER-ampora-join-1", None);
        exported.expect("shaken hands")
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        // the other side may have ended it already
        drop(self.stream.write_all(bytes).await);
        drop(self.stream.flush().await);
    }

    /// The next answer: its number and what it carries.
    pub(crate) async fn answer(&mut self) -> io::Result<(u64, Vec<u8>)> {
        let reading = async {
            let length = self.stream.read_u32().await?;
            let number = self.stream.read_u64().await?;
            let _within = self.stream.read_u32().await?;
            assert_eq!(self.stream.read_u8().await?, 2, "an answer");
            let mut body = vec![0; usize::try_from(length).expect("small")];
            self.stream.read_exact(&mut body).await?;
            Ok((number, body))
        };
        tokio::time::timeout(SOON, reading).await?
    }

    /// Reads what the other side sends until it ends it.
    pub(crate) async fn end_of(tcp: &mut TcpStream) {
        let mut rest = Vec::new();
        let read = tokio::time::timeout(SOON, tcp.read_to_end(&mut rest)).await;
        drop(read.expect("ended by the other side"));
    }

    /// How the other side ended it.
    pub(crate) async fn end(&mut self) -> io::Error {
        self.answer().await.expect_err("no answer but an end")
    }
}

/// A frame as nodes write it.
pub(crate) fn frame(number: u64, what: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).expect("small");
    [&head(length, number, what)[..], body].concat()
}

/// The head of a frame.
pub(crate) fn head(length: u32, number: u64, what: u8) -> Vec<u8> {
    let within_ms = 30_000_u32.to_be_bytes();
    let (length, number) = (length.to_be_bytes(), number.to_be_bytes());
    [&length[..], &number, &within_ms, &[what]].concat()
}

/// Takes every server.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        (provider.signature_verification_algorithms).supported_schemes()
    }
}
