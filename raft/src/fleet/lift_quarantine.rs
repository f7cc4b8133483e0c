//! `LiftQuarantine`: an operator wants a quarantined version offered again; it begins with the first window,
//! whatever the pace of the group.

use std::sync::Arc;

use super::Fleet;
use super::audit::Json;
use super::context::Context;
use crate::outcome::{Outcome, Rejection};
use crate::records::{Group, Trial};

impl Fleet {
    pub(super) fn lift_quarantine(
        &mut self,
        cx: &mut Context<'_>,
        name: &Arc<str>,
        revision: Option<u64>,
    ) -> Result<Outcome, Rejection> {
        let known = self.seen_group(name, revision)?;
        let mut rollout = self.rollout_of(name);
        if rollout.quarantined.is_empty() {
            return Err(Rejection::NothingQuarantined(Arc::clone(name)));
        }
        let assignment = known.assignment.as_ref();
        let next = assignment.and_then(|assignment| assignment.next.as_ref());
        let held = next.filter(|next| {
            let mut quarantined = rollout.quarantined.iter();
            quarantined.any(|held| held.version.hash == next.hash)
        });
        if let Some(held) = held {
            rollout.trial = Some(Trial::new(held.hash));
        }
        rollout.quarantined.clear();
        let group = self.changed_by_operator(cx, "group.lift", &known, (*known).clone());
        self.put_rollout(cx, rollout);
        Ok(Outcome::Group {
            group,
            created: false,
        })
    }

    /// Puts a group that an operator changed.
    pub(super) fn changed_by_operator(
        &mut self,
        cx: &mut Context<'_>,
        action: &'static str,
        before: &Group,
        group: Group,
    ) -> Arc<Group> {
        let group = Arc::new(Group {
            revision: cx.index,
            changed_ms: cx.wall_ms,
            changed_by: Arc::clone(cx.actor),
            ..group
        });
        cx.audit(action, &group.name, Json::from(before), Json::from(&*group));
        self.put_group_record(cx, Arc::clone(&group));
        group
    }
}
