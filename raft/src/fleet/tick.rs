//! `Tick`: the liveness of all nodes in one entry, however many agents they own. What the entry has no rows for
//! happens with the next one; a renewal that is not refused always took effect.

use std::sync::Arc;

use super::Fleet;
use super::context::Context;
use super::limits::RENEWALS_MAX;
use crate::effect::Effect;
use crate::ids::{Epoch, NodeId};
use crate::outcome::{Outcome, Rejection};
use crate::records::Liveness;

/// Rows that the death of a node touches beside its leases: itself and its liveness.
const DEATH_ROWS: usize = 2;

impl Fleet {
    pub(super) fn tick(
        &mut self,
        cx: &mut Context<'_>,
        ttl_ms: u64,
        renewals: &[(NodeId, Epoch)],
    ) -> Result<Outcome, Rejection> {
        if renewals.len() > RENEWALS_MAX {
            return Err(Rejection::TooLarge("renewals of a tick".into()));
        }
        let mut fenced = Vec::new();
        for (node, epoch) in renewals {
            if self.live(*node, *epoch).is_some() {
                self.renew(cx, *node, ttl_ms);
            } else if !fenced.contains(node) {
                fenced.push(*node);
            }
        }
        self.begin_liveness(cx, ttl_ms);
        if cx.time_ms >= self.head.floor_ms {
            self.flag_dead(cx);
        }
        Ok(Outcome::Ticked { fenced })
    }

    /// A lease never gets shorter, whatever the next leader grants.
    fn renew(&mut self, cx: &mut Context<'_>, node: NodeId, ttl_ms: u64) {
        let known = self.liveness(node).filter(|known| known.ttl_ms > 0);
        let granted = cx.time_ms.saturating_add(ttl_ms);
        let liveness = Liveness {
            ttl_ms,
            expires_ms: known.map_or(granted, |known| known.expires_ms.max(granted)),
            draining: self.is_draining(node),
            lost_ms: None,
        };
        self.put_liveness(cx, node, liveness);
    }

    /// Nodes that are live without a deadline get one: the fleet was one node until now, or they just registered.
    fn begin_liveness(&mut self, cx: &mut Context<'_>, ttl_ms: u64) {
        let without = |node: &&NodeId| {
            let known = self.liveness(**node);
            known.is_none_or(|known| known.ttl_ms == 0)
        };
        let live = (&self.nodes).into_iter().filter(|(_, node)| node.live);
        let new: Vec<NodeId> = live
            .map(|(id, _)| id)
            .filter(without)
            .take(cx.rows_left())
            .copied()
            .collect();
        for node in new {
            self.renew(cx, node, ttl_ms);
        }
    }

    fn flag_dead(&mut self, cx: &mut Context<'_>) {
        let due = (&self.liveness)
            .into_iter()
            .filter(|(_, known)| known.ttl_ms > 0 && known.expires_ms <= cx.time_ms);
        let due: Vec<NodeId> = due.map(|(node, _)| *node).collect();
        for id in due {
            let live = self.nodes.get(&id).filter(|node| node.live);
            let Some(node) = live.map(Arc::clone) else {
                continue;
            };
            if cx.rows_left() < DEATH_ROWS + self.leases_of(id).len() {
                return;
            }
            self.end_node(cx, Arc::unwrap_or_clone(node));
            self.lose_leases(cx, id);
        }
    }

    /// The incarnation is over: every session that it owns is void by this flag.
    pub(super) fn end_node(&mut self, cx: &mut Context<'_>, mut node: crate::records::Node) {
        let id = node.id;
        node.live = false;
        self.put_node(cx, node);
        let known = self.liveness(id).map(|known| **known);
        let liveness = Liveness {
            lost_ms: Some(cx.time_ms),
            ..known.unwrap_or(Liveness::UNSEEN)
        };
        self.put_liveness(cx, id, liveness);
        cx.effect(Effect::NodeChanged { node: id });
    }
}
