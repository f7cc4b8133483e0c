//! The text of a join token: where members are, by which keys they are known, the secret that lets a new node
//! in, and which cluster it is for. Whoever holds the text trusts nobody else for it.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use crate::config::Secret;
use crate::peer::{KeyError, NodeKey};

/// Every join token starts with this, so that people and scanners of leaked secrets know it.
const PREFIX: &str = crate::config::JOIN_TOKEN_PREFIX;

/// Addresses in one token at most: one that answers is enough.
pub const ADDRESSES_MAX: usize = 5;

/// Keys in one token at most: those of a cluster of seven voters and of some learners.
pub const KEYS_MAX: usize = 16;

/// Bytes of an address: a host name has 253, and a port follows.
const ADDRESS_BYTES_MAX: usize = 255;

/// Bytes of the whole text; a longer one is not looked at.
const TEXT_BYTES_MAX: usize = 4_096;

/// The form of the binary, and what the secret is good for; another one is another version of the program.
const VERSION: u8 = 2;

/// Up to it the fleet kept the hash of the secret, and no key was made of it.
const VERSION_WITHOUT_KEY: u8 = 1;

/// Bytes of the checksum at the end: it tells a text that was cut or mistyped from one that is refused.
const SUM_BYTES: usize = 4;

/// What a join token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinToken {
    /// The lineage of the cluster.
    pub cluster: u128,
    /// Where members are reached, 1 to 5.
    pub addresses: Vec<Arc<str>>,
    /// SHA-256 of the public keys of the members, 1 to 16.
    pub keys: Vec<[u8; 32]>,
    /// What lets a new node in; the fleet knows the hash of the key that it makes.
    pub secret: Secret<[u8; 32]>,
}

/// Why a text is no join token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Something else altogether.
    #[error("a join token begins with `{PREFIX}`")]
    Foreign,
    /// Cut, mistyped or made up.
    #[error("the join token is damaged: copy it whole")]
    Damaged,
    /// Made by a version whose tokens are not taken any more.
    #[error("the join token was made by an older version: make a new one")]
    Older,
    /// Made by a version that this one does not understand.
    #[error(
        "the join token has form {0}, which this version does not know: use the version of the cluster"
    )]
    Newer(u8),
}

impl JoinToken {
    /// The text. More addresses or keys than may be are left out.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut bytes = vec![VERSION];
        bytes.extend(self.cluster.to_be_bytes());
        bytes.extend(self.secret.expose());
        let addresses = self.addresses.iter().take(ADDRESSES_MAX);
        bytes.push(u8::try_from(addresses.len()).unwrap_or(0));
        for address in addresses {
            let length = u8::try_from(address.len()).unwrap_or(0);
            bytes.push(length);
            bytes.extend(&address.as_bytes()[..usize::from(length)]);
        }
        let keys = self.keys.iter().take(KEYS_MAX);
        bytes.push(u8::try_from(keys.len()).unwrap_or(0));
        keys.for_each(|key| bytes.extend(key));
        let sum = sum(&bytes);
        bytes.extend(sum);
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Reads a text; space around it is what copying adds.
    ///
    /// # Errors
    /// [`TokenError`] says what to do about it.
    pub fn decode(text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        let coded = text.strip_prefix(PREFIX).ok_or(TokenError::Foreign)?;
        if text.len() > TEXT_BYTES_MAX {
            return Err(TokenError::Damaged);
        }
        let bytes = URL_SAFE_NO_PAD.decode(coded);
        let bytes = bytes.map_err(|_| TokenError::Damaged)?;
        let cut = bytes.len().checked_sub(SUM_BYTES);
        let (said, sum_of_it) = bytes.split_at(cut.ok_or(TokenError::Damaged)?);
        if sum(said) != *sum_of_it {
            return Err(TokenError::Damaged);
        }
        let mut rest = Rest(said);
        match rest.byte() {
            Some(VERSION) => rest.token().ok_or(TokenError::Damaged),
            Some(0..=VERSION_WITHOUT_KEY) => Err(TokenError::Older),
            Some(other) => Err(TokenError::Newer(other)),
            None => Err(TokenError::Damaged),
        }
    }

    /// With what whoever holds the token shows it; the fleet keeps the hash of this key.
    ///
    /// # Errors
    /// There are none, unless the cryptography of this process does not work.
    pub fn key(&self) -> Result<NodeKey, KeyError> {
        NodeKey::of_bearer(self.secret.expose())
    }
}

fn sum(bytes: &[u8]) -> [u8; SUM_BYTES] {
    let digest = Sha256::digest(bytes);
    let mut sum = [0; SUM_BYTES];
    sum.copy_from_slice(&digest[..SUM_BYTES]);
    sum
}

/// What is not read yet.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn token(mut self) -> Option<JoinToken> {
        let cluster = u128::from_be_bytes(self.array()?);
        let secret = Secret::new(self.array()?);
        let addresses = self.many(ADDRESSES_MAX, Self::address)?;
        let keys = self.many(KEYS_MAX, Self::array)?;
        let token = JoinToken {
            cluster,
            addresses,
            keys,
            secret,
        };
        (self.0.is_empty() && cluster != 0).then_some(token)
    }

    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn address(&mut self) -> Option<Arc<str>> {
        let length = usize::from(self.byte()?);
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        let text = std::str::from_utf8(taken).ok()?;
        let is_sane = text.contains(':') && text.bytes().all(|byte| byte.is_ascii_graphic());
        (is_sane && length <= ADDRESS_BYTES_MAX).then(|| text.into())
    }

    /// At least one, at most so many.
    fn many<T>(&mut self, most: usize, one: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = usize::from(self.byte()?);
        if !(1..=most).contains(&count) {
            return None;
        }
        (0..count).map(|_| one(self)).collect()
    }
}

#[cfg(test)]
mod tests;
