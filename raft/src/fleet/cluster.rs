//! What the fleet knows of its nodes as a cluster: liveness, leases, peers, join tokens. The only writers of these
//! tables, and their readers.

use std::sync::Arc;

use super::context::Context;
use super::{Fleet, Table};
use crate::effect::Effect;
use crate::ids::{Epoch, Fence, NodeId};
use crate::records::{ClusterHead, JoinToken, Lease, Liveness, Node, Peer};
use crate::rows::{Row, RowKey};

/// The first id that a node which joins can be given.
const FIRST_JOINED: u64 = 2;

impl Fleet {
    /// How long a node is held for live; `None` in a fleet of one, and before the first `Tick` that saw it.
    pub fn liveness(&self, node: NodeId) -> Option<&Arc<Liveness>> {
        self.liveness.get(&node)
    }

    /// Whether a node is shutting down.
    pub fn is_draining(&self, node: NodeId) -> bool {
        self.liveness(node).is_some_and(|known| known.draining)
    }

    /// All leases that somebody holds or that nobody took since their holder died, by name.
    pub fn leases(&self) -> impl Iterator<Item = &Arc<Lease>> {
        (&self.leases).into_iter().map(|(_, lease)| lease)
    }

    /// One lease.
    pub fn lease(&self, name: &str) -> Option<&Arc<Lease>> {
        self.leases.get(name)
    }

    /// Whether the holder of a lease is live in the incarnation that took it.
    pub fn is_lease_held(&self, lease: &Lease) -> bool {
        self.is_live(lease.node, lease.epoch)
    }

    /// Whether a lease is held under this fence: the condition of everything that is done under it.
    pub fn holds(&self, name: &str, fence: Fence) -> bool {
        self.lease(name)
            .is_some_and(|lease| lease.fence == fence && self.is_lease_held(lease))
    }

    /// All nodes that others talk to.
    pub fn peers(&self) -> impl Iterator<Item = &Arc<Peer>> {
        (&self.peers).into_iter().map(|(_, peer)| peer)
    }

    /// How one node is known to the others.
    pub fn peer(&self, node: NodeId) -> Option<&Arc<Peer>> {
        self.peers.get(&node)
    }

    /// All join tokens, by id; those that are over among them.
    pub fn join_tokens(&self) -> impl Iterator<Item = &Arc<JoinToken>> {
        (&self.join_tokens).into_iter().map(|(_, token)| token)
    }

    /// Counters of the cluster.
    pub fn cluster_head(&self) -> &ClusterHead {
        &self.head
    }

    /// The id that the next node gets which wants none.
    pub(super) fn next_node(&self) -> u64 {
        let nodes = (&self.nodes).into_iter().next_back();
        let peers = (&self.peers).into_iter().next_back();
        let last = nodes.map(|(id, _)| *id).max(peers.map(|(id, _)| *id));
        let after = last.map_or(0, |id| id.0.saturating_add(1));
        after.max(self.head.next_node).max(FIRST_JOINED)
    }

    /// Whether a node with this id is or was here.
    pub(super) fn is_taken(&self, node: NodeId) -> bool {
        self.nodes.get(&node).is_some() || self.peers.get(&node).is_some() || self.is_removed(node)
    }

    /// Whether a node with this id was here and is no more.
    pub fn is_removed(&self, node: NodeId) -> bool {
        let unknown = self.nodes.get(&node).is_none() && self.peers.get(&node).is_none();
        let gone = node.0 <= self.head.removed_below;
        unknown && (gone || self.head.removed.binary_search(&node).is_ok())
    }

    pub(super) fn put_liveness(&mut self, cx: &mut Context<'_>, node: NodeId, given: Liveness) {
        if self.liveness.get(&node).is_some_and(|old| **old == given) {
            return;
        }
        cx.dirty(RowKey::Liveness(node));
        self.liveness.insert_cow(node, Arc::new(given));
    }

    /// A node registered: it has the time of one renewal to begin with, or what the next `Tick` gives it.
    pub(super) fn live_again(&mut self, cx: &mut Context<'_>, node: NodeId) {
        let Some(known) = self.liveness(node).map(|known| **known) else {
            return;
        };
        if known.ttl_ms == 0 {
            self.liveness.remove_cow(&node);
            cx.dirty(RowKey::Liveness(node));
            return;
        }
        let again = Liveness {
            ttl_ms: known.ttl_ms,
            expires_ms: cx.time_ms.saturating_add(known.ttl_ms),
            ..Liveness::UNSEEN
        };
        self.put_liveness(cx, node, again);
    }

    pub(super) fn put_lease(&mut self, cx: &mut Context<'_>, lease: Lease) {
        let name = Arc::clone(&lease.name);
        tell(cx, &name);
        self.leases.insert_cow(name, Arc::new(lease));
    }

    pub(super) fn remove_lease(&mut self, cx: &mut Context<'_>, name: &Arc<str>) {
        if self.leases.remove_cow(name).is_some() {
            tell(cx, name);
        }
    }

    pub(super) fn put_peer_record(&mut self, cx: &mut Context<'_>, peer: Peer) {
        if self.peers.get(&peer.id).is_some_and(|old| **old == peer) {
            return;
        }
        cx.dirty(RowKey::Peer(peer.id));
        cx.effect(Effect::PeersChanged);
        self.peers.insert_cow(peer.id, Arc::new(peer));
    }

    pub(super) fn put_join_token(&mut self, cx: &mut Context<'_>, token: JoinToken) {
        let id = Arc::clone(&token.id);
        cx.dirty(RowKey::JoinToken(Arc::clone(&id)));
        self.join_tokens.insert_cow(id, Arc::new(token));
    }

    pub(super) fn remove_join_token(&mut self, cx: &mut Context<'_>, id: &Arc<str>) {
        if self.join_tokens.remove_cow(id).is_some() {
            cx.dirty(RowKey::JoinToken(Arc::clone(id)));
        }
    }

    pub(super) fn put_head(&mut self, cx: &mut Context<'_>, head: ClusterHead) {
        if *self.head != head {
            cx.dirty(RowKey::ClusterHead);
            self.head = Arc::new(head);
        }
    }

    /// Takes the rows of a node away.
    pub(super) fn forget_node(&mut self, cx: &mut Context<'_>, node: NodeId) {
        if self.nodes.remove_cow(&node).is_some() {
            cx.dirty(RowKey::Node(node));
            cx.effect(Effect::NodeChanged { node });
        }
        if self.liveness.remove_cow(&node).is_some() {
            cx.dirty(RowKey::Liveness(node));
        }
        if self.peers.remove_cow(&node).is_some() {
            cx.dirty(RowKey::Peer(node));
            cx.effect(Effect::PeersChanged);
        }
    }

    /// Takes all rows of these tables away but the head.
    pub(super) fn forget_cluster_rows(&mut self, cx: &mut Context<'_>) {
        let keys: Vec<RowKey> = self.cluster_keys().collect();
        for key in keys.into_iter().filter(|key| *key != RowKey::ClusterHead) {
            cx.dirty(key);
        }
        self.liveness = Table::default();
        self.leases = Table::default();
        self.peers = Table::default();
        self.join_tokens = Table::default();
        self.member_notes = Table::default();
    }

    /// Names of the leases that a node holds, in whatever incarnation.
    pub(super) fn leases_of(&self, node: NodeId) -> Vec<Arc<str>> {
        let held = self.leases().filter(|lease| lease.node == node);
        held.map(|lease| Arc::clone(&lease.name)).collect()
    }

    /// Gives all leases of a node up: anybody may take them at once.
    pub(super) fn release_leases(&mut self, cx: &mut Context<'_>, node: NodeId) {
        for name in self.leases_of(node) {
            self.remove_lease(cx, &name);
        }
    }

    /// The holder of these leases ended without a word: each waits for its lock delay.
    pub(super) fn lose_leases(&mut self, cx: &mut Context<'_>, node: NodeId) {
        for name in self.leases_of(node) {
            let Some(lease) = self.lease(&name) else {
                continue;
            };
            if lease.not_before_ms == 0 {
                let mut lease = (**lease).clone();
                // never 0: that would say that it is held
                lease.not_before_ms = cx.time_ms.saturating_add(lease.lock_delay_ms).max(1);
                self.put_lease(cx, lease);
            }
        }
    }

    /// The node, if it is live in this epoch.
    pub(super) fn live(&self, node: NodeId, epoch: Epoch) -> Option<&Arc<Node>> {
        self.nodes
            .get(&node)
            .filter(|node| node.live && node.epoch == epoch)
    }

    /// The value in memory of a row of these tables.
    pub(super) fn cluster_row(&self, key: &RowKey) -> Option<Row> {
        match key {
            RowKey::Liveness(node) => self.liveness.get(node).cloned().map(Row::Liveness),
            RowKey::Lease(name) => self.leases.get(name).cloned().map(Row::Lease),
            RowKey::Peer(node) => self.peers.get(node).cloned().map(Row::Peer),
            RowKey::JoinToken(id) => self.join_tokens.get(id).cloned().map(Row::JoinToken),
            RowKey::ClusterHead => {
                let known = *self.head != ClusterHead::default();
                known.then(|| Row::ClusterHead(Arc::clone(&self.head)))
            }
            RowKey::MemberNote(node) => self.member_notes.get(node).cloned().map(Row::MemberNote),
            RowKey::Meta
            | RowKey::Node(_)
            | RowKey::Agent(_)
            | RowKey::Configuration(_)
            | RowKey::BodyMeta(_)
            | RowKey::BodyPart(..)
            | RowKey::Group(_)
            | RowKey::Dispatch(_)
            | RowKey::Delivery(..)
            | RowKey::Token(_)
            | RowKey::Idempotency(_)
            | RowKey::AuditHead
            | RowKey::Audit(_)
            | RowKey::Downtime
            | RowKey::Rollout(_)
            | RowKey::RolloutRules
            | RowKey::EnrollmentToken(_)
            | RowKey::Enrollment(_)
            | RowKey::TokenNote(_) => None,
        }
    }

    /// The names of their rows, in key order.
    pub(super) fn cluster_keys(&self) -> impl Iterator<Item = RowKey> {
        let liveness = (&self.liveness).into_iter();
        let leases = (&self.leases).into_iter();
        let peers = (&self.peers).into_iter();
        let tokens = (&self.join_tokens).into_iter();
        let head = (*self.head != ClusterHead::default()).then_some(RowKey::ClusterHead);
        liveness
            .map(|(node, _)| RowKey::Liveness(*node))
            .chain(leases.map(|(name, _)| RowKey::Lease(Arc::clone(name))))
            .chain(peers.map(|(node, _)| RowKey::Peer(*node)))
            .chain(tokens.map(|(id, _)| RowKey::JoinToken(Arc::clone(id))))
            .chain(head)
            .chain(self.member_note_keys())
    }

    /// Takes a row of these tables at a load; `None` when it is none of them, else whether it came twice.
    pub(super) fn take_cluster_row(&mut self, key: &RowKey, row: Row) -> Option<bool> {
        Some(match (key, row) {
            (RowKey::Liveness(node), Row::Liveness(given)) => {
                self.liveness.insert_cow(*node, given).is_some()
            }
            (RowKey::Lease(name), Row::Lease(lease)) if *name == lease.name => {
                self.leases.insert_cow(Arc::clone(name), lease).is_some()
            }
            (RowKey::Peer(node), Row::Peer(peer)) if *node == peer.id => {
                self.peers.insert_cow(*node, peer).is_some()
            }
            (RowKey::JoinToken(id), Row::JoinToken(token)) if *id == token.id => {
                self.join_tokens.insert_cow(Arc::clone(id), token).is_some()
            }
            (RowKey::MemberNote(node), Row::MemberNote(note)) => {
                self.member_notes.insert_cow(*node, note).is_some()
            }
            (RowKey::ClusterHead, Row::ClusterHead(head)) => {
                let known = std::mem::replace(&mut self.head, head);
                *known != ClusterHead::default()
            }
            (_, _) => return None,
        })
    }
}

fn tell(cx: &mut Context<'_>, name: &Arc<str>) {
    cx.dirty(RowKey::Lease(Arc::clone(name)));
    cx.effect(Effect::LeaseChanged {
        name: Arc::clone(name),
    });
}
