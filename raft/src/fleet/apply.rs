//! The one function that changes the fleet: time, idempotency, then the proposal's own file.

use std::sync::Arc;

use super::context::{Context, short};
use super::limits::{IDEMPOTENCY_MAX, KEY_BYTES_MAX, TEXT_BYTES_MAX};
use super::{Applied, Fleet};
use crate::outcome::{Outcome, Rejection};
use crate::proposal::{Asker, Entry, Idempotency, Origin, Proposal};
use crate::records::FleetMeta;
use crate::rows::{IdempotencyRow, RowKey};

impl Fleet {
    /// Applies the committed entry at `index`; a function of the fleet and the entry alone. It never
    /// fails: a refusal is an outcome and changes nothing but fleet time.
    pub fn apply(&mut self, index: u64, entry: &Entry) -> Applied {
        let before = Arc::clone(&self.meta);
        if entry.time_ms > self.meta.time_ms {
            self.meta_mut().time_ms = entry.time_ms;
        }
        let mut cx = Context::new(index, self.meta.time_ms, self.downtime.total_ms, entry);
        let outcome = match self.answer(&mut cx, entry) {
            Ok(outcome) => outcome,
            Err(rejection) => Outcome::Rejected(rejection),
        };
        // Time alone counts as a change: a restart must not come back with an older time than other
        // replicas have at the same index. And rows without a head are no fleet.
        if self.meta != before || *before == FleetMeta::default() {
            cx.dirty(RowKey::Meta);
        }
        cx.finish(outcome)
    }

    /// Answers a repeated idempotency key from memory, everything else by the proposal.
    fn answer<'a>(&mut self, cx: &mut Context<'a>, entry: &'a Entry) -> Result<Outcome, Rejection> {
        check_origin(&entry.origin)?;
        let Some(idempotency) = &entry.origin.idempotency else {
            return self.perform(cx, &entry.proposal);
        };
        if let Some(row) = self.idempotency.get(&idempotency.key) {
            return if row.digest == idempotency.digest {
                Ok(row.outcome.clone())
            } else {
                Err(Rejection::KeyReused)
            };
        }
        let outcome = self.perform(cx, &entry.proposal)?;
        self.remember(cx, idempotency, &outcome);
        Ok(outcome)
    }

    pub(super) fn perform<'a>(
        &mut self,
        cx: &mut Context<'a>,
        proposal: &'a Proposal,
    ) -> Result<Outcome, Rejection> {
        match proposal {
            Proposal::Found { lineage } => self.found(cx, *lineage),
            Proposal::RegisterNode(node) => self.register_node(cx, node),
            Proposal::NodeBatch(batch) => self.node_batch(cx, batch),
            Proposal::StageBody(part) => self.stage_body(cx, part),
            Proposal::CreateVersion(version) => self.create_version(cx, version),
            Proposal::PutGroup(group) => self.put_group(cx, group),
            Proposal::DeleteGroup { name, revision } => self.delete_group(cx, name, *revision),
            Proposal::CreateDispatch(dispatch) => self.create_dispatch(cx, dispatch),
            Proposal::ExpandDispatch { dispatch, cursor } => {
                self.expand_dispatch(cx, *dispatch, *cursor)
            }
            Proposal::MarkDeliveries(marks) => self.mark_deliveries(cx, marks),
            Proposal::CancelDispatch { dispatch } => self.cancel_dispatch(cx, *dispatch),
            Proposal::ExpireDeliveries { limit } => Ok(self.expire_deliveries(cx, *limit)),
            Proposal::PutToken { token } => self.put_token(cx, token),
            Proposal::Asked { from, proposal } => self.asked(cx, from, proposal),
            Proposal::NoteWallTime { begins } => Ok(self.note_wall_time(cx, *begins)),
            Proposal::TrimAudit { first, count } => Ok(self.trim_audit(cx, *first, *count)),
            Proposal::NoteRead(read) => self.note_read(cx, read),
            Proposal::SetLabels(labels) => self.set_labels(cx, labels),
            Proposal::ForgetAgent { agent, fence } => self.forget_agent(cx, *agent, *fence),
            Proposal::Retention(given) => self.retention(cx, given),
            Proposal::CreateVersionAfter { newest, version } => {
                self.create_version_after(cx, *newest, version)
            }
            Proposal::MoveRollout(step) => self.move_rollout(cx, step),
            Proposal::ForgetFailures(given) => self.forget_failures(cx, given),
            Proposal::LiftQuarantine { name, revision } => {
                self.lift_quarantine(cx, name, *revision)
            }
            Proposal::RevertGroup { name, revision } => self.revert_group(cx, name, *revision),
            Proposal::PutRolloutRules { rules } => Ok(self.put_rollout_rules(cx, *rules)),
            Proposal::CreateToken {
                token,
                expires_wall_ms,
            } => self.create_token(cx, token, *expires_wall_ms),
            Proposal::DeleteToken { id } => self.delete_token(cx, id),
            Proposal::CreateEnrollmentToken { token } => self.create_enrollment_token(cx, token),
            Proposal::DeleteEnrollmentToken { id } => self.delete_enrollment_token(cx, id),
            Proposal::SweepTokens { limit } => Ok(self.sweep_tokens(cx, *limit)),
            Proposal::NoteSnapshot(note) => self.note_snapshot(cx, note),
            Proposal::LeaderStart { grace_ms } => Ok(self.leader_start(cx, *grace_ms)),
            Proposal::Tick { ttl_ms, renewals } => self.tick(cx, *ttl_ms, renewals),
            Proposal::DrainNode { node, epoch } => self.drain_node(cx, *node, *epoch),
            Proposal::LeaveNode { node, epoch } => self.leave_node(cx, *node, *epoch),
            Proposal::AcquireLease {
                name,
                node,
                epoch,
                lock_delay_ms,
            } => self.acquire_lease(cx, name, (*node, *epoch), *lock_delay_ms),
            Proposal::ReleaseLease { name, fence } => Ok(self.release_lease(cx, name, *fence)),
            Proposal::UnderLease {
                name,
                fence,
                proposal,
            } => self.under_lease(cx, name, *fence, proposal),
            Proposal::PutPeer { peer } => self.put_peer(cx, peer),
            Proposal::CreateJoinToken { token } => self.create_join_token(cx, token),
            Proposal::RedeemJoinToken { hash, peer, name } => {
                self.redeem_join_token(cx, hash, peer, name)
            }
            Proposal::RemoveNode { node } => self.remove_node(cx, *node),
            Proposal::SetFeatureLevel { level } => self.set_feature_level(cx, *level),
            Proposal::SetMemberRole { node, before, role } => {
                self.set_member_role(cx, *node, *before, *role)
            }
            Proposal::TransferLeader { before, to, term } => self.transfer(cx, *before, *to, *term),
        }
    }

    /// What an operator asks: performed as itself, with the record of what it changed.
    fn asked<'a>(
        &mut self,
        cx: &mut Context<'a>,
        from: &'a Arc<str>,
        proposal: &'a Proposal,
    ) -> Result<Outcome, Rejection> {
        short(from, TEXT_BYTES_MAX, "address")?;
        match proposal.asker() {
            Asker::Operator | Asker::Step => cx.asked(from),
            Asker::System => return Err(Rejection::NotForOperators),
        }
        let outcome = self.perform(cx, proposal)?;
        self.record(cx);
        Ok(outcome)
    }

    /// Keeps the answer for the key; the oldest leaves when there are too many.
    fn remember(&mut self, cx: &mut Context<'_>, given: &Idempotency, outcome: &Outcome) {
        let row = IdempotencyRow {
            digest: given.digest,
            outcome: outcome.clone(),
            index: cx.index,
            at_ms: cx.time_ms,
        };
        self.put_idempotency(cx, Arc::clone(&given.key), row);
        if self.idempotency.len() > IDEMPOTENCY_MAX {
            self.drop_oldest_idempotency(cx);
        }
    }
}

fn check_origin(origin: &Origin) -> Result<(), Rejection> {
    short(&origin.actor, TEXT_BYTES_MAX, "actor")?;
    short(&origin.request_id, TEXT_BYTES_MAX, "request id")?;
    match &origin.idempotency {
        Some(given) => short(&given.key, KEY_BYTES_MAX, "idempotency key"),
        None => Ok(()),
    }
}
