//! Loading: a fleet from its rows, with every derived index rebuilt. Rows that contradict each other are
//! refused by name, because a fleet that differs from its log's must never apply another entry.

use std::sync::Arc;

use super::Fleet;
use crate::records::{Counts, Dispatch, DispatchState};
use crate::rows::{Row, RowKey};

/// Why rows are no fleet.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// A row came twice.
    #[error("row {0:?} came twice")]
    Twice(RowKey),
    /// The value belongs to another key, or is of another kind.
    #[error("row {0:?} holds the value of another row")]
    Foreign(RowKey),
    /// The row contradicts another one.
    #[error("row {key:?} contradicts the fleet: {what}")]
    Contradiction {
        /// The row.
        key: RowKey,
        /// What is wrong.
        what: &'static str,
    },
}

impl Fleet {
    /// Rebuilds the fleet from its rows, in any order. Parts of bodies and audit records are passed over: they
    /// are not memory.
    ///
    /// # Errors
    /// A row that came twice, whose value does not belong to its key, or that contradicts another.
    pub fn load(rows: impl Iterator<Item = (RowKey, Row)>) -> Result<Self, LoadError> {
        let mut fleet = Self::default();
        let (mut any, mut head) = (false, false);
        for (key, row) in rows {
            any = true;
            if key == RowKey::Meta {
                if head {
                    return Err(LoadError::Twice(key));
                }
                head = true;
            }
            fleet.take_row(key, row)?;
        }
        if any && !head {
            return Err(contradiction(RowKey::Meta, "it is missing"));
        }
        fleet.index_orphans();
        fleet.check_agents()?;
        fleet.check_configurations()?;
        fleet.check_groups()?;
        fleet.check_deliveries()?;
        fleet.check_audit()?;
        fleet.check_cluster()?;
        Ok(fleet)
    }

    fn take_row(&mut self, key: RowKey, row: Row) -> Result<(), LoadError> {
        let replaced = match (&key, row) {
            (RowKey::Meta, Row::Meta(meta)) => {
                self.meta = meta;
                false
            }
            (RowKey::Node(id), Row::Node(node)) if *id == node.id => {
                self.nodes.insert_cow(*id, node).is_some()
            }
            (RowKey::Agent(uid), Row::Agent(agent)) if *uid == agent.uid => {
                self.derived.post(None, Some(&agent));
                self.agents.insert_cow(*uid, agent).is_some()
            }
            (RowKey::Configuration(name), Row::Configuration(value)) if *name == value.name => self
                .configurations
                .insert_cow(Arc::clone(name), value)
                .is_some(),
            (RowKey::BodyMeta(hash), Row::BodyMeta(meta)) => {
                self.derived.index_body(*hash, &meta);
                self.bodies.insert_cow(*hash, meta).is_some()
            }
            (RowKey::BodyPart(..), Row::BodyPart(_)) | (RowKey::Audit(_), Row::Audit(_)) => false,
            (RowKey::Downtime, Row::Downtime(downtime)) => {
                let known = std::mem::replace(&mut self.downtime, downtime);
                known.wall_ms != 0
            }
            (RowKey::AuditHead, Row::AuditHead(head)) => {
                let known = std::mem::replace(&mut self.audit, head);
                known.last != 0
            }
            (RowKey::Group(name), Row::Group(group)) if *name == group.name => {
                self.derived.index_group(&group);
                self.groups.insert_cow(Arc::clone(name), group).is_some()
            }
            (RowKey::Dispatch(id), Row::Dispatch(dispatch)) if *id == dispatch.id => {
                self.derived.index_dispatch(&dispatch);
                self.dispatches.insert_cow(*id, dispatch).is_some()
            }
            (RowKey::Delivery(id, uid), Row::Delivery(delivery))
                if (*id, *uid) == (delivery.dispatch, delivery.agent) =>
            {
                self.derived.index_delivery((*id, *uid), &delivery.state);
                self.deliveries.insert_cow((*id, *uid), delivery).is_some()
            }
            (RowKey::Token(id), Row::Token(token)) if *id == token.id => {
                self.derived.index_token(&token);
                self.tokens.insert_cow(Arc::clone(id), token).is_some()
            }
            (RowKey::Idempotency(name), Row::Idempotency(row)) => {
                self.derived
                    .idempotency_order
                    .insert_cow((row.index, Arc::clone(name)));
                self.idempotency.insert_cow(Arc::clone(name), row).is_some()
            }
            (RowKey::Rollout(name), Row::Rollout(rollout)) if *name == rollout.group => {
                self.derived.index_trial(&rollout);
                self.rollouts
                    .insert_cow(Arc::clone(name), rollout)
                    .is_some()
            }
            (RowKey::RolloutRules, Row::RolloutRules(rules)) => {
                self.rollout_rules.replace(rules).is_some()
            }
            (_, row) => self.take_access_row(&key, row)?,
        };
        if replaced {
            Err(LoadError::Twice(key))
        } else {
            Ok(())
        }
    }

    /// Rows about who may do what, and those of the cluster; true when one came twice.
    fn take_access_row(&mut self, key: &RowKey, row: Row) -> Result<bool, LoadError> {
        Ok(match (key, row) {
            (RowKey::EnrollmentToken(id), Row::EnrollmentToken(token)) if *id == token.id => {
                self.derived
                    .enrollment_hashes
                    .insert_cow((token.hash, Arc::clone(id)));
                self.enrollment_tokens
                    .insert_cow(Arc::clone(id), token)
                    .is_some()
            }
            (RowKey::Enrollment(uid), Row::Enrollment(given)) if *uid == given.agent => {
                self.index_enrollment(&given);
                self.enrollments.insert_cow(*uid, given).is_some()
            }
            (RowKey::TokenNote(id), Row::TokenNote(note)) if *id == note.token => {
                self.token_notes.insert_cow(Arc::clone(id), note).is_some()
            }
            (_, row) => {
                let taken = self.take_cluster_row(key, row);
                taken.ok_or_else(|| LoadError::Foreign(key.clone()))?
            }
        })
    }

    fn check_agents(&self) -> Result<(), LoadError> {
        for agent in self.agents(None) {
            let Some(session) = agent.session else {
                continue;
            };
            let known = match self.nodes.get(&session.node) {
                Some(node) => session.epoch <= node.epoch,
                None => self.is_removed(session.node),
            };
            if !known || session.fence.0 > self.meta.fence {
                let what = "its session has a fence or an epoch that was never given";
                return Err(contradiction(RowKey::Agent(agent.uid), what));
            }
        }
        Ok(())
    }

    fn check_cluster(&self) -> Result<(), LoadError> {
        for lease in self.leases() {
            if lease.fence.0 > self.meta.fence {
                let key = RowKey::Lease(Arc::clone(&lease.name));
                return Err(contradiction(key, "its fence was never given"));
            }
        }
        self.check_member_notes()?;
        for peer in self.peers() {
            if self.peer_with_key(&peer.key) != Some(peer.id) {
                let what = "its key is another's";
                return Err(contradiction(RowKey::Peer(peer.id), what));
            }
        }
        Ok(())
    }

    fn check_configurations(&self) -> Result<(), LoadError> {
        let mut references = std::collections::BTreeMap::new();
        for configuration in self.configurations(None) {
            let versions = &configuration.versions;
            if !versions.is_sorted_by(|a, b| a.number < b.number)
                || versions
                    .last()
                    .is_some_and(|last| last.number > configuration.newest)
            {
                let key = RowKey::Configuration(Arc::clone(&configuration.name));
                return Err(contradiction(key, "its versions are not in order"));
            }
            for version in versions {
                *references.entry(version.hash).or_insert(0_u32) += 1;
            }
        }
        for (hash, body) in &self.bodies {
            let counted = references.remove(hash).unwrap_or(0);
            if counted != body.references || counted > 0 && !body.is_whole() {
                return Err(contradiction(
                    RowKey::BodyMeta(*hash),
                    "its references differ",
                ));
            }
        }
        match references.into_keys().next() {
            Some(hash) => Err(contradiction(RowKey::BodyMeta(hash), "it is missing")),
            None => Ok(()),
        }
    }

    fn check_groups(&self) -> Result<(), LoadError> {
        for group in self.groups(None) {
            let assignment = group.assignment.iter();
            let versions = assignment.flat_map(|given| given.settled.iter().chain(&given.next));
            for given in versions {
                let found = self
                    .configurations
                    .get(&given.configuration)
                    .and_then(|found| {
                        found
                            .versions
                            .iter()
                            .find(|version| version.number == given.version)
                    });
                if found.is_none_or(|found| found.hash != given.hash) {
                    let key = RowKey::Group(Arc::clone(&group.name));
                    return Err(contradiction(
                        key,
                        "it assigns a version that does not exist",
                    ));
                }
            }
        }
        for (name, _) in &self.rollouts {
            if self.groups.get(name).is_none() {
                let key = RowKey::Rollout(Arc::clone(name));
                return Err(contradiction(key, "its group is missing"));
            }
        }
        Ok(())
    }

    fn check_audit(&self) -> Result<(), LoadError> {
        let head = &self.audit;
        if head.first > head.last.saturating_add(1) || head.last > 0 && head.first == 0 {
            return Err(contradiction(
                RowKey::AuditHead,
                "its numbers are not in order",
            ));
        }
        Ok(())
    }

    fn check_deliveries(&self) -> Result<(), LoadError> {
        for dispatch in self.dispatches(None) {
            let mut counted = Counts::default();
            for delivery in self.deliveries(dispatch.id, None) {
                *counted.of(&delivery.state) += 1;
            }
            if dispatch.id.0 > self.meta.dispatch || !counts_agree(dispatch, counted) {
                let key = RowKey::Dispatch(dispatch.id);
                return Err(contradiction(key, "its counts differ from its deliveries"));
            }
        }
        for ((id, uid), _) in &self.deliveries {
            if self.dispatches.get(id).is_none() {
                let key = RowKey::Delivery(*id, *uid);
                return Err(contradiction(key, "its dispatch is missing"));
            }
        }
        Ok(())
    }
}

/// Whether the deliveries that exist are those that a dispatch counts; a finished one may have lost some,
/// because it leaves in steps.
pub(super) fn counts_agree(dispatch: &Dispatch, counted: Counts) -> bool {
    let kept = dispatch.counts;
    match dispatch.state {
        DispatchState::Expanding { .. } => counted == kept,
        DispatchState::Active => counted == kept && kept.queued + kept.sent > 0,
        DispatchState::Done { .. } => {
            (kept.queued, kept.sent, counted.queued, counted.sent) == (0, 0, 0, 0)
                && counted.succeeded <= kept.succeeded
                && counted.failed <= kept.failed
                && counted.expired <= kept.expired
                && counted.cancelled <= kept.cancelled
        }
    }
}

pub(super) fn contradiction(key: RowKey, what: &'static str) -> LoadError {
    LoadError::Contradiction { key, what }
}
