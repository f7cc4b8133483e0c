//! `DeleteToken`, `DeleteEnrollmentToken` and `SweepTokens`: tokens end when somebody says so, and those of operators
//! leave by themselves when their time is over.

use std::sync::Arc;

use super::audit::Json;
use super::context::Context;
use super::limits::SWEEP_STEP;
use super::{Fleet, first};
use crate::effect::Effect;
use crate::outcome::{Outcome, Rejection};
use crate::records::{Role, Token, TokenNote};
use crate::rows::RowKey;

/// Rows that the end of one token touches: itself and its note.
const TOKEN_ROWS: usize = 2;

impl Fleet {
    /// The last token of an administrator stays: without it nobody could make another one.
    pub(super) fn delete_token(
        &mut self,
        cx: &mut Context<'_>,
        id: &Arc<str>,
    ) -> Result<Outcome, Rejection> {
        let token = self.tokens.get(id).cloned();
        let token = token.ok_or_else(|| Rejection::UnknownToken(Arc::clone(id)))?;
        let rules = |other: &Token| {
            other.role == Role::Admin
                && other.id != *id
                && other.expires_at_ms.is_none_or(|at| cx.deadline_ms < at)
        };
        if token.role == Role::Admin && !self.tokens().any(|other| rules(other)) {
            return Err(Rejection::LastAdminToken);
        }
        cx.audit("token.delete", id, Json::from(&*token), Json::Null);
        self.remove_token(cx, &token);
        Ok(Outcome::Done)
    }

    pub(super) fn delete_enrollment_token(
        &mut self,
        cx: &mut Context<'_>,
        id: &Arc<str>,
    ) -> Result<Outcome, Rejection> {
        let token = self.enrollment_token(id);
        let token = token.ok_or_else(|| Rejection::UnknownToken(Arc::clone(id)))?;
        let before = Json::from(&**token);
        cx.audit("enrollment_token.delete", id, before, Json::Null);
        self.remove_enrollment_token(cx, id);
        Ok(Outcome::Done)
    }

    /// Removes what is over, in steps.
    pub(super) fn sweep_tokens(&mut self, cx: &mut Context<'_>, limit: u16) -> Outcome {
        let limit = usize::from(limit).min(SWEEP_STEP);
        for _ in 0..limit {
            let due = first(&self.derived.token_expiry).filter(|(at, _)| *at <= cx.deadline_ms);
            let token = due.and_then(|(_, id)| self.tokens.get(&id).cloned());
            let Some(token) = token.filter(|_| cx.rows_left() >= TOKEN_ROWS) else {
                break;
            };
            self.remove_token(cx, &token);
        }
        self.sweep_orphans(cx, limit);
        Outcome::Done
    }

    /// Whether a sweep at deadline time `now_ms` would remove something.
    pub fn has_tokens_to_sweep(&self, now_ms: u64) -> bool {
        first(&self.derived.token_expiry).is_some_and(|(at, _)| at <= now_ms) || self.has_orphans()
    }

    /// What people ask of an operator's token; `None` for those that a node made by itself.
    pub fn token_note(&self, id: &str) -> Option<&Arc<TokenNote>> {
        self.token_notes.get(id)
    }

    pub(super) fn put_token_note(&mut self, cx: &mut Context<'_>, note: TokenNote) {
        cx.dirty(RowKey::TokenNote(Arc::clone(&note.token)));
        self.token_notes
            .insert_cow(Arc::clone(&note.token), Arc::new(note));
    }

    fn remove_token(&mut self, cx: &mut Context<'_>, token: &Token) {
        let id = &token.id;
        self.tokens.remove_cow(id);
        self.derived.forget_token(token);
        cx.dirty(RowKey::Token(Arc::clone(id)));
        cx.effect(Effect::TokensChanged);
        if self.token_notes.remove_cow(id).is_some() {
            cx.dirty(RowKey::TokenNote(Arc::clone(id)));
        }
    }
}
