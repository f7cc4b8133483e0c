//! What stands against nodes: that an operator wants one to listen, that one was removed. The only writers of this
//! table, and its readers.

use std::sync::Arc;

use super::context::Context;
use super::load::contradiction;
use super::{Fleet, LoadError, MEMBERS_LEVEL};
use crate::ids::NodeId;
use crate::records::MemberNote;
use crate::rows::RowKey;

impl Fleet {
    /// Nodes that an operator wants to listen, whether they still vote or not, ascending.
    pub fn held_back(&self) -> impl Iterator<Item = NodeId> {
        let notes = (&self.member_notes).into_iter();
        notes
            .filter(|(_, note)| ***note == MemberNote::Held)
            .map(|(node, _)| *node)
    }

    /// Whether an operator wants this node to listen.
    pub fn is_held_back(&self, node: NodeId) -> bool {
        let note = self.member_notes.get(&node);
        note.is_some_and(|note| **note == MemberNote::Held)
    }

    /// Nodes that were removed, with the keys by which they were known, ascending; the last
    /// [`super::limits::REMOVED_MAX`] of them.
    pub fn removed_peers(&self) -> impl Iterator<Item = (NodeId, [u8; 32])> {
        let notes = (&self.member_notes).into_iter();
        notes.filter_map(|(node, note)| match **note {
            MemberNote::Removed { key, .. } => Some((*node, key)),
            MemberNote::Held => None,
        })
    }

    /// Which node it is that was removed and comes with this key; none when somebody here has the key, because it
    /// joined again.
    pub fn removed_peer(&self, key: &[u8; 32]) -> Option<NodeId> {
        let removed = self.removed_peers().filter(|(_, known)| known == key);
        let last = removed.last().map(|(node, _)| node);
        last.filter(|_| self.peer_with_key(key).is_none())
    }

    pub(super) fn put_member_note(&mut self, cx: &mut Context<'_>, node: NodeId, note: MemberNote) {
        cx.dirty(RowKey::MemberNote(node));
        self.member_notes.insert_cow(node, Arc::new(note));
    }

    pub(super) fn drop_member_note(&mut self, cx: &mut Context<'_>, node: NodeId) {
        if self.member_notes.remove_cow(&node).is_some() {
            cx.dirty(RowKey::MemberNote(node));
        }
    }

    /// The node is about to be forgotten. Below the level nothing is noted: others could not read it.
    pub(super) fn note_removed(&mut self, cx: &mut Context<'_>, node: NodeId) {
        let key = self.peer(node).map(|peer| peer.key);
        let is_listed = self.head.removed.binary_search(&node).is_ok();
        let is_noted = is_listed && self.meta.feature_level >= MEMBERS_LEVEL;
        let Some(key) = key.filter(|_| is_noted) else {
            self.drop_member_note(cx, node);
            return;
        };
        let name = self.node(node).map(|known| Arc::clone(&known.name));
        let note = MemberNote::Removed {
            key,
            name: name.unwrap_or_default(),
            removed_ms: cx.wall_ms,
        };
        self.put_member_note(cx, node, note);
    }

    pub(super) fn member_note_keys(&self) -> impl Iterator<Item = RowKey> {
        let notes = (&self.member_notes).into_iter();
        notes.map(|(node, _)| RowKey::MemberNote(*node))
    }

    pub(super) fn check_member_notes(&self) -> Result<(), LoadError> {
        for (node, note) in &self.member_notes {
            let is_removed = self.is_removed(*node);
            let fits = match **note {
                MemberNote::Held => !is_removed,
                MemberNote::Removed { .. } => is_removed,
            };
            if !fits {
                let what = "the node is not what it says";
                return Err(contradiction(RowKey::MemberNote(*node), what));
            }
        }
        Ok(())
    }
}
