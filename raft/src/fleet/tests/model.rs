//! What must hold of every entry, whatever it asks: the rows it names are the rows that changed, a refusal
//! changes nothing, fences grow, what is finished stays, and whoever must hear of it is told.

mod cluster;

use std::collections::BTreeMap;

use super::*;
use crate::effect::Effect;
use crate::fleet::limits::ROWS_MAX;
use crate::fleet::sizes::record_bytes;
use crate::proposal::Asker;
use crate::records::{AgentRecord, Delivery};
use crate::rows::{Row, RowKey};

/// A fleet beside the rows that a store would have of it.
#[derive(Default)]
pub(super) struct Checked {
    pub(super) fleet: Fleet,
    pub(super) rows: BTreeMap<RowKey, Row>,
    index: u64,
}

impl Checked {
    /// Applies an entry here, on a copy that was loaded from the rows, and checks what came of it.
    pub(super) fn apply(&mut self, entry: &Entry) -> Applied {
        self.index += 1;
        let before = self.fleet.clone();
        let mut loaded = Fleet::load(self.rows.clone().into_iter()).expect("the rows are a fleet");
        assert_eq!(loaded, before, "the rows are this fleet");
        let applied = self.fleet.apply(self.index, entry);
        let again = loaded.apply(self.index, entry);
        assert_eq!(format!("{applied:?}"), format!("{again:?}"));
        assert_eq!(loaded, self.fleet, "a function of state and entry");
        self.check_rows(&applied);
        check_refusal(&before, &self.fleet, &applied);
        check_agents(&before, &self.fleet, &applied, entry);
        check_deliveries(&before, &self.fleet, &applied);
        check_groups(&before, &self.fleet, &applied);
        check_audit(&before, &self.fleet, &applied, entry);
        cluster::check(&before, &self.fleet, &applied);
        applied
    }

    fn check_rows(&mut self, applied: &Applied) {
        assert!(applied.dirty.len() + applied.puts.len() <= ROWS_MAX);
        assert!(applied.dirty.is_sorted_by(|a, b| a < b), "each once");
        for key in &applied.dirty {
            match self.fleet.row(key) {
                Some(row) => self.rows.insert(key.clone(), row),
                None => self.rows.remove(key),
            };
        }
        let all = self.fleet.row_keys().filter_map(|key| {
            let row = self.fleet.row(&key)?;
            Some((key, row))
        });
        let mut all: BTreeMap<_, _> = all.collect();
        if !self.rows.contains_key(&RowKey::Meta) && self.fleet == Fleet::default() {
            all.clear();
        }
        assert_eq!(self.rows, all, "a changed row was not named");
    }
}

/// A refusal moves fleet time and nothing else.
fn check_refusal(before: &Fleet, after: &Fleet, applied: &Applied) {
    assert!(after.meta().time_ms >= before.meta().time_ms);
    assert!(after.meta().fence >= before.meta().fence);
    if matches!(applied.outcome, Outcome::Rejected(_)) {
        let mut still = before.clone();
        still.meta_mut().time_ms = after.meta().time_ms;
        assert_eq!(still, *after);
        assert!(applied.effects.is_empty() && applied.puts.is_empty());
    }
}

/// An operator's entry leaves a record exactly when it changed or shows something, and nobody else's ever does.
fn check_audit(before: &Fleet, after: &Fleet, applied: &Applied, entry: &Entry) {
    let records: Vec<_> = applied
        .puts
        .iter()
        .filter_map(|(_, row)| match row {
            Some(Row::Audit(record)) => Some(record),
            _ => None,
        })
        .collect();
    let mut still = after.clone();
    still.meta_mut().time_ms = before.meta().time_ms;
    still.audit = before.audit.clone();
    still.idempotency = before.idempotency.clone();
    still.derived.idempotency_order = before.derived.idempotency_order.clone();
    let key = entry.origin.idempotency.as_ref().map(|given| &given.key);
    let repeated = key.is_some_and(|key| before.idempotency.get(key).is_some());
    let refused = matches!(applied.outcome, Outcome::Rejected(_));
    // what leaves a record although the fleet does not change by it
    let notes = match entry.proposal.inner() {
        Proposal::NoteRead(_) | Proposal::NoteSnapshot(_) => true,
        Proposal::SetMemberRole { before, role, .. } => before != role,
        Proposal::TransferLeader { before, to, .. } => to.is_none() || before != to,
        _ => false,
    };
    let shows = notes && !repeated && !refused;
    let by_operator = matches!(entry.proposal, Proposal::Asked { .. })
        && entry.proposal.inner().asker() == Asker::Operator;
    let joined = matches!(entry.proposal, Proposal::RedeemJoinToken { .. })
        && (&after.join_tokens).into_iter().ne(&before.join_tokens);
    let expected = usize::from(by_operator && (still != *before || shows) || joined);
    assert_eq!(records.len(), expected, "{:?}", entry.proposal);
    let (old, new) = (before.audit(), after.audit());
    assert_eq!(new.last, old.last + expected as u64);
    for record in records {
        assert_eq!((record.seq, record.previous), (new.last, old.hash));
        assert_eq!((record.hash, record.digest()), (new.hash, new.hash));
    }
}

/// Whether the entry gives an agent this uid, with the session that it has.
fn renames_to(entry: &Entry, uid: InstanceUid) -> bool {
    let Proposal::NodeBatch(batch) = &entry.proposal else {
        return false;
    };
    let mut ops = batch.ops.iter();
    ops.any(|op| matches!(op, SessionOp::Rename { to, .. } if *to == uid))
}

fn check_agents(before: &Fleet, after: &Fleet, applied: &Applied, entry: &Entry) {
    let told = |uid| {
        applied
            .effects
            .iter()
            .any(|effect| matches!(effect, Effect::AgentChanged { uid: told, .. } if *told == uid))
    };
    for agent in after.agents(None) {
        assert!(record_bytes(agent) <= AgentRecord::BYTES_MAX);
        let fence = agent.session.map(|session| session.fence);
        assert!(fence <= Some(Fence(after.meta().fence)));
        let old = before.agent(agent.uid);
        if old != Some(agent) {
            assert!(told(agent.uid), "nobody hears that {} changed", agent.uid);
        }
        let Some(old) = old else { continue };
        let held = old.session.map(|session| session.fence);
        if fence.is_some() && held.is_some() && !renames_to(entry, agent.uid) {
            assert!(fence >= held, "a fence went back");
        }
        if let (Some(lost), Some(held)) = (before.valid_session(old), agent.session)
            && lost.node != held.node
        {
            let moved = Effect::SessionMoved {
                uid: agent.uid,
                from: lost.node,
                fence: lost.fence,
            };
            assert!(applied.effects.contains(&moved), "the loser is not told");
        }
    }
    for agent in before.agents(None) {
        assert!(after.agent(agent.uid).is_some() || told(agent.uid));
    }
}

fn is_finished(delivery: &Delivery) -> bool {
    !matches!(delivery.state, DeliveryState::Queued | DeliveryState::Sent)
}

fn check_deliveries(before: &Fleet, after: &Fleet, applied: &Applied) {
    for dispatch in after.dispatches(None) {
        for delivery in after.deliveries(dispatch.id, None) {
            let old = before.delivery(delivery.dispatch, delivery.agent);
            if old == Some(delivery) {
                continue;
            }
            assert!(
                old.is_none_or(|old| !is_finished(old)),
                "a finished delivery changed"
            );
            if delivery.state == DeliveryState::Sent {
                let (node, epoch, fence) = delivery.sent_by.expect("somebody sent it");
                let agent = after.agent(delivery.agent).expect("known");
                let session = after.valid_session(agent).expect("owned");
                assert_eq!(
                    (node, epoch, fence),
                    (session.node, session.epoch, session.fence)
                );
            }
            let told = Effect::DeliveryChanged {
                dispatch: delivery.dispatch,
                agent: delivery.agent,
            };
            assert!(applied.effects.contains(&told));
            let told = Effect::DispatchChanged {
                dispatch: delivery.dispatch,
            };
            let renamed = old.is_none() && before.dispatch(dispatch.id) == Some(dispatch);
            assert!(applied.effects.contains(&told) || renamed);
        }
    }
    // a finished one may leave: nobody waits for it
    let open = (&before.deliveries).into_iter();
    for (key, _) in open.filter(|(_, delivery)| !is_finished(delivery)) {
        let moved = || {
            applied.effects.iter().any(|effect| {
            matches!(effect, Effect::DeliveryChanged { dispatch, .. } if *dispatch == key.0)
        })
        };
        assert!(
            after.deliveries.get(key).is_some() || moved(),
            "a delivery vanished"
        );
    }
}

fn check_groups(before: &Fleet, after: &Fleet, applied: &Applied) {
    let told = |name: &Arc<str>| {
        let told = Effect::GroupChanged {
            name: Arc::clone(name),
        };
        applied.effects.contains(&told)
    };
    for group in after.groups(None) {
        let old = before.group(&group.name);
        assert!(old == Some(group) || told(&group.name));
        if let Some(old) = old.filter(|old| *old != group) {
            assert!(is_moved(old, group) || group.revision > old.revision);
        }
    }
    for group in before.groups(None) {
        assert!(after.group(&group.name).is_some() || told(&group.name));
    }
}

/// Whether a change went its way: what operators say is the same.
fn is_moved(old: &crate::records::Group, new: &crate::records::Group) -> bool {
    let mut still = new.clone();
    still.assignment = old.assignment.clone();
    still == *old
}

/// Lets an agent fail with what is on trial, when it fails at all.
fn blame(update: &mut AgentUpdate, fleet: &Fleet) {
    let trial = super::super::first(&fleet.derived.trials);
    if let (Some((hash, _)), Some(config)) = (trial, &mut update.config)
        && config.status == crate::records::ConfigStatus::Failed
    {
        config.hash = hash.0.to_vec();
    }
}

/// The same for changes of groups.
fn aim_at_changes(proposal: &mut Proposal, fleet: &Fleet) {
    if let Proposal::MoveRollout(step) = proposal
        && let Some((group, rollout, _)) = fleet.under_way().next()
    {
        step.group = Arc::clone(&group.name);
        step.seen = rollout.revision;
    }
    if let Proposal::PutGroup(PutGroup {
        assign: Assign::Version {
            configuration,
            version,
        },
        ..
    }) = proposal
        && let Some(found) = fleet.configurations(None).next()
    {
        *configuration = Arc::clone(&found.name);
        *version = version.filter(|number| *number <= found.newest);
    }
    let mut held = fleet
        .rollouts()
        .filter(|rollout| !rollout.quarantined.is_empty());
    if let Proposal::LiftQuarantine { name, .. } = proposal
        && let Some(held) = held.next()
    {
        *name = Arc::clone(&held.group);
    }
    let mut going = fleet
        .groups(None)
        .filter(|group| group.assignment.is_some());
    if let Proposal::RevertGroup { name, .. } = proposal
        && let Some(going) = going.next()
    {
        *name = Arc::clone(&going.name);
    }
}

/// The same for marks of deliveries.
fn aim_marks(marks: &mut MarkDeliveries, fleet: &Fleet) {
    let fence_of = |uid| {
        let session = fleet.agent(uid)?.session?;
        Some(session.fence)
    };
    if let Some(node) = fleet.node(marks.node) {
        marks.epoch = node.epoch;
    }
    for mark in &mut marks.marks {
        if let MarkTo::Sent { fence, .. } = &mut mark.to {
            *fence = fence_of(mark.agent).unwrap_or(*fence);
        }
    }
}

fn aim_batch(batch: &mut NodeBatch, fleet: &Fleet) {
    let fence_of = |uid| {
        let session = fleet.agent(uid)?.session?;
        Some(session.fence)
    };
    if let Some(node) = fleet.node(batch.node) {
        (batch.epoch, batch.number) = (node.epoch, node.batch + 1);
    }
    for op in &mut batch.ops {
        match op {
            SessionOp::Claim { uid, expect, .. } => *expect = fence_of(*uid),
            SessionOp::Release { uid, fence, .. } => {
                *fence = fence_of(*uid).unwrap_or(*fence);
            }
            SessionOp::Report { update, .. } => blame(update, fleet),
            SessionOp::Rename { .. } | SessionOp::Enroll { .. } => {}
        }
    }
}

fn aim_expansion(dispatch: &mut DispatchId, cursor: &mut Option<InstanceUid>, fleet: &Fleet) {
    let Some(next) = fleet.expanding().next() else {
        return;
    };
    *dispatch = next;
    if let Some(found) = fleet.dispatch(next)
        && let crate::records::DispatchState::Expanding { cursor: seen } = found.state
    {
        *cursor = seen;
    }
}

/// Points what was drawn at random at what there is, as a node that knows the fleet would.
pub(super) fn aim(entry: &mut Entry, fleet: &Fleet) {
    let fence_of = |uid| {
        let session = fleet.agent(uid)?.session?;
        Some(session.fence)
    };
    let proposal = match &mut entry.proposal {
        Proposal::Asked { proposal, .. } => &mut **proposal,
        plain => plain,
    };
    cluster::aim(proposal, fleet);
    let proposal = match proposal {
        Proposal::UnderLease { proposal, .. } => &mut **proposal,
        plain => plain,
    };
    aim_at_changes(proposal, fleet);
    match proposal {
        Proposal::NodeBatch(batch) => aim_batch(batch, fleet),
        Proposal::MarkDeliveries(marks) => aim_marks(marks, fleet),
        Proposal::TrimAudit { first, .. } => *first = fleet.audit().first,
        Proposal::ExpandDispatch { dispatch, cursor } => aim_expansion(dispatch, cursor, fleet),
        Proposal::MoveRollout(_)
        | Proposal::LiftQuarantine { .. }
        | Proposal::RevertGroup { .. }
        | Proposal::Found { .. }
        | Proposal::ForgetFailures(_)
        | Proposal::PutRolloutRules { .. }
        | Proposal::RegisterNode(_)
        | Proposal::StageBody(_)
        | Proposal::CreateVersion(_)
        | Proposal::PutGroup(_)
        | Proposal::DeleteGroup { .. }
        | Proposal::CreateDispatch(_)
        | Proposal::CancelDispatch { .. }
        | Proposal::ExpireDeliveries { .. }
        | Proposal::PutToken { .. }
        | Proposal::Asked { .. }
        | Proposal::NoteWallTime { .. }
        | Proposal::NoteRead(_)
        | Proposal::CreateToken { .. }
        | Proposal::DeleteToken { .. }
        | Proposal::CreateEnrollmentToken { .. }
        | Proposal::DeleteEnrollmentToken { .. }
        | Proposal::SweepTokens { .. }
        | Proposal::LeaderStart { .. }
        | Proposal::Tick { .. }
        | Proposal::DrainNode { .. }
        | Proposal::LeaveNode { .. }
        | Proposal::AcquireLease { .. }
        | Proposal::ReleaseLease { .. }
        | Proposal::PutPeer { .. }
        | Proposal::CreateJoinToken { .. }
        | Proposal::RedeemJoinToken { .. }
        | Proposal::RemoveNode { .. }
        | Proposal::SetFeatureLevel { .. }
        | Proposal::SetMemberRole { .. }
        | Proposal::TransferLeader { .. }
        | Proposal::UnderLease { .. }
        | Proposal::SetLabels(_)
        | Proposal::NoteSnapshot(_) => {}
        Proposal::ForgetAgent { agent, fence } => *fence = fence.and(fence_of(*agent)),
        Proposal::Retention(Retention::RetireDispatches { dispatches }) => {
            dispatches.extend(fleet.dispatches(None).map(|dispatch| dispatch.id).take(3));
        }
        Proposal::Retention(_) => {}
        Proposal::CreateVersionAfter { newest, version } => {
            let known = fleet.configuration(&version.configuration);
            *newest = known.map_or(0, |known| known.newest);
        }
    }
}
