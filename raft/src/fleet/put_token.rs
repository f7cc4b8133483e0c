//! `PutToken`: creates a token, or replaces the one with the same id.

use super::audit::Json;
use super::context::{Context, short};
use super::limits::{KEY_BYTES_MAX, TEXT_BYTES_MAX, TOKENS_MAX};
use super::{Fleet, limit_reached};
use crate::outcome::{Outcome, Rejection};
use crate::records::Token;

impl Fleet {
    pub(super) fn put_token(
        &mut self,
        cx: &mut Context<'_>,
        token: &Token,
    ) -> Result<Outcome, Rejection> {
        short(&token.id, KEY_BYTES_MAX, "id of a token")?;
        short(&token.name, TEXT_BYTES_MAX, "name of a token")?;
        let known = self.tokens.get(&token.id);
        match known {
            Some(known) if **known == *token => return Ok(Outcome::Done),
            None if self.tokens.len() >= TOKENS_MAX => {
                return Err(limit_reached("tokens", TOKENS_MAX));
            }
            Some(_) | None => {}
        }
        cx.audit(
            "token.put",
            &token.id,
            Json::of(known.map(|known| &**known)),
            Json::from(token),
        );
        self.put_token_record(cx, token.clone());
        Ok(Outcome::Done)
    }
}
