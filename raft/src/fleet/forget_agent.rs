//! `ForgetAgent`: an agent that is gone leaves with everything that is kept for it. One that comes back is new.

use super::Fleet;
use super::audit::Json;
use super::context::Context;
use super::mark_deliveries::finished;
use crate::effect::Effect;
use crate::ids::{Fence, InstanceUid};
use crate::outcome::{Outcome, Rejection};
use crate::records::{DeliveryError, DeliveryState};

/// The record, and the place of its enrollment token.
const ROWS_PER_AGENT: usize = 2;

/// Rows that the end of one delivery may touch: the delivery and its dispatch.
const ROWS_PER_DELIVERY: usize = 2;

impl Fleet {
    pub(super) fn forget_agent(
        &mut self,
        cx: &mut Context<'_>,
        uid: InstanceUid,
        fence: Option<Fence>,
    ) -> Result<Outcome, Rejection> {
        let agent = self.agents.get(&uid).ok_or(Rejection::UnknownAgent(uid))?;
        if let Some(held) = self.valid_session(agent) {
            if fence != Some(held.fence) {
                return Err(Rejection::AgentConnected(uid));
            }
            cx.effect(Effect::SessionMoved {
                uid,
                from: held.node,
                fence: held.fence,
            });
        }
        let queued = self.queued_for(uid).count() as u64;
        let before = Json::object([
            ("agent_type", Json::from(&agent.description.agent_type)),
            ("labels", Json::labels(&agent.server_labels)),
            ("name", Json::from(&agent.description.name)),
            ("queued", Json::from(queued)),
        ]);
        cx.audit("agent.forget", &uid, before, Json::Null);
        let gone = self.forget(cx, uid);
        Ok(Outcome::Removed {
            count: u32::from(gone),
            more: !gone,
        })
    }

    /// Ends what waits for the agent, then takes its record; false when the entry has no rows for all of it.
    /// What was sent already is ended by who sent it.
    pub(super) fn forget(&mut self, cx: &mut Context<'_>, uid: InstanceUid) -> bool {
        let room = cx.rows_left().saturating_sub(ROWS_PER_AGENT) / ROWS_PER_DELIVERY;
        let queued: Vec<_> = self.queued_for(uid).take(room).collect();
        for id in queued {
            if let Some(delivery) = self.delivery(id, uid) {
                let state = DeliveryState::Failed(DeliveryError::AgentForgotten);
                let ended = finished(delivery, cx, state);
                self.put_delivery(cx, ended);
            }
        }
        if self.queued_for(uid).next().is_some() || cx.rows_left() < ROWS_PER_AGENT {
            return false;
        }
        self.remove_agent(cx, uid);
        cx.effect(Effect::AgentChanged {
            uid,
            placement: true,
        });
        true
    }
}
