//! Agents that are gone for long.

use super::super::Fleet;
use super::super::context::Context;
use super::super::limits::AGENTS_STEP;
use super::is_due;
use crate::effect::Effect;
use crate::ids::InstanceUid;
use crate::outcome::{Outcome, Rejection};
use crate::records::{AgentRecord, ReleaseReason, Released};

impl Fleet {
    pub(super) fn forget_agents(
        &mut self,
        cx: &mut Context<'_>,
        agents: &[InstanceUid],
        after_ms: u64,
        bare_after_ms: u64,
    ) -> Result<Outcome, Rejection> {
        if agents.len() > AGENTS_STEP {
            return Err(Rejection::TooLarge("agents".into()));
        }
        let mut count = 0;
        for uid in agents {
            let Some(agent) = self.agents.get(uid).cloned() else {
                continue;
            };
            if self.session_valid(&agent) {
                continue;
            }
            if cx.rows_left() == 0 {
                return Ok(Outcome::Removed { count, more: true });
            }
            let Some(released) = agent.released.filter(|_| agent.session.is_none()) else {
                self.note_gone(cx, &agent);
                continue;
            };
            let kept_ms = if is_bare(&agent) {
                bare_after_ms
            } else {
                after_ms
            };
            if !is_due(released.at_ms, kept_ms, cx.time_ms) {
                continue;
            }
            if !self.forget(cx, *uid) {
                return Ok(Outcome::Removed { count, more: true });
            }
            count += 1;
        }
        Ok(Outcome::Removed { count, more: false })
    }

    /// Nobody released the session of an owner that died: the agent counts as gone from here on.
    fn note_gone(&mut self, cx: &mut Context<'_>, agent: &AgentRecord) {
        let mut agent = agent.clone();
        agent.session = None;
        agent.released = Some(Released {
            reason: ReleaseReason::OwnerDied,
            at_ms: cx.time_ms,
            wall_ms: cx.wall_ms,
            last_sequence: None,
        });
        let uid = agent.uid;
        self.put_agent(cx, agent);
        cx.effect(Effect::AgentChanged {
            uid,
            placement: false,
        });
    }
}

/// An agent that has no label and never had a configuration: nobody put any work into it.
pub fn is_bare(agent: &AgentRecord) -> bool {
    let config = &agent.config;
    agent.server_labels.is_empty()
        && config.sent_hash.is_none()
        && config.reported_hash.is_none()
        && config.failed_hash.is_none()
}
