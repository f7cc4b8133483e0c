//! A release: gives a session up, only under its fence and only by its owner.

use super::super::Fleet;
use super::super::context::Context;
use super::Owner;
use crate::effect::Effect;
use crate::ids::{Fence, InstanceUid};
use crate::outcome::OpOutcome;
use crate::records::{ReleaseReason, Released};

impl Fleet {
    pub(super) fn release(
        &mut self,
        cx: &mut Context<'_>,
        owner: Owner,
        uid: InstanceUid,
        fence: Fence,
        (reason, last_sequence): (ReleaseReason, Option<u64>),
    ) -> OpOutcome {
        let Some(agent) = self.agents.get(&uid) else {
            return OpOutcome::NotOwner;
        };
        let held = agent.session.map(|session| session.fence);
        if !owner.owns(agent) || held != Some(fence) {
            return OpOutcome::NotOwner;
        }
        let mut agent = (**agent).clone();
        agent.session = None;
        agent.released = Some(Released {
            reason,
            at_ms: cx.time_ms,
            wall_ms: cx.wall_ms,
            last_sequence,
        });
        self.put_agent(cx, agent);
        cx.effect(Effect::AgentChanged {
            uid,
            placement: false,
        });
        OpOutcome::Done
    }
}
