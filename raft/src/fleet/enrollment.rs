//! Enrollment: whether an agent may come with a token, and the tables behind it. An agent that enrolled keeps its
//! place for as long as its token exists, whatever becomes of the token's uses and time.

use std::ops::Bound::{Excluded, Included, Unbounded};
use std::sync::Arc;

use super::context::Context;
use super::limits::ENROLLMENTS_MAX;
use super::{Fleet, first};
use crate::effect::Effect;
use crate::ids::InstanceUid;
use crate::outcome::EnrollmentRefusal;
use crate::records::{Enrollment, EnrollmentToken};
use crate::rows::RowKey;

/// What a node allows beside the token itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EnrollmentLimits {
    /// `agents.max`.
    pub agents: u32,
    /// `agents.max_per_token`.
    pub per_token: Option<u32>,
}

/// How an agent stands to a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It came with this token before and is known.
    Enrolled,
    /// It may enroll.
    Welcome,
    /// It may not.
    Refused(EnrollmentRefusal),
}

impl Fleet {
    /// How an agent stands to the token with this id at deadline time `now_ms`.
    pub fn standing(
        &self,
        agent: InstanceUid,
        token: &str,
        now_ms: u64,
        limits: EnrollmentLimits,
    ) -> Standing {
        let refused = Standing::Refused;
        let Some(token) = self.enrollment_tokens.get(token) else {
            return refused(EnrollmentRefusal::Revoked);
        };
        let known = self.agent(agent).is_some();
        let before = self.enrollments.get(&agent);
        let returns = before.is_some_and(|before| before.token == token.id);
        if returns && known {
            return Standing::Enrolled;
        }
        let held = before.is_some_and(|before| self.enrollment_tokens.get(&before.token).is_some());
        if known && held {
            return refused(EnrollmentRefusal::Foreign);
        }
        if !known && self.agents_len() >= limits.agents as usize {
            return refused(EnrollmentRefusal::AgentLimit);
        }
        if returns {
            return Standing::Welcome;
        }
        if token.expires_at_ms.is_some_and(|at| at <= now_ms) {
            return refused(EnrollmentRefusal::Expired);
        }
        let enrolled = self.enrolled_len(&token.id);
        if token.uses.is_some_and(|uses| enrolled >= uses) {
            return refused(EnrollmentRefusal::Spent);
        }
        if limits.per_token.is_some_and(|max| enrolled >= max) {
            return refused(EnrollmentRefusal::TokenLimit);
        }
        if before.is_none() && self.enrollments.len() >= ENROLLMENTS_MAX {
            return refused(EnrollmentRefusal::AgentLimit);
        }
        Standing::Welcome
    }

    /// The enrollment token whose text has this SHA-256.
    pub fn enrollment_token_by_hash(&self, hash: &[u8; 32]) -> Option<&Arc<EnrollmentToken>> {
        let from = Included((*hash, Arc::<str>::from("")));
        let mut found = self
            .derived
            .enrollment_hashes
            .range::<([u8; 32], Arc<str>), _>((from, Unbounded));
        let (_, id) = found.next().filter(|(found, _)| found == hash)?;
        self.enrollment_tokens.get(id)
    }

    /// One enrollment token.
    pub fn enrollment_token(&self, id: &str) -> Option<&Arc<EnrollmentToken>> {
        self.enrollment_tokens.get(id)
    }

    /// Enrollment tokens after `after`, by id.
    pub fn enrollment_tokens(
        &self,
        after: Option<&str>,
    ) -> impl Iterator<Item = &Arc<EnrollmentToken>> {
        let from = after.map_or(Unbounded, |id| Excluded(Arc::<str>::from(id)));
        self.enrollment_tokens
            .range::<Arc<str>, _>((from, Unbounded))
            .map(|(_, token)| token)
    }

    /// How many agents hold a place of a token; those that were forgotten keep theirs where uses are counted.
    pub fn enrolled_len(&self, token: &str) -> u32 {
        self.derived.enrolled_len.get(token).map_or(0, |len| **len)
    }

    /// Whether agents are left of a token that is gone: rows to be swept.
    pub fn has_orphans(&self) -> bool {
        first(&self.derived.orphans).is_some()
    }

    pub(super) fn put_enrollment_token(&mut self, cx: &mut Context<'_>, token: EnrollmentToken) {
        cx.dirty(RowKey::EnrollmentToken(Arc::clone(&token.id)));
        cx.effect(Effect::TokensChanged);
        self.derived
            .enrollment_hashes
            .insert_cow((token.hash, Arc::clone(&token.id)));
        self.enrollment_tokens
            .insert_cow(Arc::clone(&token.id), Arc::new(token));
    }

    /// Takes a token away; what hangs on it is void at once, and leaves as far as this entry has rows.
    pub(super) fn remove_enrollment_token(&mut self, cx: &mut Context<'_>, id: &Arc<str>) {
        let Some(token) = self.enrollment_tokens.remove_cow(id) else {
            return;
        };
        cx.dirty(RowKey::EnrollmentToken(Arc::clone(id)));
        cx.effect(Effect::TokensChanged);
        self.derived
            .enrollment_hashes
            .remove_cow(&(token.hash, Arc::clone(id)));
        if self.enrolled_len(id) > 0 {
            self.derived.orphans.insert_cow(Arc::clone(id));
        }
        self.sweep_orphans(cx, usize::MAX);
    }

    /// Removes places of tokens that are gone, as many as `limit` and the entry allow.
    pub(super) fn sweep_orphans(&mut self, cx: &mut Context<'_>, limit: usize) {
        for _ in 0..limit.min(cx.rows_left()) {
            let Some(token) = first(&self.derived.orphans) else {
                return;
            };
            let Some(agent) = self.enrolled_with(&token).next() else {
                return;
            };
            self.take_enrollment(cx, agent);
        }
    }

    /// Agents that hold a place of a token, in uid order.
    pub fn enrolled_with(&self, token: &Arc<str>) -> impl Iterator<Item = InstanceUid> {
        let range =
            (Arc::clone(token), InstanceUid::nil())..=(Arc::clone(token), InstanceUid::max());
        self.derived
            .enrolled
            .range::<(Arc<str>, InstanceUid), _>(range)
            .map(|(_, agent)| *agent)
    }

    pub(super) fn put_enrollment(&mut self, cx: &mut Context<'_>, enrollment: Enrollment) {
        self.take_enrollment(cx, enrollment.agent);
        cx.dirty(RowKey::Enrollment(enrollment.agent));
        self.index_enrollment(&enrollment);
        self.enrollments
            .insert_cow(enrollment.agent, Arc::new(enrollment));
    }

    pub(super) fn take_enrollment(
        &mut self,
        cx: &mut Context<'_>,
        agent: InstanceUid,
    ) -> Option<Arc<Enrollment>> {
        let enrollment = self.enrollments.remove_cow(&agent)?;
        cx.dirty(RowKey::Enrollment(agent));
        let token = &enrollment.token;
        self.derived
            .enrolled
            .remove_cow(&(Arc::clone(token), agent));
        let left = self.enrolled_len(token).saturating_sub(1);
        if left == 0 {
            self.derived.enrolled_len.remove_cow(token);
            self.derived.orphans.remove_cow(token);
        } else {
            self.derived
                .enrolled_len
                .insert_cow(Arc::clone(token), Arc::new(left));
        }
        Some(enrollment)
    }

    /// The record of an agent has gone. Where a token counts its uses the place stays: an agent that comes back
    /// is not another one.
    pub(super) fn forget_enrollment(&mut self, cx: &mut Context<'_>, agent: InstanceUid) {
        let Some(enrollment) = self.enrollments.get(&agent) else {
            return;
        };
        let token = self.enrollment_tokens.get(&enrollment.token);
        if token.is_none_or(|token| token.uses.is_none()) {
            self.take_enrollment(cx, agent);
        }
    }

    pub(super) fn index_enrollment(&mut self, enrollment: &Enrollment) {
        let token = &enrollment.token;
        let len = self.enrolled_len(token).saturating_add(1);
        self.derived
            .enrolled_len
            .insert_cow(Arc::clone(token), Arc::new(len));
        self.derived
            .enrolled
            .insert_cow((Arc::clone(token), enrollment.agent));
    }

    /// After a load: which tokens are gone while agents still hold places of them.
    pub(super) fn index_orphans(&mut self) {
        let gone = self.derived.enrolled_len.into_iter();
        let gone = gone.filter(|(token, _)| self.enrollment_tokens.get(*token).is_none());
        let gone: Vec<_> = gone.map(|(token, _)| Arc::clone(token)).collect();
        for token in gone {
            self.derived.orphans.insert_cow(token);
        }
    }
}
