//! `PutPeer` and `SetFeatureLevel`: how nodes are reached and by which key they are known, and what all of them can
//! apply.

use super::audit::Json;
use super::context::{Context, short};
use super::limits::TEXT_BYTES_MAX;
use super::{FEATURE_LEVEL, Fleet};
use crate::ids::NodeId;
use crate::outcome::{Outcome, Rejection};
use crate::records::Peer;

impl Fleet {
    pub(super) fn put_peer(
        &mut self,
        cx: &mut Context<'_>,
        peer: &Peer,
    ) -> Result<Outcome, Rejection> {
        short(&peer.address, TEXT_BYTES_MAX, "address of a node")?;
        if self.nodes.get(&peer.id).is_none() && self.peers.get(&peer.id).is_none() {
            return Err(Rejection::UnknownNode(peer.id));
        }
        match self.peer_with_key(&peer.key) {
            Some(other) if other != peer.id => return Err(Rejection::PeerKeyTaken(other)),
            Some(_) | None => {}
        }
        self.put_peer_record(cx, peer.clone());
        Ok(Outcome::Done)
    }

    /// Who is known by this key.
    pub fn peer_with_key(&self, key: &[u8; 32]) -> Option<NodeId> {
        let mut peers = self.peers();
        peers.find(|peer| peer.key == *key).map(|peer| peer.id)
    }

    /// Every node that ever comes has at least this level, so it is only compared with those that are here.
    pub(super) fn set_feature_level(
        &mut self,
        cx: &mut Context<'_>,
        level: u16,
    ) -> Result<Outcome, Rejection> {
        let current = self.meta.feature_level;
        if level < current {
            return Err(Rejection::LevelTooLow { level, current });
        }
        let lowest = self.peers().map(|peer| peer.level).min();
        let highest = lowest.unwrap_or(FEATURE_LEVEL).min(FEATURE_LEVEL);
        if level > highest && level > current {
            return Err(Rejection::LevelTooHigh { level, highest });
        }
        if level > current {
            let shown = |level: u16| Json::from(u32::from(level));
            cx.audit("feature_level.set", &level, shown(current), shown(level));
            self.meta_mut().feature_level = level;
        }
        Ok(Outcome::Done)
    }
}
