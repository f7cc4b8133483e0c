//! `bad_change_contained` (design §9, 13): in slow start a version that fails everywhere reaches at most the open window.
//!
//! Counted at the agents, by what they were offered and not by what the fleet believes. The first window is ten; it
//! opens further only as agents confirm, and no agent confirms a version that fails everywhere.

use std::collections::BTreeSet;

use ampora_raft::ids::InstanceUid;

use super::Act;
use crate::book::Book;

/// The first window of slow start (design §3).
const WINDOW: usize = 10;

/// Who was offered what fails.
#[derive(Debug, Default)]
pub(super) struct Check {
    bad: BTreeSet<Vec<u8>>,
    reached: BTreeSet<(Vec<u8>, InstanceUid)>,
}

impl Check {
    pub(super) fn is_bad(&mut self, hash: [u8; 32]) {
        self.bad.insert(hash.to_vec());
    }

    pub(super) fn bad(&self) -> &BTreeSet<Vec<u8>> {
        &self.bad
    }

    pub(super) fn heard(&mut self, book: &Book, uid: InstanceUid, act: &Act) {
        let Act::Offer(hash) = act else {
            return;
        };
        if !self.bad.contains(hash) || !self.reached.insert((hash.clone(), uid)) {
            return;
        }
        let reached = self.reached.iter().filter(|(bad, _)| bad == hash).count();
        if reached > WINDOW {
            book.violation(
                "bad_change_contained",
                format_args!("{reached} agents were offered what fails everywhere"),
            );
        }
    }
}
