//! The audit chain: what operators changed. Records are rows that are not in memory; the fleet holds the head.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Where the chain stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditHead {
    /// The number of the newest record; 0 before the first.
    pub last: u64,
    /// The hash of the newest record; zeros before the first.
    pub hash: [u8; 32],
    /// The number of the oldest record that is kept; `last + 1` when none is.
    pub first: u64,
}

/// What one operator changed, or was shown unredacted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRecord {
    /// From 1, without gaps.
    pub seq: u64,
    /// The log index of the entry that made the change.
    pub index: u64,
    /// Wall time in milliseconds since 1970, for people.
    pub at_ms: u64,
    /// Deadline time, for retention.
    pub deadline_ms: u64,
    /// The name of the token.
    pub actor: Arc<str>,
    /// The client's address; empty when it is not known.
    pub from: Arc<str>,
    /// The request.
    pub request_id: Arc<str>,
    /// What was done, such as `group.put`.
    pub action: Arc<str>,
    /// To what.
    pub target: Arc<str>,
    /// How it was, as canonical JSON; `null` when there was nothing.
    pub before: Arc<str>,
    /// How it is, as canonical JSON; `null` when there is nothing.
    pub after: Arc<str>,
    /// The hash of the record before; zeros for the first.
    pub previous: [u8; 32],
    /// [`AuditRecord::digest`] of all of the above.
    pub hash: [u8; 32],
}

impl AuditRecord {
    /// Bytes of a stored record at most, so that it is one small value of the store.
    pub const BYTES_MAX: usize = 4096;

    /// SHA-256 over the hash of the record before, then each field in the order of the struct as a text behind its
    /// length in eight big-endian bytes; numbers in decimal. Frozen: auditors compute it from exported records.
    pub fn digest(&self) -> [u8; 32] {
        let mut sha = Sha256::new();
        sha.update(self.previous);
        let numbers = [self.seq, self.index, self.at_ms, self.deadline_ms];
        let numbers = numbers.map(|number| number.to_string());
        let texts = [
            &self.actor,
            &self.from,
            &self.request_id,
            &self.action,
            &self.target,
            &self.before,
            &self.after,
        ];
        let fields = numbers.iter().map(|number| &**number);
        for field in fields.chain(texts.into_iter().map(|text| &**text)) {
            sha.update((field.len() as u64).to_be_bytes());
            sha.update(field.as_bytes());
        }
        sha.finalize().into()
    }
}
