//! Reads: everything that tasks, handlers and views ask of a fleet. All are in key order.

use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

use super::Fleet;
use crate::ids::{ConfigHash, DispatchId, Epoch, InstanceUid, NodeId};
use crate::records::{
    AgentRecord, BodyMeta, Configuration, Delivery, Dispatch, Downtime, FleetMeta, Group, Node,
    Rollout, RolloutRules, Session, Token, Trial,
};
use crate::rows::{Row, RowKey};

const FIRST: InstanceUid = InstanceUid::nil();
const LAST: InstanceUid = InstanceUid::max();

impl Fleet {
    /// Counters, identity and fleet time.
    pub fn meta(&self) -> &FleetMeta {
        &self.meta
    }

    /// One node.
    pub fn node(&self, id: NodeId) -> Option<&Arc<Node>> {
        self.nodes.get(&id)
    }

    /// All nodes that ever registered.
    pub fn nodes(&self) -> impl Iterator<Item = &Arc<Node>> {
        (&self.nodes).into_iter().map(|(_, node)| node)
    }

    /// One agent.
    pub fn agent(&self, uid: InstanceUid) -> Option<&Arc<AgentRecord>> {
        self.agents.get(&uid)
    }

    /// Agents after `after`, in uid order.
    pub fn agents(&self, after: Option<InstanceUid>) -> impl Iterator<Item = &Arc<AgentRecord>> {
        let from = after.map_or(Unbounded, Excluded);
        self.agents
            .range::<InstanceUid, _>((from, Unbounded))
            .map(|(_, agent)| agent)
    }

    /// How many agents there are.
    pub fn agents_len(&self) -> usize {
        self.agents.len()
    }

    /// One configuration.
    pub fn configuration(&self, name: &str) -> Option<&Arc<Configuration>> {
        self.configurations.get(name)
    }

    /// Configurations after `after`, by name.
    pub fn configurations(&self, after: Option<&str>) -> impl Iterator<Item = &Arc<Configuration>> {
        let from = after.map_or(Unbounded, |name| Excluded(Arc::<str>::from(name)));
        self.configurations
            .range::<Arc<str>, _>((from, Unbounded))
            .map(|(_, value)| value)
    }

    /// What is known of a body.
    pub fn body(&self, hash: &ConfigHash) -> Option<&Arc<BodyMeta>> {
        self.bodies.get(hash)
    }

    /// One group.
    pub fn group(&self, name: &str) -> Option<&Arc<Group>> {
        self.groups.get(name)
    }

    /// Groups after `after`, by name.
    pub fn groups(&self, after: Option<&str>) -> impl Iterator<Item = &Arc<Group>> {
        let from = after.map_or(Unbounded, |name| Excluded(Arc::<str>::from(name)));
        self.groups
            .range::<Arc<str>, _>((from, Unbounded))
            .map(|(_, value)| value)
    }

    /// How the change of a group goes; `None` before its first assignment.
    pub fn rollout(&self, group: &str) -> Option<&Arc<Rollout>> {
        self.rollouts.get(group)
    }

    /// How the changes of all groups go, by name.
    pub fn rollouts(&self) -> impl Iterator<Item = &Arc<Rollout>> {
        (&self.rollouts).into_iter().map(|(_, rollout)| rollout)
    }

    /// Groups whose next version is on its way, with what is known of it, by hash and name.
    pub fn under_way(&self) -> impl Iterator<Item = (&Arc<Group>, &Arc<Rollout>, &Trial)> {
        (&self.derived.trials).into_iter().filter_map(|(_, name)| {
            let rollout = self.rollouts.get(name)?;
            let trial = rollout.trial.as_ref()?;
            let group = self.groups.get(name)?;
            trial
                .settled_at_ms
                .is_none()
                .then_some((group, rollout, trial))
        })
    }

    /// Whether what the group is to have next is held back by quarantine.
    pub fn is_held(&self, group: &Group) -> bool {
        let assignment = group.assignment.as_ref();
        let next = assignment.and_then(|assignment| assignment.next.as_ref());
        next.is_some_and(|next| {
            let rollout = self.rollouts.get(&group.name);
            let mut held = rollout.iter().flat_map(|rollout| &rollout.quarantined);
            held.any(|held| held.version.hash == next.hash)
        })
    }

    /// When a change counts as failed.
    pub fn rollout_rules(&self) -> RolloutRules {
        self.rollout_rules.unwrap_or_default()
    }

    /// One dispatch.
    pub fn dispatch(&self, id: DispatchId) -> Option<&Arc<Dispatch>> {
        self.dispatches.get(&id)
    }

    /// Dispatches before `before`, newest first.
    pub fn dispatches(&self, before: Option<DispatchId>) -> impl Iterator<Item = &Arc<Dispatch>> {
        let to = before.map_or(Unbounded, Excluded);
        self.dispatches
            .range::<DispatchId, _>((Unbounded, to))
            .rev()
            .map(|(_, value)| value)
    }

    /// One delivery.
    pub fn delivery(&self, id: DispatchId, agent: InstanceUid) -> Option<&Arc<Delivery>> {
        self.deliveries.get(&(id, agent))
    }

    /// Deliveries of a dispatch after `after`, in uid order.
    pub fn deliveries(
        &self,
        id: DispatchId,
        after: Option<InstanceUid>,
    ) -> impl Iterator<Item = &Arc<Delivery>> {
        let from = after.map_or(std::ops::Bound::Included((id, FIRST)), |uid| {
            Excluded((id, uid))
        });
        let to = std::ops::Bound::Included((id, LAST));
        self.deliveries
            .range::<(DispatchId, InstanceUid), _>((from, to))
            .map(|(_, value)| value)
    }

    /// Dispatches whose delivery to this agent is queued, oldest first.
    pub fn queued_for(&self, agent: InstanceUid) -> impl Iterator<Item = DispatchId> {
        let range = (agent, DispatchId(0))..=(agent, DispatchId(u64::MAX));
        self.derived
            .queued
            .range::<(InstanceUid, DispatchId), _>(range)
            .map(|(_, id)| *id)
    }

    /// Agents whose delivery of this dispatch is queued, in uid order.
    pub fn queued_of(&self, id: DispatchId) -> impl Iterator<Item = InstanceUid> {
        let range = (id, FIRST)..=(id, LAST);
        let queued = &self.derived.queued_by_dispatch;
        queued
            .range::<(DispatchId, InstanceUid), _>(range)
            .map(|(_, uid)| *uid)
    }

    /// Every delivery in state `Sent`, oldest dispatch first.
    pub fn sent(&self) -> impl Iterator<Item = (DispatchId, InstanceUid)> {
        (&self.derived.sent).into_iter().copied()
    }

    /// Dispatches that are being expanded, oldest first.
    pub fn expanding(&self) -> impl Iterator<Item = DispatchId> {
        (&self.derived.expanding).into_iter().copied()
    }

    /// The earliest deadline time of a queued delivery.
    pub fn next_expiry_ms(&self) -> Option<u64> {
        (&self.derived.expiry)
            .into_iter()
            .next()
            .map(|(deadline, _)| *deadline)
    }

    /// The token whose text has this SHA-256.
    pub fn token(&self, hash: &[u8; 32]) -> Option<&Arc<Token>> {
        let from = std::ops::Bound::Included((*hash, Arc::<str>::from("")));
        let mut found = self
            .derived
            .token_hashes
            .range::<([u8; 32], Arc<str>), _>((from, Unbounded));
        let (_, id) = found.next().filter(|(found, _)| found == hash)?;
        self.tokens.get(id)
    }

    /// All tokens, by id.
    pub fn tokens(&self) -> impl Iterator<Item = &Arc<Token>> {
        (&self.tokens).into_iter().map(|(_, token)| token)
    }

    /// Tokens after `after`, by id.
    pub fn tokens_after(&self, after: Option<&str>) -> impl Iterator<Item = &Arc<Token>> {
        let from = after.map_or(Unbounded, |id| Excluded(Arc::<str>::from(id)));
        self.tokens
            .range::<Arc<str>, _>((from, Unbounded))
            .map(|(_, token)| token)
    }

    /// Whether a node is live in this epoch: the condition of everything that it owns.
    pub fn is_live(&self, node: NodeId, epoch: Epoch) -> bool {
        self.nodes
            .get(&node)
            .is_some_and(|node| node.live && node.epoch == epoch)
    }

    /// Whether somebody owns the agent's conversation, live.
    pub fn session_valid(&self, agent: &AgentRecord) -> bool {
        self.valid_session(agent).is_some()
    }

    /// The agent's session, if its owner is live in its epoch.
    pub fn valid_session(&self, agent: &AgentRecord) -> Option<Session> {
        agent
            .session
            .filter(|session| self.is_live(session.node, session.epoch))
    }

    /// The value in memory of a row; `None` when there is none, and always for what
    /// is beside memory.
    pub fn row(&self, key: &RowKey) -> Option<Row> {
        match key {
            RowKey::Meta => Some(Row::Meta(Arc::clone(&self.meta))),
            RowKey::Node(id) => self.nodes.get(id).cloned().map(Row::Node),
            RowKey::Agent(uid) => self.agents.get(uid).cloned().map(Row::Agent),
            RowKey::Configuration(name) => self
                .configurations
                .get(name)
                .cloned()
                .map(Row::Configuration),
            RowKey::BodyMeta(hash) => self.bodies.get(hash).cloned().map(Row::BodyMeta),
            RowKey::BodyPart(..) | RowKey::Audit(_) => None,
            RowKey::Downtime => {
                let noted = *self.downtime != Downtime::default();
                noted.then(|| Row::Downtime(Arc::clone(&self.downtime)))
            }
            RowKey::AuditHead => {
                (self.audit.last > 0).then(|| Row::AuditHead(Arc::clone(&self.audit)))
            }
            RowKey::Group(name) => self.groups.get(name).cloned().map(Row::Group),
            RowKey::Dispatch(id) => self.dispatches.get(id).cloned().map(Row::Dispatch),
            RowKey::Delivery(id, uid) => self
                .deliveries
                .get(&(*id, *uid))
                .cloned()
                .map(Row::Delivery),
            RowKey::Token(id) => self.tokens.get(id).cloned().map(Row::Token),
            RowKey::Idempotency(key) => self.idempotency.get(key).cloned().map(Row::Idempotency),
            RowKey::Rollout(name) => self.rollouts.get(name).cloned().map(Row::Rollout),
            RowKey::RolloutRules => self.rollout_rules.map(Row::RolloutRules),
            RowKey::EnrollmentToken(id) => self
                .enrollment_tokens
                .get(id)
                .cloned()
                .map(Row::EnrollmentToken),
            RowKey::Enrollment(uid) => self.enrollments.get(uid).cloned().map(Row::Enrollment),
            RowKey::TokenNote(id) => self.token_notes.get(id).cloned().map(Row::TokenNote),
            RowKey::Liveness(_)
            | RowKey::Lease(_)
            | RowKey::Peer(_)
            | RowKey::JoinToken(_)
            | RowKey::ClusterHead
            | RowKey::MemberNote(_) => self.cluster_row(key),
        }
    }

    /// The names of all rows in memory, in key order: what a snapshot at this index holds besides
    /// parts of bodies and audit records.
    pub fn row_keys(&self) -> impl Iterator<Item = RowKey> {
        std::iter::once(RowKey::Meta)
            .chain((&self.nodes).into_iter().map(|(id, _)| RowKey::Node(*id)))
            .chain(
                (&self.agents)
                    .into_iter()
                    .map(|(uid, _)| RowKey::Agent(*uid)),
            )
            .chain(
                (&self.configurations)
                    .into_iter()
                    .map(|(name, _)| RowKey::Configuration(Arc::clone(name))),
            )
            .chain(
                (&self.bodies)
                    .into_iter()
                    .map(|(hash, _)| RowKey::BodyMeta(*hash)),
            )
            .chain(
                (&self.groups)
                    .into_iter()
                    .map(|(name, _)| RowKey::Group(Arc::clone(name))),
            )
            .chain(
                (&self.dispatches)
                    .into_iter()
                    .map(|(id, _)| RowKey::Dispatch(*id)),
            )
            .chain(
                (&self.deliveries)
                    .into_iter()
                    .map(|(key, _)| RowKey::Delivery(key.0, key.1)),
            )
            .chain(
                (&self.tokens)
                    .into_iter()
                    .map(|(id, _)| RowKey::Token(Arc::clone(id))),
            )
            .chain(
                (&self.idempotency)
                    .into_iter()
                    .map(|(key, _)| RowKey::Idempotency(Arc::clone(key))),
            )
            .chain((self.audit.last > 0).then_some(RowKey::AuditHead))
            .chain((*self.downtime != Downtime::default()).then_some(RowKey::Downtime))
            .chain(
                (&self.rollouts)
                    .into_iter()
                    .map(|(name, _)| RowKey::Rollout(Arc::clone(name))),
            )
            .chain(self.rollout_rules.map(|_| RowKey::RolloutRules))
            .chain(
                (&self.enrollment_tokens)
                    .into_iter()
                    .map(|(id, _)| RowKey::EnrollmentToken(Arc::clone(id))),
            )
            .chain(
                (&self.enrollments)
                    .into_iter()
                    .map(|(uid, _)| RowKey::Enrollment(*uid)),
            )
            .chain(
                (&self.token_notes)
                    .into_iter()
                    .map(|(id, _)| RowKey::TokenNote(Arc::clone(id))),
            )
            .chain(self.cluster_keys())
    }
}
