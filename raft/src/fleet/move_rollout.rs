//! `MoveRollout`: the next step of a change, as the duty judged it. It is a compare-and-set: a step that was
//! judged by what is no more changes nothing.

use std::sync::Arc;

use super::Fleet;
use super::context::Context;
use crate::outcome::{Outcome, Rejection};
use crate::proposal::{MoveRollout, RolloutMove};
use crate::records::{Assignment, Group};

impl Fleet {
    pub(super) fn move_rollout(
        &mut self,
        cx: &mut Context<'_>,
        given: &MoveRollout,
    ) -> Result<Outcome, Rejection> {
        let moved = || Rejection::RolloutMoved(Arc::clone(&given.group));
        let group = self.groups.get(&given.group).ok_or_else(moved)?;
        let rollout = self.rollouts.get(&given.group).ok_or_else(moved)?;
        let assignment = group.assignment.as_ref().ok_or_else(moved)?;
        let mut rollout = (**rollout).clone();
        let next = assignment.next.as_ref().map(|next| next.hash);
        let trial = rollout.trial.as_mut().ok_or_else(moved)?;
        let is_under_way = trial.settled_at_ms.is_none() && Some(trial.hash) == next;
        if rollout.revision != given.seen || !is_under_way {
            return Err(moved());
        }
        let assignment = match given.to {
            RolloutMove::Window { threshold, size } => {
                if threshold < assignment.threshold {
                    return Err(moved());
                }
                trial.base = assignment.threshold;
                trial.size = size;
                trial.opened_at_ms = cx.time_ms;
                trial.opened_ms = cx.wall_ms;
                Assignment {
                    threshold,
                    ..assignment.clone()
                }
            }
            RolloutMove::Settle => {
                trial.settled_at_ms = Some(cx.time_ms);
                rollout.previous = assignment.settled.clone().or(rollout.previous.take());
                Assignment {
                    settled: assignment.next.clone(),
                    next: None,
                    threshold: 0,
                }
            }
        };
        let group = Group {
            assignment: Some(assignment),
            ..(**group).clone()
        };
        self.put_group_record(cx, Arc::new(group));
        self.put_rollout(cx, rollout);
        Ok(Outcome::Done)
    }
}
