//! How a node hears that it was removed while it was away: as long as no quorum speaks to it, it greets those whom it
//! knew. They know its key and say nothing else to it.

use std::time::Duration;

use ampora_raft::consensus::Consensus;
use ampora_raft::ids::NodeId;
use futures_util::future::join_all;

use super::ask::greeting;
use super::peering::Peering;
use crate::node::identity::Identity;
use crate::peer::{PeerAnswer, PeerCall, Removed};

/// Between two rounds of greetings, and how long one may take.
const PERIOD: Duration = Duration::from_secs(2);

/// Nodes that are greeted in one round; the next round goes on with others.
const GREETED_MAX: usize = 8;

/// Waits until a member of the cluster says that this node was removed from it; for ever when none does.
pub async fn told_removed(peering: &Peering, consensus: &Consensus, identity: Identity) {
    let mut tick = tokio::time::interval(PERIOD);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut round = 0;
    loop {
        tick.tick().await;
        if consensus.status().quorum {
            continue;
        }
        let lineage = consensus.view().fleet.meta().lineage;
        let cluster = identity.cluster.unwrap_or(lineage);
        let known = peering.addresses();
        let others: Vec<NodeId> = known
            .into_keys()
            .filter(|id| *id != identity.node)
            .collect();
        let some = others.iter().cycle().skip(round * GREETED_MAX);
        let some = some.take(others.len().min(GREETED_MAX));
        round = (round + 1) % others.len().max(1);
        let call = PeerCall::Hello(greeting(cluster));
        let answers = join_all(some.map(|node| peering.peers.ask(*node, &call, PERIOD))).await;
        let own = Removed {
            cluster_id: cluster,
            node: identity.node,
        };
        let is_own = |answer| matches!(answer, Ok(PeerAnswer::Removed(removed)) if removed == own);
        if answers.into_iter().any(is_own) {
            tracing::error!(
                node = identity.node.0,
                "this node was removed from cluster {cluster:032x} while it was away"
            );
            return;
        }
    }
}
