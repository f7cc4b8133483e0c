//! `DrainNode`, `LeaveNode` and `RemoveNode`: how a node ends in order, and how it is forgotten.

use std::sync::Arc;

use super::audit::Json;
use super::context::Context;
use super::limits::REMOVED_MAX;
use super::{Fleet, MEMBERS_LEVEL};
use crate::effect::Effect;
use crate::ids::{Epoch, NodeId};
use crate::outcome::{Outcome, Rejection};
use crate::records::Liveness;

impl Fleet {
    /// The node keeps its sessions, and has to renew, until it has released them.
    pub(super) fn drain_node(
        &mut self,
        cx: &mut Context<'_>,
        node: NodeId,
        epoch: Epoch,
    ) -> Result<Outcome, Rejection> {
        if self.live(node, epoch).is_none() {
            return Err(Rejection::Fenced(epoch));
        }
        if !self.is_draining(node) {
            let known = self.liveness(node).map(|known| **known);
            let liveness = Liveness {
                draining: true,
                ..known.unwrap_or(Liveness::UNSEEN)
            };
            self.put_liveness(cx, node, liveness);
            cx.effect(Effect::NodeChanged { node });
        }
        self.release_leases(cx, node);
        Ok(Outcome::Done)
    }

    pub(super) fn leave_node(
        &mut self,
        cx: &mut Context<'_>,
        node: NodeId,
        epoch: Epoch,
    ) -> Result<Outcome, Rejection> {
        let live = self.live(node, epoch).map(Arc::clone);
        let live = live.ok_or(Rejection::Fenced(epoch))?;
        self.end_node(cx, Arc::unwrap_or_clone(live));
        self.release_leases(cx, node);
        Ok(Outcome::Done)
    }

    /// Whether the node is still a member of the cluster is the proposer's business.
    pub(super) fn remove_node(
        &mut self,
        cx: &mut Context<'_>,
        node: NodeId,
    ) -> Result<Outcome, Rejection> {
        if self.nodes.get(&node).is_none() && self.peers.get(&node).is_none() {
            return Err(Rejection::UnknownNode(node));
        }
        let known = self.nodes.get(&node).map(|known| &known.name);
        let peer = self.peers.get(&node).map(|known| &known.address);
        let before = Json::object([("address", Json::of(peer)), ("name", Json::of(known))]);
        cx.audit("node.remove", &node, before, Json::Null);
        let mut head = (*self.head).clone();
        head.next_node = self.next_node();
        if let Err(place) = head.removed.binary_search(&node) {
            head.removed.insert(place, node);
        }
        if head.removed.len() > REMOVED_MAX {
            let oldest = head.removed.remove(0);
            // an id that left the list stays taken, in whatever order they left it
            let is_lower = oldest.0 < head.removed_below;
            if !is_lower || self.meta.feature_level < MEMBERS_LEVEL {
                head.removed_below = oldest.0;
            }
            self.drop_member_note(cx, oldest);
        }
        self.put_head(cx, head);
        self.note_removed(cx, node);
        self.lose_leases(cx, node);
        self.forget_node(cx, node);
        Ok(Outcome::Done)
    }
}
