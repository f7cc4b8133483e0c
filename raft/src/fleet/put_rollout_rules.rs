//! `PutRolloutRules`: what `apply` must know of the configuration keys, because it counts failures.

use super::Fleet;
use super::context::Context;
use crate::outcome::Outcome;
use crate::records::RolloutRules;

impl Fleet {
    pub(super) fn put_rollout_rules(
        &mut self,
        cx: &mut Context<'_>,
        rules: RolloutRules,
    ) -> Outcome {
        if self.rollout_rules != Some(rules) {
            self.put_rules(cx, rules);
        }
        Outcome::Done
    }
}
