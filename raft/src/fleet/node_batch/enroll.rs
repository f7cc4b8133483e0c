//! An enrollment: an agent comes with a token for the first time, or with another one than the token that is gone.

use std::sync::Arc;

use super::super::Fleet;
use super::super::context::Context;
use super::super::create_token::fits;
use super::super::enrollment::{EnrollmentLimits, Standing};
use super::super::sizes::record_bytes;
use super::Owner;
use super::claim::new_record;
use crate::effect::Effect;
use crate::ids::InstanceUid;
use crate::outcome::{EnrollmentRefusal, OpOutcome};
use crate::records::{AgentRecord, Enrollment};

/// Rows that an enrollment touches: the record and the place.
pub(super) const ENROLL_ROWS: usize = 2;

impl Fleet {
    /// Gives the agent a place of the token and the token's labels, making its record when it is new. Answers `Done`
    /// also to an agent that has its place already.
    pub(super) fn enroll(
        &mut self,
        cx: &mut Context<'_>,
        owner: Owner,
        agent: InstanceUid,
        token: &Arc<str>,
        per_token: Option<u32>,
    ) -> OpOutcome {
        let limits = EnrollmentLimits {
            agents: owner.agents_max,
            per_token,
        };
        match self.standing(agent, token, cx.deadline_ms, limits) {
            Standing::Enrolled => return OpOutcome::Done,
            Standing::Refused(refusal) => return OpOutcome::NotEnrolled(refusal),
            Standing::Welcome => {}
        }
        let Some(token) = self.enrollment_token(token).cloned() else {
            return OpOutcome::NotEnrolled(EnrollmentRefusal::Revoked);
        };
        let known = self.agent(agent).cloned();
        let mut record = known.map_or_else(|| new_record(cx, owner, agent), Arc::unwrap_or_clone);
        let before = self.enrollments.get(&agent);
        let before = before.map_or(&[][..], |before| &before.labels);
        relabel(&mut record, before, &token.labels);
        record.last_change_ms = cx.wall_ms;
        if record_bytes(&record) > AgentRecord::BYTES_MAX {
            return OpOutcome::TooLarge;
        }
        self.put_agent(cx, record);
        let enrollment = Enrollment {
            agent,
            token: Arc::clone(&token.id),
            labels: token.labels.clone(),
            enrolled_ms: cx.wall_ms,
        };
        self.put_enrollment(cx, enrollment);
        cx.effect(Effect::AgentChanged {
            uid: agent,
            placement: true,
        });
        OpOutcome::Done
    }
}

/// Takes back what the former token gave and nobody has changed since, then gives what this one gives. Where a
/// record has no room for all of them, those of the token stay.
fn relabel(
    record: &mut AgentRecord,
    before: &[(Arc<str>, Arc<str>)],
    now: &[(Arc<str>, Arc<str>)],
) {
    record
        .server_labels
        .retain(|label| !before.contains(label) && !now.iter().any(|(key, _)| *key == label.0));
    record.server_labels.extend(now.iter().cloned());
    if !fits(&record.server_labels) {
        record.server_labels = now.to_vec();
    }
    record.server_labels.sort();
}
