//! Encoded offers by hash: one configuration version is read and encoded once, however many agents are
//! offered it. The cache is bounded by bytes; what was used longest ago leaves first.

use std::collections::BTreeMap;
use std::io;

use ampora_proto::config::decode_files;
use ampora_proto::frame::encode_offer;
use ampora_raft::consensus::Consensus;
use ampora_raft::ids::ConfigHash;
use bytes::Bytes;
use parking_lot::Mutex;

/// A few dozen versions of the largest size (1 MiB); fleets run far fewer at a time.
const CACHE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The cache.
#[derive(Debug, Default)]
pub struct Offers {
    cached: Mutex<Cached>,
}

#[derive(Debug, Default)]
struct Cached {
    by_hash: BTreeMap<ConfigHash, (Bytes, u64)>,
    by_use: BTreeMap<u64, ConfigHash>,
    uses: u64,
    bytes: usize,
}

/// Why an offer cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum OfferError {
    /// The rows cannot be read.
    #[error("cannot read the body of configuration {0}")]
    Read(ConfigHash, #[source] io::Error),
    /// The version left the fleet meanwhile.
    #[error("there is no body of configuration {0}")]
    Missing(ConfigHash),
    /// The body is not what was stored.
    #[error("the body of configuration {0} is damaged")]
    Damaged(ConfigHash, #[source] ampora_proto::config::FilesError),
}

impl Offers {
    /// The encoded `remote_config` field for a version.
    ///
    /// # Errors
    /// Fails when the body is missing, unreadable or damaged; the agent is then not offered anything.
    pub async fn get(&self, hash: ConfigHash, fleet: &Consensus) -> Result<Bytes, OfferError> {
        if let Some(offer) = self.cached.lock().find(hash) {
            return Ok(offer);
        }
        let body = fleet
            .read_body(hash)
            .await
            .map_err(|error| OfferError::Read(hash, error))?
            .ok_or(OfferError::Missing(hash))?;
        let files = decode_files(body.into()).map_err(|error| OfferError::Damaged(hash, error))?;
        let offer = encode_offer(&files, hash.0);
        self.cached.lock().insert(hash, offer.clone());
        Ok(offer)
    }
}

impl Cached {
    fn find(&mut self, hash: ConfigHash) -> Option<Bytes> {
        let (offer, used) = self.by_hash.get_mut(&hash)?;
        self.by_use.remove(used);
        self.uses += 1;
        *used = self.uses;
        self.by_use.insert(self.uses, hash);
        Some(offer.clone())
    }

    fn insert(&mut self, hash: ConfigHash, offer: Bytes) {
        if self.by_hash.contains_key(&hash) {
            return;
        }
        self.uses += 1;
        self.bytes += offer.len();
        self.by_use.insert(self.uses, hash);
        self.by_hash.insert(hash, (offer, self.uses));
        while self.bytes > CACHE_BYTES_MAX {
            let Some((_, oldest)) = self.by_use.pop_first() else {
                return;
            };
            if let Some((offer, _)) = self.by_hash.remove(&oldest) {
                self.bytes -= offer.len();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_longest_ago_leaves_first() {
        let mut cached = Cached::default();
        let half = Bytes::from(vec![0; CACHE_BYTES_MAX / 2]);
        let hash = |n| ConfigHash([n; 32]);
        cached.insert(hash(1), half.clone());
        cached.insert(hash(2), half.clone());
        assert!(cached.find(hash(1)).is_some());
        cached.insert(hash(3), half);
        assert!(cached.find(hash(2)).is_none());
        assert!(cached.find(hash(1)).is_some() && cached.find(hash(3)).is_some());
        assert!(cached.bytes <= CACHE_BYTES_MAX);
    }
}
