//! Who is let in: whoever holds a private key whose public half is pinned, or that a join token makes. No names, no dates, no authorities: clocks
//! lie, and addresses are reused.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ampora_raft::ids::NodeId;
use arc_swap::ArcSwap;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, OtherError,
    ServerConfig, SignatureScheme,
};

use super::calls::Removed;
use super::key::{KeyHash, NodeKey, hash_of};

/// What both sides say they speak; a framing that does not fit this one gets another name.
const PROTOCOL: &[u8] = b"ampora-peer/1";

/// Who is at the other end of a connection that came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// A member of the cluster.
    Member(NodeId),
    /// Who holds a join token, known by the key that the token makes: it may try to join and do nothing else.
    Bearer(KeyHash),
    /// Who was a member: it hears that it is none any more, whatever it asks.
    Removed(Removed),
}

/// Whose keys are let in; clones speak of the same.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    known: Arc<ArcSwap<Known>>,
}

#[derive(Clone, Debug, Default)]
struct Known {
    members: BTreeMap<KeyHash, NodeId>,
    bearers: BTreeSet<KeyHash>,
    removed: BTreeMap<KeyHash, Removed>,
}

impl Trust {
    /// Trusts nobody yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Says who is a member. Holds for the next call on connections that are open, too.
    pub fn set_members(&self, members: &BTreeMap<KeyHash, NodeId>) {
        self.known.rcu(|known| Known {
            members: members.clone(),
            ..Known::clone(known)
        });
    }

    /// Says which join tokens there are, those that are spent or over among them: their bearers hear why they may not join.
    pub fn set_bearers(&self, bearers: &BTreeSet<KeyHash>) {
        self.known.rcu(|known| Known {
            bearers: bearers.clone(),
            ..Known::clone(known)
        });
    }

    /// Says who was a member, so that it hears of it.
    pub fn set_removed(&self, removed: &BTreeMap<KeyHash, Removed>) {
        self.known.rcu(|known| Known {
            removed: removed.clone(),
            ..Known::clone(known)
        });
    }

    /// Who comes with this key; none when it is not let in.
    pub fn caller(&self, key: &KeyHash) -> Option<Caller> {
        let known = self.known.load();
        let member = known.members.get(key).copied().map(Caller::Member);
        let bearer = || known.bearers.contains(key).then_some(Caller::Bearer(*key));
        // one that came back is a member before all
        let removed = || known.removed.get(key).copied().map(Caller::Removed);
        member.or_else(bearer).or_else(removed)
    }
}

/// The other side holds another key than the one that is known.
#[derive(Debug, thiserror::Error)]
#[error("another node answers there: its key is none of those expected")]
struct AnotherKey;

/// How this node speaks TLS where it is called.
pub(super) fn server_settings(key: &NodeKey, trust: Trust) -> Result<ServerConfig, Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let callers = Callers {
        trust,
        provider: provider.clone(),
    };
    let mut settings = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(Arc::new(callers))
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(key.certified())));
    settings.alpn_protocols = vec![PROTOCOL.to_vec()];
    // a session that is taken up again shows no certificate: whoever was let in once would be let in for ever
    settings.session_storage = Arc::new(NoServerSessionStorage {});
    settings.send_tls13_tickets = 0;
    Ok(settings)
}

/// How this node speaks TLS to whoever holds one of `expected`.
pub(super) fn client_settings(
    key: &NodeKey,
    expected: Vec<KeyHash>,
) -> Result<ClientConfig, Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let called = Called {
        expected,
        provider: provider.clone(),
    };
    let mut settings = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(called))
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key.certified())));
    settings.alpn_protocols = vec![PROTOCOL.to_vec()];
    settings.enable_sni = false;
    settings.resumption = Resumption::disabled();
    Ok(settings)
}

/// The key that the other side of a finished handshake has proven to hold.
pub(super) fn key_shown(connection: &rustls::CommonState) -> Option<KeyHash> {
    let speaks = connection.alpn_protocol() == Some(PROTOCOL);
    let shown = connection.peer_certificates()?.first()?;
    hash_of(shown).ok().filter(|_| speaks)
}

/// Judges who is called.
#[derive(Debug)]
struct Called {
    expected: Vec<KeyHash>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Called {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.expected.contains(&hash_of(end_entity)?) {
            return Ok(ServerCertVerified::assertion());
        }
        let other = OtherError(Arc::new(AnotherKey));
        Err(Error::InvalidCertificate(CertificateError::Other(other)))
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(old_version())
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
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

/// Judges who calls.
#[derive(Debug)]
struct Callers {
    trust: Trust,
    provider: Arc<CryptoProvider>,
}

impl ClientCertVerifier for Callers {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match self.trust.caller(&hash_of(end_entity)?) {
            Some(Caller::Member(_) | Caller::Bearer(_) | Caller::Removed(_)) => {
                Ok(ClientCertVerified::assertion())
            }
            // told as `access_denied`
            None => Err(Error::InvalidCertificate(
                CertificateError::ApplicationVerificationFailure,
            )),
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(old_version())
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
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

fn old_version() -> Error {
    Error::General("nodes speak TLS 1.3 alone".to_owned())
}
