//! `TransferLeader`: an operator wants another node to lead. Nothing here changes by it; it is carried out once, by whoever
//! asked, and the answer says in which term that was.

use super::Fleet;
use super::audit::Json;
use super::context::Context;
use crate::ids::NodeId;
use crate::outcome::{Outcome, Rejection};

impl Fleet {
    pub(super) fn transfer(
        &mut self,
        cx: &mut Context<'_>,
        before: Option<NodeId>,
        to: Option<NodeId>,
        term: u64,
    ) -> Result<Outcome, Rejection> {
        let unknown =
            |node: &NodeId| self.nodes.get(node).is_none() && self.peers.get(node).is_none();
        if let Some(unknown) = to.filter(unknown) {
            return Err(Rejection::UnknownNode(unknown));
        }
        if to.is_none() || to != before {
            let leader = |node: Option<NodeId>| {
                let node = node.map_or(Json::Null, |node| Json::from(node.0));
                Json::object([("leader", node)])
            };
            let target = to.map_or_else(|| "any".to_owned(), |node| node.to_string());
            cx.audit("leader.transfer", &target, leader(before), leader(to));
        }
        Ok(Outcome::LeaderAsked { term })
    }
}
