//! `replicas_agree` (design §9, 1): at the same applied index every node holds the same fleet.
//!
//! Judged by what each entry changed, not by the fleet after it: the first difference shows at the entry that made
//! it, and costs as much as the change. The log id is part of it, so that two entries at one index show as well,
//! whatever they are. What was lost and written anew after a crash therefore shows too. At the end whole fleets are
//! compared, because a snapshot jumps over entries; that all of them have come to one index is asked by `liveness`.

use std::collections::BTreeMap;
use std::sync::Arc;

use ampora_raft::consensus::{Change, View};
use ampora_raft::ids::NodeId;
use ampora_storage::codec::{self, Kind};

use crate::book::Book;

/// What every index changed.
#[derive(Debug, Default)]
pub(super) struct Check {
    digests: BTreeMap<u64, (NodeId, u64)>,
}

impl Check {
    pub(super) fn applied(&mut self, book: &Book, node: NodeId, change: &Change) -> u64 {
        let digest = digest(change);
        let index = change.state.index();
        let (first, known) = *self.digests.entry(index).or_insert((node, digest));
        if known != digest {
            book.violation(
                "replicas_agree",
                format_args!(
                    "entry {index} is {known:016x} on n{first} and {digest:016x} on n{node}"
                ),
            );
        }
        digest
    }
}

pub(super) fn at_end(book: &Book, views: &[(NodeId, Arc<View>)]) {
    for pair in views.windows(2) {
        let [(a, left), (b, right)] = pair else {
            continue;
        };
        if left.applied_index == right.applied_index && left.fleet != right.fleet {
            book.violation(
                "replicas_agree",
                format_args!(
                    "the fleets of n{a} and n{b} at {} differ",
                    left.applied_index
                ),
            );
        }
    }
}

fn digest(change: &Change) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut feed = |bytes: &[u8]| {
        for byte in bytes {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    };
    feed(format!("{:?}", change.state.last()).as_bytes());
    let mut dirty: Vec<_> = change.dirty.iter().collect();
    dirty.sort();
    for key in dirty {
        feed(&key.to_bytes());
        if let Some(row) = change.fleet.row(key) {
            feed(&codec::encode(Kind::Row, &row).unwrap_or_default());
        }
    }
    for (key, row) in &change.puts {
        feed(&key.to_bytes());
        if let Some(row) = row {
            feed(&codec::encode(Kind::Row, row).unwrap_or_default());
        }
    }
    hash
}
