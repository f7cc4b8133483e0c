//! The only writers of the tables: each keeps the derived indices in step and names the row that changed.

use std::cmp::Reverse;
use std::sync::Arc;

use super::context::Context;
use super::{Derived, Fleet, first};
use crate::effect::Effect;
use crate::ids::{ConfigHash, DispatchId, InstanceUid};
use crate::records::{
    AgentRecord, AuditHead, BodyMeta, Configuration, Counts, Delivery, DeliveryState, Dispatch,
    DispatchState, Downtime, FleetMeta, Group, Node, Rollout, RolloutRules, Token,
};
use crate::rows::{IdempotencyRow, RowKey};

impl Fleet {
    /// The head, copied when a reader shares it. `apply` compares it and names its row.
    pub(super) fn meta_mut(&mut self) -> &mut FleetMeta {
        Arc::make_mut(&mut self.meta)
    }

    pub(super) fn put_node(&mut self, cx: &mut Context<'_>, node: Node) {
        cx.dirty(RowKey::Node(node.id));
        self.nodes.insert_cow(node.id, Arc::new(node));
    }

    pub(super) fn put_agent(&mut self, cx: &mut Context<'_>, record: AgentRecord) {
        cx.dirty(RowKey::Agent(record.uid));
        let old = self.agents.get(&record.uid);
        self.derived.post(old.map(|old| &**old), Some(&record));
        self.agents.insert_cow(record.uid, Arc::new(record));
    }

    pub(super) fn remove_agent(&mut self, cx: &mut Context<'_>, uid: InstanceUid) {
        cx.dirty(RowKey::Agent(uid));
        let old = self.agents.remove_cow(&uid);
        self.derived.post(old.as_deref(), None);
        self.forget_enrollment(cx, uid);
    }

    pub(super) fn put_configuration(&mut self, cx: &mut Context<'_>, value: Configuration) {
        let name = Arc::clone(&value.name);
        cx.dirty(RowKey::Configuration(Arc::clone(&name)));
        cx.effect(Effect::ConfigurationChanged {
            name: Arc::clone(&name),
        });
        self.configurations.insert_cow(name, Arc::new(value));
    }

    pub(super) fn put_body(&mut self, cx: &mut Context<'_>, hash: ConfigHash, meta: BodyMeta) {
        cx.dirty(RowKey::BodyMeta(hash));
        self.derived.index_body(hash, &meta);
        self.bodies.insert_cow(hash, Arc::new(meta));
    }

    pub(super) fn remove_body(&mut self, cx: &mut Context<'_>, hash: ConfigHash) {
        let Some(meta) = self.bodies.remove_cow(&hash) else {
            return;
        };
        self.derived.staged.remove_cow(&(meta.staged_index, hash));
        cx.dirty(RowKey::BodyMeta(hash));
        for part in (0..meta.parts).filter(|part| meta.present >> part & 1 == 1) {
            cx.put(RowKey::BodyPart(hash, part), None);
        }
    }

    pub(super) fn put_group_record(&mut self, cx: &mut Context<'_>, group: Arc<Group>) {
        let name = Arc::clone(&group.name);
        if let Some(old) = self.groups.get(&name) {
            self.derived
                .group_order
                .remove_cow(&(Reverse(old.priority), Arc::clone(&name)));
        }
        self.derived.index_group(&group);
        cx.dirty(RowKey::Group(Arc::clone(&name)));
        cx.effect(Effect::GroupChanged {
            name: Arc::clone(&name),
        });
        self.groups.insert_cow(name, group);
    }

    pub(super) fn remove_group(&mut self, cx: &mut Context<'_>, name: &Arc<str>) {
        let Some(old) = self.groups.remove_cow(name) else {
            return;
        };
        self.derived
            .group_order
            .remove_cow(&(Reverse(old.priority), Arc::clone(name)));
        cx.dirty(RowKey::Group(Arc::clone(name)));
        cx.effect(Effect::GroupChanged {
            name: Arc::clone(name),
        });
        if let Some(rollout) = self.rollouts.remove_cow(name) {
            self.derived.forget_trial(&rollout);
            cx.dirty(RowKey::Rollout(Arc::clone(name)));
        }
    }

    /// Puts how the change of a group goes, in the revision of this entry.
    pub(super) fn put_rollout(&mut self, cx: &mut Context<'_>, mut rollout: Rollout) {
        rollout.revision = cx.index;
        let name = Arc::clone(&rollout.group);
        if let Some(old) = self.rollouts.get(&name) {
            self.derived.forget_trial(old);
        }
        self.derived.index_trial(&rollout);
        cx.dirty(RowKey::Rollout(Arc::clone(&name)));
        // whoever watches the change looks again
        cx.effect(Effect::GroupChanged {
            name: Arc::clone(&name),
        });
        self.rollouts.insert_cow(name, Arc::new(rollout));
    }

    pub(super) fn put_rules(&mut self, cx: &mut Context<'_>, rules: RolloutRules) {
        cx.dirty(RowKey::RolloutRules);
        self.rollout_rules = Some(rules);
    }

    pub(super) fn put_token_record(&mut self, cx: &mut Context<'_>, token: Token) {
        let id = Arc::clone(&token.id);
        if let Some(old) = self.tokens.get(&id) {
            let old = Arc::clone(old);
            self.derived.forget_token(&old);
        }
        self.derived.index_token(&token);
        cx.dirty(RowKey::Token(Arc::clone(&id)));
        cx.effect(Effect::TokensChanged);
        self.tokens.insert_cow(id, Arc::new(token));
    }

    pub(super) fn put_idempotency(
        &mut self,
        cx: &mut Context<'_>,
        key: Arc<str>,
        row: IdempotencyRow,
    ) {
        cx.dirty(RowKey::Idempotency(Arc::clone(&key)));
        self.derived
            .idempotency_order
            .insert_cow((row.index, Arc::clone(&key)));
        self.idempotency.insert_cow(key, Arc::new(row));
    }

    pub(super) fn drop_oldest_idempotency(&mut self, cx: &mut Context<'_>) {
        let Some(oldest) = first(&self.derived.idempotency_order) else {
            return;
        };
        self.derived.idempotency_order.remove_cow(&oldest);
        self.idempotency.remove_cow(&oldest.1);
        cx.dirty(RowKey::Idempotency(oldest.1));
    }

    pub(super) fn put_audit_head(&mut self, cx: &mut Context<'_>, head: AuditHead) {
        cx.dirty(RowKey::AuditHead);
        self.audit = Arc::new(head);
    }

    pub(super) fn put_downtime(&mut self, cx: &mut Context<'_>, downtime: Arc<Downtime>) {
        cx.dirty(RowKey::Downtime);
        self.downtime = downtime;
    }

    pub(super) fn put_dispatch(&mut self, cx: &mut Context<'_>, dispatch: Dispatch) {
        cx.dispatch_changed(dispatch.id);
        self.derived.index_dispatch(&dispatch);
        self.dispatches.insert_cow(dispatch.id, Arc::new(dispatch));
    }

    /// Changes a dispatch in place, then finishes it when nothing is left to do.
    pub(super) fn change_dispatch(
        &mut self,
        cx: &mut Context<'_>,
        id: DispatchId,
        change: impl FnOnce(&mut Dispatch),
    ) {
        let Some(shared) = self.dispatches.get_mut_cow(&id) else {
            return;
        };
        let dispatch = Arc::make_mut(shared);
        change(dispatch);
        let open = dispatch.counts.queued + dispatch.counts.sent;
        if open == 0 && dispatch.state == DispatchState::Active {
            dispatch.state = DispatchState::Done {
                finished_ms: cx.wall_ms,
                finished_at_ms: cx.time_ms,
            };
        }
        self.derived.index_dispatch(dispatch);
        cx.dispatch_changed(id);
    }

    /// Forgets a finished dispatch whose deliveries have left.
    pub(super) fn remove_dispatch(&mut self, cx: &mut Context<'_>, id: DispatchId) {
        if self.dispatches.remove_cow(&id).is_some() {
            self.derived.finished.remove_cow(&id);
            cx.dispatch_changed(id);
        }
    }

    /// Puts a new delivery, or the next state of an existing one, and keeps the counts of its dispatch.
    pub(super) fn put_delivery(&mut self, cx: &mut Context<'_>, delivery: Delivery) {
        let key = (delivery.dispatch, delivery.agent);
        let old = self.deliveries.get(&key).map(|old| old.state.clone());
        let new = delivery.state.clone();
        self.derived.index_delivery(key, &new);
        self.deliveries.insert_cow(key, Arc::new(delivery));
        cx.dirty(RowKey::Delivery(key.0, key.1));
        cx.effect(Effect::DeliveryChanged {
            dispatch: key.0,
            agent: key.1,
        });
        self.change_dispatch(cx, key.0, |dispatch| {
            if let Some(old) = old {
                let count = dispatch.counts.of(&old);
                *count = count.saturating_sub(1);
            }
            let count = dispatch.counts.of(&new);
            *count = count.saturating_add(1);
        });
    }

    /// Takes a delivery away without touching the counts of its dispatch.
    pub(super) fn take_delivery(
        &mut self,
        cx: &mut Context<'_>,
        key: (DispatchId, InstanceUid),
    ) -> Option<Arc<Delivery>> {
        let delivery = self.deliveries.remove_cow(&key)?;
        self.derived.forget_delivery(key);
        cx.dirty(RowKey::Delivery(key.0, key.1));
        Some(delivery)
    }

    /// Moves a queued delivery to another uid; counts stay as they are.
    pub(super) fn rename_delivery(
        &mut self,
        cx: &mut Context<'_>,
        key: (DispatchId, InstanceUid),
        to: InstanceUid,
    ) {
        let Some(delivery) = self.take_delivery(cx, key) else {
            return;
        };
        let moved = Delivery {
            agent: to,
            ..(*delivery).clone()
        };
        self.derived.index_delivery((key.0, to), &moved.state);
        self.deliveries.insert_cow((key.0, to), Arc::new(moved));
        cx.dirty(RowKey::Delivery(key.0, to));
        cx.effect(Effect::DeliveryChanged {
            dispatch: key.0,
            agent: to,
        });
    }
}

impl Derived {
    pub(super) fn index_group(&mut self, group: &Group) {
        self.group_order
            .insert_cow((Reverse(group.priority), Arc::clone(&group.name)));
    }

    pub(super) fn index_trial(&mut self, rollout: &Rollout) {
        if let Some(trial) = &rollout.trial {
            self.trials
                .insert_cow((trial.hash, Arc::clone(&rollout.group)));
        }
    }

    fn forget_trial(&mut self, rollout: &Rollout) {
        if let Some(trial) = &rollout.trial {
            self.trials
                .remove_cow(&(trial.hash, Arc::clone(&rollout.group)));
        }
    }

    pub(super) fn index_token(&mut self, token: &Token) {
        self.token_hashes
            .insert_cow((token.hash, Arc::clone(&token.id)));
        if let Some(at_ms) = token.expires_at_ms {
            self.token_expiry.insert_cow((at_ms, Arc::clone(&token.id)));
        }
    }

    pub(super) fn forget_token(&mut self, token: &Token) {
        self.token_hashes
            .remove_cow(&(token.hash, Arc::clone(&token.id)));
        if let Some(at_ms) = token.expires_at_ms {
            self.token_expiry
                .remove_cow(&(at_ms, Arc::clone(&token.id)));
        }
    }

    pub(super) fn index_body(&mut self, hash: ConfigHash, meta: &BodyMeta) {
        if meta.references == 0 {
            self.staged.insert_cow((meta.staged_index, hash));
        } else {
            self.staged.remove_cow(&(meta.staged_index, hash));
        }
    }

    pub(super) fn index_dispatch(&mut self, dispatch: &Dispatch) {
        let deadline = (dispatch.expires_at_ms, dispatch.id);
        let expanding = matches!(dispatch.state, DispatchState::Expanding { .. });
        let done = matches!(dispatch.state, DispatchState::Done { .. });
        set(&mut self.expiry, deadline, dispatch.counts.queued > 0);
        set(&mut self.expanding, dispatch.id, expanding);
        set(&mut self.finished, dispatch.id, done);
    }

    pub(super) fn index_delivery(&mut self, key: (DispatchId, InstanceUid), state: &DeliveryState) {
        let queued = *state == DeliveryState::Queued;
        set(&mut self.queued, (key.1, key.0), queued);
        set(&mut self.queued_by_dispatch, key, queued);
        set(&mut self.sent, key, *state == DeliveryState::Sent);
    }

    fn forget_delivery(&mut self, key: (DispatchId, InstanceUid)) {
        self.queued.remove_cow(&(key.1, key.0));
        self.queued_by_dispatch.remove_cow(&key);
        self.sent.remove_cow(&key);
    }
}

fn set<K: Ord + Clone>(index: &mut super::Index<K>, key: K, present: bool) {
    if present == index.contains(&key) {
        return;
    }
    if present {
        index.insert_cow(key);
    } else {
        index.remove_cow(&key);
    }
}

impl Counts {
    /// The counter of a state.
    pub(super) fn of(&mut self, state: &DeliveryState) -> &mut u32 {
        match state {
            DeliveryState::Queued => &mut self.queued,
            DeliveryState::Sent => &mut self.sent,
            DeliveryState::Succeeded => &mut self.succeeded,
            DeliveryState::Failed(_) => &mut self.failed,
            DeliveryState::Expired => &mut self.expired,
            DeliveryState::Cancelled => &mut self.cancelled,
        }
    }
}
