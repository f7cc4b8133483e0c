//! `CreateDispatch`: an instruction to one agent is queued at once, one to a selector is expanded in steps.

use std::sync::Arc;

use super::audit::Json;
use super::context::{Context, short, small};
use super::limits::{
    DELIVERIES_MAX, DISPATCHES_MAX, DISPATCHES_SLACK, EXPIRY_MAX_MS, EXPIRY_MIN_MS, KEY_BYTES_MAX,
    MESSAGE_BYTES_MAX,
};
use super::{Fleet, limit_reached};
use crate::ids::{DispatchId, InstanceUid};
use crate::outcome::{Outcome, Rejection};
use crate::proposal::CreateDispatch;
use crate::records::{
    Action, AgentRecord, Counts, Delivery, DeliveryState, Dispatch, DispatchState, Target,
};

impl Fleet {
    pub(super) fn create_dispatch(
        &mut self,
        cx: &mut Context<'_>,
        given: &CreateDispatch,
    ) -> Result<Outcome, Rejection> {
        check_action(&given.action)?;
        self.check_target(given)?;
        self.check_room()?;
        self.retire(cx);
        let meta = self.meta_mut();
        meta.dispatch = meta.dispatch.saturating_add(1);
        let id = DispatchId(meta.dispatch);
        let lasts_ms = given.expires_in_ms.clamp(EXPIRY_MIN_MS, EXPIRY_MAX_MS);
        let state = match &given.target {
            Target::Agent(_) => DispatchState::Active,
            Target::Selector(_) => DispatchState::Expanding { cursor: None },
        };
        let dispatch = Dispatch {
            id,
            action: given.action.clone(),
            target: given.target.clone(),
            requires: given.requires,
            created_ms: cx.wall_ms,
            created_by: Arc::clone(cx.actor),
            expires_at_ms: cx.deadline_ms.saturating_add(lasts_ms),
            expires_wall_ms: cx.wall_ms.saturating_add(lasts_ms),
            state,
            counts: Counts::default(),
        };
        cx.audit("dispatch.create", &id, Json::Null, Json::from(&dispatch));
        self.put_dispatch(cx, dispatch);
        if let Target::Agent(agent) = &given.target {
            self.put_delivery(cx, new_delivery(cx, id, *agent, DeliveryState::Queued));
        }
        let made = self.dispatches.get(&id).cloned();
        made.map(Outcome::Dispatch)
            .ok_or(Rejection::UnknownDispatch(id))
    }

    fn check_target(&self, given: &CreateDispatch) -> Result<(), Rejection> {
        let uid = match &given.target {
            Target::Agent(uid) => uid,
            Target::Selector(selector) => return small(selector),
        };
        let agent = self.agents.get(uid).ok_or(Rejection::UnknownAgent(*uid))?;
        if can_take(agent, &given.action, given.requires) {
            Ok(())
        } else {
            Err(Rejection::LacksCapability)
        }
    }

    /// There is room while something finished can leave for the newcomer.
    fn check_room(&self) -> Result<(), Rejection> {
        let finished = self.derived.finished.len() > 0;
        let dispatches = self.dispatches.len();
        let most = DISPATCHES_MAX + if finished { DISPATCHES_SLACK } else { 0 };
        if dispatches >= most {
            return Err(limit_reached("dispatches", DISPATCHES_MAX));
        }
        if self.deliveries.len() >= DELIVERIES_MAX && !finished {
            return Err(limit_reached("deliveries", DELIVERIES_MAX));
        }
        Ok(())
    }
}

/// Whether an agent has the bits that an action needs, and understands a custom message: names are compared as
/// a whole.
pub(super) fn can_take(agent: &AgentRecord, action: &Action, requires: u64) -> bool {
    let understands = match action {
        Action::Restart | Action::PushConfig => true,
        Action::CustomMessage { capability, .. } => agent.custom_capabilities.contains(capability),
    };
    understands && agent.capabilities & requires == requires
}

fn check_action(action: &Action) -> Result<(), Rejection> {
    match action {
        Action::Restart | Action::PushConfig => Ok(()),
        Action::CustomMessage {
            capability,
            message_type,
            data,
        } => {
            short(capability, KEY_BYTES_MAX, "capability")?;
            short(message_type, KEY_BYTES_MAX, "message type")?;
            if data.len() > MESSAGE_BYTES_MAX {
                return Err(Rejection::TooLarge("message".into()));
            }
            Ok(())
        }
    }
}

/// A delivery that begins: queued, or failed from the start.
pub(super) fn new_delivery(
    cx: &Context<'_>,
    dispatch: DispatchId,
    agent: InstanceUid,
    state: DeliveryState,
) -> Delivery {
    let finished = state != DeliveryState::Queued;
    Delivery {
        dispatch,
        agent,
        state,
        queued_ms: cx.wall_ms,
        sent_ms: None,
        sent_at_ms: None,
        finished_ms: finished.then_some(cx.wall_ms),
        sent_by: None,
        sent_hash: None,
    }
}
