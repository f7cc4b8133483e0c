//! `ForgetFailures`: agents get another chance with a version that failed on them, because an operator wants
//! it offered again.

use super::Fleet;
use super::context::Context;
use super::limits::FORGET_MAX;
use crate::effect::Effect;
use crate::outcome::{Outcome, Rejection};
use crate::proposal::ForgetFailures;

impl Fleet {
    pub(super) fn forget_failures(
        &mut self,
        cx: &mut Context<'_>,
        given: &ForgetFailures,
    ) -> Result<Outcome, Rejection> {
        if given.agents.len() > FORGET_MAX {
            return Err(Rejection::TooLarge("agents".into()));
        }
        for uid in &given.agents {
            let known = self.agents.get(uid);
            let Some(known) = known.filter(|known| known.config.failed_hash == Some(given.hash))
            else {
                continue;
            };
            let mut agent = (**known).clone();
            agent.config.failed_hash = None;
            agent.config.error = "".into();
            self.put_agent(cx, agent);
            cx.effect(Effect::AgentChanged {
                uid: *uid,
                placement: false,
            });
            cx.effect(Effect::FailureForgotten {
                uid: *uid,
                hash: given.hash,
            });
        }
        Ok(Outcome::Done)
    }
}
