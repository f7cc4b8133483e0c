//! `CreateToken` and `CreateEnrollmentToken`: a token with a fresh id. The answer carries the token that was made,
//! so that whoever repeats the call with its key learns that his own was not.

use std::sync::Arc;

use super::audit::Json;
use super::context::{Context, short};
use super::limits::{
    ENROLLMENT_TOKENS_MAX, KEY_BYTES_MAX, SERVER_LABEL_KEY_BYTES_MAX, SERVER_LABEL_VALUE_BYTES_MAX,
    SERVER_LABELS_BYTES_MAX, SERVER_LABELS_MAX, TEXT_BYTES_MAX, TOKENS_MAX,
};
use super::{Fleet, limit_reached};
use crate::outcome::{Outcome, Rejection};
use crate::records::{EnrollmentToken, Token, TokenNote};

impl Fleet {
    pub(super) fn create_token(
        &mut self,
        cx: &mut Context<'_>,
        token: &Token,
        expires_wall_ms: Option<u64>,
    ) -> Result<Outcome, Rejection> {
        short(&token.id, KEY_BYTES_MAX, "id of a token")?;
        short(&token.name, TEXT_BYTES_MAX, "name of a token")?;
        if self.tokens.get(&token.id).is_some() {
            return Err(Rejection::TokenExists(Arc::clone(&token.id)));
        }
        if self.tokens.len() >= TOKENS_MAX {
            return Err(limit_reached("tokens", TOKENS_MAX));
        }
        cx.audit("token.create", &token.id, Json::Null, Json::from(token));
        self.put_token_record(cx, token.clone());
        let note = TokenNote {
            token: Arc::clone(&token.id),
            created_by: Arc::clone(cx.actor),
            expires_wall_ms,
        };
        self.put_token_note(cx, note);
        Ok(Outcome::Token(Arc::new(token.clone())))
    }

    pub(super) fn create_enrollment_token(
        &mut self,
        cx: &mut Context<'_>,
        token: &EnrollmentToken,
    ) -> Result<Outcome, Rejection> {
        short(&token.id, KEY_BYTES_MAX, "id of a token")?;
        short(&token.name, TEXT_BYTES_MAX, "name of a token")?;
        for (key, value) in &token.labels {
            short(key, SERVER_LABEL_KEY_BYTES_MAX, "key of a label")?;
            short(value, SERVER_LABEL_VALUE_BYTES_MAX, "value of a label")?;
        }
        if !fits(&token.labels) {
            return Err(Rejection::TooLarge("labels of a token".into()));
        }
        let orphaned = self.enrolled_len(&token.id) > 0;
        if orphaned || self.enrollment_tokens.get(&token.id).is_some() {
            return Err(Rejection::TokenExists(Arc::clone(&token.id)));
        }
        if self.enrollment_tokens.len() >= ENROLLMENT_TOKENS_MAX {
            return Err(limit_reached("enrollment tokens", ENROLLMENT_TOKENS_MAX));
        }
        let token = EnrollmentToken {
            created_by: Arc::clone(cx.actor),
            ..token.clone()
        };
        let after = Json::from(&token);
        cx.audit("enrollment_token.create", &token.id, Json::Null, after);
        self.put_enrollment_token(cx, token.clone());
        Ok(Outcome::EnrollmentToken(Arc::new(token)))
    }
}

/// Whether all labels together are what a record has room for.
pub(super) fn fits(labels: &[(Arc<str>, Arc<str>)]) -> bool {
    let bytes = labels.iter().map(|(key, value)| key.len() + value.len());
    labels.len() <= SERVER_LABELS_MAX && bytes.sum::<usize>() <= SERVER_LABELS_BYTES_MAX
}
