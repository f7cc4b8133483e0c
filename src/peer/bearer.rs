//! How a join token is shown: its secret makes a key, and whoever holds that key shakes hands as the bearer of the token.
//! Inside that session the newcomer proves that it holds the key by which it will be known.
//!
//! The proof is a signature over what this one session of TLS alone can export, so that it is worth nothing in another.

use std::io;

use bytes::Bytes;
use rcgen::{KeyPair, PKCS_ED25519};
use rustls::SignatureScheme;
use rustls::pki_types::PrivatePkcs8KeyDer;
use sha2::{Digest, Sha256};

use super::key::{KeyError, KeyHash, NodeKey};

/// What the seed of a bearer's key is the hash of, before the secret; another text is another key.
const SEED_DOMAIN: &[u8] = b"ampora join token: seed of its bearer's Ed25519 key, 1\0";

/// What a newcomer signs, before what its session exports.
const PROOF_DOMAIN: &[u8] = b"ampora join: proof of a newcomer's key, 1\0";

/// Under which name a session exports.
const EXPORT_LABEL: &[u8] = b"EXPORTER-ampora-join-1";

/// An Ed25519 key in PKCS#8 (RFC 8410), before its seed.
const ED25519_PKCS8: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// A P-256 key as `SubjectPublicKeyInfo` (RFC 5480), before its uncompressed point: what keys of nodes are, in one way.
const P256_SPKI: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// Where its algorithm is in it.
const P256_ALGORITHM: std::ops::Range<usize> = 4..23;

/// And the bytes of a point.
const P256_POINT_BYTES: usize = 65;

/// What one session of TLS exports to both of its ends and to nobody else.
pub(super) type Channel = [u8; 32];

impl NodeKey {
    /// The key with which the bearer of a join token shakes hands; the same secret makes the same key.
    ///
    /// # Errors
    /// There are none, unless the cryptography of this process does not work.
    pub fn of_bearer(secret: &[u8; 32]) -> Result<Self, KeyError> {
        let seed = Sha256::new().chain_update(SEED_DOMAIN).chain_update(secret);
        let der = [&ED25519_PKCS8[..], &seed.finalize()].concat();
        let der = PrivatePkcs8KeyDer::from(der);
        let pair = KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_ED25519);
        Self::of(&pair.map_err(KeyError::Make)?)
    }

    /// This key, and that it is held at this end of a session.
    pub(super) fn prove(&self, channel: &Channel) -> io::Result<(Bytes, Bytes)> {
        let certified = self.certified();
        let unfit = || io::Error::other("the key of this node is no ECDSA key on P-256");
        let public = certified.key.public_key().ok_or_else(unfit)?;
        let schemes = [SignatureScheme::ECDSA_NISTP256_SHA256];
        let signer = certified.key.choose_scheme(&schemes).ok_or_else(unfit)?;
        let signature = signer.sign(&signed(channel)).map_err(io::Error::other)?;
        Ok((Bytes::copy_from_slice(&public), signature.into()))
    }
}

/// The key that a newcomer has proven to hold at the other end of a session; none when the proof is none.
pub(super) fn proven(public: &[u8], signature: &[u8], channel: &Channel) -> Option<KeyHash> {
    let point = public.strip_prefix(&P256_SPKI)?;
    if point.len() != P256_POINT_BYTES {
        return None;
    }
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let known = provider.signature_verification_algorithms.mapping;
    let wanted = SignatureScheme::ECDSA_NISTP256_SHA256;
    let (_, algorithms) = known.iter().find(|(scheme, _)| *scheme == wanted)?;
    let algorithm = algorithms
        .iter()
        .find(|known| *known.public_key_alg_id() == P256_SPKI[P256_ALGORITHM])?;
    algorithm
        .verify_signature(point, &signed(channel), signature)
        .ok()?;
    Some(Sha256::digest(public).into())
}

fn signed(channel: &Channel) -> Vec<u8> {
    [PROOF_DOMAIN, channel].concat()
}

/// What a session exports once its handshake is done.
pub(super) fn channel<Data>(session: &rustls::ConnectionCommon<Data>) -> io::Result<Channel> {
    let exported = session.export_keying_material([0; 32], EXPORT_LABEL, None);
    exported.map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANNEL: Channel = [5; 32];

    fn node() -> NodeKey {
        let dir = tempfile::tempdir().expect("a directory");
        NodeKey::load_or_make(dir.path()).expect("a key")
    }

    /// Nodes of two versions and tokens in files have to agree on it.
    #[test]
    fn a_secret_makes_the_same_key_for_ever() {
        let hash = NodeKey::of_bearer(&[7; 32]).expect("a key").key_hash();
        assert_eq!(
            hex::encode(hash),
            "02930ac8c3aa6af8a92facd07d6927dd5ece440bff263e0f42960edfc1633811"
        );
        let other = NodeKey::of_bearer(&[8; 32]).expect("a key").key_hash();
        assert_ne!(hash, other);
    }

    #[test]
    fn a_proof_holds_for_its_key_and_its_session_alone() {
        let (one, two) = (node(), node());
        let (public, signature) = one.prove(&CHANNEL).expect("a proof");
        assert_eq!(proven(&public, &signature, &CHANNEL), Some(one.key_hash()));
        assert_eq!(proven(&public, &signature, &[6; 32]), None);
        let (other, _) = two.prove(&CHANNEL).expect("a proof");
        assert_eq!(proven(&other, &signature, &CHANNEL), None);
    }

    #[test]
    fn what_is_cut_changed_or_of_another_kind_is_no_proof() {
        let (public, signature) = node().prove(&CHANNEL).expect("a proof");
        for end in 0..public.len() {
            assert_eq!(proven(&public[..end], &signature, &CHANNEL), None, "{end}");
        }
        for at in 0..public.len() {
            let mut changed = public.to_vec();
            changed[at] ^= 1;
            assert_eq!(proven(&changed, &signature, &CHANNEL), None, "{at}");
        }
        let longer = [&public[..], &[0]].concat();
        assert_eq!(proven(&longer, &signature, &CHANNEL), None);
        assert_eq!(proven(&public, &[], &CHANNEL), None);
        assert_eq!(proven(&public, &signature[1..], &CHANNEL), None);
        // the bearer's own key is no key of a node
        let bearer = NodeKey::of_bearer(&[7; 32]).expect("a key");
        bearer.prove(&CHANNEL).expect_err("no proof");
    }
}
