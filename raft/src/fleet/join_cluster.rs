//! `CreateJoinToken` and `RedeemJoinToken`: how a node becomes known to the others. What it may do from there on
//! is decided by the membership, not here.

use std::sync::Arc;

use super::audit::Json;
use super::context::{Context, short};
use super::limits::{
    JOIN_TOKENS_MAX, JOIN_USES_MAX, KEY_BYTES_MAX, NODE_ID_MAX, NODES_MAX, TEXT_BYTES_MAX,
};
use super::{Fleet, limit_reached};
use crate::ids::NodeId;
use crate::outcome::{Outcome, Rejection};
use crate::records::{JoinToken, Peer};

impl Fleet {
    pub(super) fn create_join_token(
        &mut self,
        cx: &mut Context<'_>,
        given: &JoinToken,
    ) -> Result<Outcome, Rejection> {
        short(&given.id, KEY_BYTES_MAX, "id of a token")?;
        if given.uses == 0 || given.uses > JOIN_USES_MAX {
            return Err(Rejection::TooLarge("uses of a join token".into()));
        }
        if self.join_tokens.get(&given.id).is_some() || self.join_token(&given.hash).is_some() {
            return Err(Rejection::TokenExists(Arc::clone(&given.id)));
        }
        let full = self.join_tokens.len() >= JOIN_TOKENS_MAX;
        let over = full.then(|| self.oldest_over(cx.deadline_ms)).flatten();
        if full && over.is_none() {
            return Err(limit_reached("join tokens", JOIN_TOKENS_MAX));
        }
        if let Some(over) = over {
            self.remove_join_token(cx, &over);
        }
        let token = JoinToken {
            created_by: Arc::clone(cx.actor),
            redeemed: Vec::new(),
            ..given.clone()
        };
        let after = Json::from(&token);
        cx.audit("join_token.create", &token.id, Json::Null, after);
        self.put_join_token(cx, token);
        Ok(Outcome::JoinToken(Arc::clone(&given.id)))
    }

    /// The join token whose bearer is known by this hash of a key.
    pub fn join_token(&self, hash: &[u8; 32]) -> Option<&Arc<JoinToken>> {
        self.join_tokens().find(|token| token.hash == *hash)
    }

    /// A token that is over stays as long as there is room: whoever lost the answer to its join asks again.
    fn oldest_over(&self, now_ms: u64) -> Option<Arc<str>> {
        let over = self
            .join_tokens()
            .filter(|token| token.expires_ms <= now_ms);
        let oldest = over.min_by(|a, b| (a.expires_ms, &a.id).cmp(&(b.expires_ms, &b.id)));
        oldest.map(|token| Arc::clone(&token.id))
    }

    pub(super) fn redeem_join_token<'a>(
        &mut self,
        cx: &mut Context<'a>,
        hash: &[u8; 32],
        given: &'a Peer,
        name: &Arc<str>,
    ) -> Result<Outcome, Rejection> {
        short(&given.address, TEXT_BYTES_MAX, "address of a node")?;
        short(name, TEXT_BYTES_MAX, "name of a node")?;
        let token = self.join_token(hash).ok_or(Rejection::JoinTokenUnknown)?;
        let token = Arc::clone(token);
        let current = self.meta.feature_level;
        if given.level < current {
            let level = given.level;
            return Err(Rejection::LevelTooLow { level, current });
        }
        let wanted = (given.id != NodeId(0)).then_some(given.id);
        if let Some(node) = self.peer_with_key(&given.key) {
            return self.join_again(cx, node, given);
        }
        if token.expires_ms <= cx.deadline_ms {
            return Err(Rejection::JoinTokenExpired);
        }
        if token.redeemed.len() >= token.uses as usize {
            return Err(Rejection::JoinTokenSpent);
        }
        if let Some(taken) = wanted.filter(|wanted| self.is_taken(*wanted)) {
            return Err(Rejection::NodeIdTaken(taken));
        }
        if self.nodes.len().max(self.peers.len()) >= NODES_MAX {
            return Err(limit_reached("nodes", NODES_MAX));
        }
        let node = wanted.unwrap_or_else(|| NodeId(self.next_node()));
        if node.0 > NODE_ID_MAX {
            return Err(Rejection::TooLarge("id of a node".into()));
        }
        let peer = Peer {
            id: node,
            ..given.clone()
        };
        let mut token = Arc::unwrap_or_clone(token);
        token.redeemed.push((peer.key, node));
        cx.witness(format!("join-token:{}", token.id).into(), &given.address);
        let after = Json::object([
            ("address", Json::from(&given.address)),
            ("name", Json::from(name)),
        ]);
        cx.audit("node.join", &node, Json::Null, after);
        self.put_join_token(cx, token);
        self.put_peer_record(cx, peer);
        let mut head = (*self.head).clone();
        head.next_node = self.next_node();
        self.put_head(cx, head);
        self.record(cx);
        Ok(self.joined(node))
    }

    /// The answer got lost, or the node was told to join once more. It may have moved meanwhile.
    fn join_again(
        &mut self,
        cx: &mut Context<'_>,
        node: NodeId,
        given: &Peer,
    ) -> Result<Outcome, Rejection> {
        if given.id != NodeId(0) && given.id != node {
            return Err(Rejection::PeerKeyTaken(node));
        }
        let peer = Peer {
            id: node,
            ..given.clone()
        };
        self.put_peer_record(cx, peer);
        Ok(self.joined(node))
    }

    fn joined(&self, node: NodeId) -> Outcome {
        Outcome::Joined {
            node,
            lineage: self.meta.lineage,
        }
    }
}
