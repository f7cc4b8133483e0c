//! `RegisterNode`: a new incarnation of a node. It touches its own rows alone: what older incarnations own is void
//! because the epoch differs, and their sent deliveries are finished by the delivery task, in steps.

use std::sync::Arc;

use super::Fleet;
use super::context::{Context, short};
use super::limits::{NODES_MAX, TEXT_BYTES_MAX};
use crate::effect::Effect;
use crate::ids::Epoch;
use crate::outcome::{Outcome, Rejection};
use crate::proposal::RegisterNode;
use crate::records::Node;

impl Fleet {
    pub(super) fn register_node(
        &mut self,
        cx: &mut Context<'_>,
        given: &RegisterNode,
    ) -> Result<Outcome, Rejection> {
        for text in [
            &given.name,
            &given.version,
            &given.opamp_address,
            &given.admin_address,
        ] {
            short(text, TEXT_BYTES_MAX, "text of a node")?;
        }
        if self.is_removed(given.node) {
            return Err(Rejection::UnknownNode(given.node));
        }
        let last = self.nodes.get(&given.node).map(|node| node.epoch);
        if last.is_none() && self.nodes.len() >= NODES_MAX {
            return Err(super::limit_reached("nodes", NODES_MAX));
        }
        let epoch = Epoch(last.unwrap_or_default().0.saturating_add(1));
        let node = Node {
            id: given.node,
            name: Arc::clone(&given.name),
            epoch,
            live: true,
            batch: 0,
            version: Arc::clone(&given.version),
            opamp_address: Arc::clone(&given.opamp_address),
            admin_address: Arc::clone(&given.admin_address),
            registered_ms: cx.wall_ms,
        };
        self.put_node(cx, node);
        self.live_again(cx, given.node);
        self.lose_leases(cx, given.node);
        cx.effect(Effect::NodeChanged { node: given.node });
        Ok(Outcome::Registered { epoch })
    }
}
