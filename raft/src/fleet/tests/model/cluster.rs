//! What must hold of nodes, leases and peers after every entry, and how random entries meet them.

use super::super::*;
use crate::effect::Effect;
use crate::records::Lease;

pub(super) fn check(before: &Fleet, after: &Fleet, applied: &Applied) {
    check_nodes(before, after, applied);
    check_leases(before, after, applied);
    let peers = |fleet: &Fleet| fleet.peers().cloned().collect::<Vec<_>>();
    if peers(before) != peers(after) {
        assert!(applied.effects.contains(&Effect::PeersChanged));
    }
    for token in after.join_tokens() {
        assert!(token.redeemed.len() <= token.uses as usize);
        let old = before.join_tokens().find(|old| old.id == token.id);
        let old = old.map_or(0, |old| old.redeemed.len());
        assert!(token.redeemed.len() <= old + 1, "one use for one join");
    }
    for id in &before.cluster_head().removed {
        assert!(after.is_removed(*id), "node {id} came again");
    }
    for (id, key) in after.removed_peers() {
        assert!(after.is_removed(id), "node {id} is here");
        let told = after.removed_peer(&key);
        assert_eq!(told.is_none(), after.peer_with_key(&key).is_some());
    }
    assert!(after.held_back().all(|id| !after.is_removed(id)));
    assert!(after.removed_peers().count() <= after.cluster_head().removed.len());
    assert!(after.meta().feature_level >= before.meta().feature_level);
    assert!(after.next_node() >= before.next_node());
}

fn check_nodes(before: &Fleet, after: &Fleet, applied: &Applied) {
    for node in after.nodes() {
        let liveness = after.liveness(node.id);
        if let Some(known) = liveness {
            assert_eq!(known.lost_ms.is_none(), node.live, "{node:?} {known:?}");
            assert!(node.live || known.lost_ms <= Some(after.meta().time_ms));
        }
        let old = before.node(node.id);
        if old.map(|old| (old.live, old.epoch)) != Some((node.live, node.epoch)) {
            let told = Effect::NodeChanged { node: node.id };
            assert!(applied.effects.contains(&told), "nobody hears of {node:?}");
            assert!(old.is_none_or(|old| old.epoch <= node.epoch));
        }
    }
    let nodes = after.nodes().map(|node| node.id);
    let nodes: std::collections::BTreeSet<_> = nodes.collect();
    let known = (&after.liveness).into_iter().map(|(id, _)| *id);
    assert!(known.into_iter().all(|id| nodes.contains(&id)));
}

fn check_leases(before: &Fleet, after: &Fleet, applied: &Applied) {
    let told = |name: &Arc<str>| {
        let told = Effect::LeaseChanged { name: name.clone() };
        applied.effects.contains(&told)
    };
    for lease in after.leases() {
        assert_eq!(lease.not_before_ms == 0, after.is_lease_held(lease));
        assert!(lease.fence.0 <= after.meta().fence);
        let old = before.lease(&lease.name);
        assert!(old == Some(lease) || told(&lease.name));
        let Some(old) = old.filter(|old| old.fence != lease.fence) else {
            continue;
        };
        assert!(
            lease.fence.0 > before.meta().fence,
            "a fence that was given"
        );
        assert_taken_over(before, after, old, lease);
    }
    for lease in before.leases() {
        assert!(after.lease(&lease.name).is_some() || told(&lease.name));
    }
}

/// Nobody loses a lease to another node while it is live, nor before the lock delay is over.
fn assert_taken_over(before: &Fleet, after: &Fleet, old: &Lease, new: &Lease) {
    assert!(!before.is_lease_held(old), "{new:?} took {old:?}");
    let waited = old.not_before_ms <= after.meta().time_ms;
    assert!(waited || old.node == new.node, "{new:?} took {old:?} early");
}

/// Points what was drawn at what there is.
pub(super) fn aim(proposal: &mut Proposal, fleet: &Fleet) {
    let known = |node: &NodeId| fleet.node(*node).map(|node| node.epoch);
    let held = fleet.leases().find(|lease| fleet.is_lease_held(lease));
    if let Proposal::DrainNode { node, epoch }
    | Proposal::LeaveNode { node, epoch }
    | Proposal::AcquireLease { node, epoch, .. } = proposal
    {
        *epoch = known(node).unwrap_or(*epoch);
    }
    if let Proposal::Tick { renewals, .. } = proposal {
        for (node, epoch) in renewals.iter_mut().skip(1) {
            *epoch = known(node).unwrap_or(*epoch);
        }
    }
    if let Some(held) = held
        && let Proposal::ReleaseLease { name, fence } | Proposal::UnderLease { name, fence, .. } =
            proposal
    {
        (*name, *fence) = (held.name.clone(), held.fence);
    }
    if let Proposal::PutPeer { peer } = proposal
        && let Some(node) = fleet.nodes().last()
    {
        peer.id = node.id;
    }
}
