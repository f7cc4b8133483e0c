//! A number that two fleets share exactly when they hold the same rows: replicas at one index compare it.
//!
//! It is computed when somebody asks. Keeping it with every entry would hash each changed row twice, as it was and as it is,
//! which costs more than `apply` itself.

mod feed;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::Fleet;
use crate::rows::{Row, RowKey};

impl Fleet {
    /// The sum over all rows in memory of a hash of key and value, in whatever order.
    ///
    /// It walks the whole fleet, some microseconds for each row: take a copy of the fleet and call it where nobody
    /// waits. Parts of bodies and audit records are in it by their hashes in `BodyMeta` and `AuditHead` alone.
    pub fn digest_now(&self) -> u128 {
        let mut bytes = Vec::new();
        let rows = self.row_keys().filter_map(|key| {
            let row = self.row(&key)?;
            Some((key, row))
        });
        rows.map(|(key, row)| row_digest(&mut bytes, &key, &row))
            .fold(0, u128::wrapping_add)
    }
}

fn row_digest(bytes: &mut Vec<u8>, key: &RowKey, row: &Row) -> u128 {
    bytes.clear();
    let key = key.to_bytes();
    bytes.extend((key.len() as u64).to_le_bytes());
    bytes.extend(key);
    let fed = row.serialize(&mut feed::Feed(bytes));
    debug_assert!(fed.is_ok(), "every row has a form");
    let hash = Sha256::digest(&*bytes);
    let (first, _) = hash.split_first_chunk::<16>().unwrap_or((&[0; 16], &[]));
    u128::from_le_bytes(*first)
}
