//! `RevertGroup`: the way back, at once. A change that is under way or quarantined is given up; when there is
//! none, the version that was settled before is settled again. There is one step back, not a history.

use std::sync::Arc;

use super::Fleet;
use super::context::Context;
use crate::outcome::{Outcome, Rejection};
use crate::records::{Assignment, Group};

impl Fleet {
    pub(super) fn revert_group(
        &mut self,
        cx: &mut Context<'_>,
        name: &Arc<str>,
        revision: Option<u64>,
    ) -> Result<Outcome, Rejection> {
        let known = self.seen_group(name, revision)?;
        let mut rollout = self.rollout_of(name);
        let assignment = known.assignment.as_ref();
        let is_under_way = assignment.is_some_and(|assignment| assignment.next.is_some());
        let settled = if is_under_way {
            assignment.and_then(|assignment| assignment.settled.clone())
        } else {
            let previous = self.still_there(rollout.previous.take());
            Some(previous.ok_or_else(|| Rejection::NothingToRevert(Arc::clone(name)))?)
        };
        rollout.trial = None;
        let assignment = settled.map(|settled| Assignment {
            settled: Some(settled),
            next: None,
            threshold: 0,
        });
        let group = Group {
            assignment,
            ..(*known).clone()
        };
        let group = self.changed_by_operator(cx, "group.revert", &known, group);
        self.put_rollout(cx, rollout);
        Ok(Outcome::Group {
            group,
            created: false,
        })
    }
}
