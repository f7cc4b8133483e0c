//! `StageBody`: one part of a configuration body, in any order. Its bytes go to a row, never to memory.

use super::context::Context;
use super::limits::{BODY_BYTES_MAX, BODY_PART_BYTES_MAX, BODY_PARTS_MAX, STAGED_MAX};
use super::{Fleet, first};
use crate::outcome::{Outcome, Rejection};
use crate::proposal::StageBody;
use crate::records::BodyMeta;
use crate::rows::{Row, RowKey};

impl Fleet {
    pub(super) fn stage_body(
        &mut self,
        cx: &mut Context<'_>,
        given: &StageBody,
    ) -> Result<Outcome, Rejection> {
        if given.bytes.len() > BODY_PART_BYTES_MAX || given.parts > BODY_PARTS_MAX {
            return Err(Rejection::TooLarge("part of a body".into()));
        }
        if given.part >= given.parts {
            return Err(Rejection::BodyMismatch(given.hash));
        }
        let known = self.bodies.get(&given.hash);
        let mut body = match known {
            Some(body) if body.parts != given.parts => {
                return Err(Rejection::BodyMismatch(given.hash));
            }
            Some(body) => (**body).clone(),
            None => BodyMeta {
                parts: given.parts,
                present: 0,
                size: 0,
                references: 0,
                staged_ms: cx.wall_ms,
                staged_index: cx.index,
            },
        };
        let bit = 1 << given.part;
        if body.present & bit != 0 {
            return Ok(Outcome::Done);
        }
        let size = body.size as usize + given.bytes.len();
        body.size = u32::try_from(size)
            .ok()
            .filter(|_| size <= BODY_BYTES_MAX)
            .ok_or_else(|| Rejection::TooLarge("body".into()))?;
        body.present |= bit;
        self.put_body(cx, given.hash, body);
        cx.put(
            RowKey::BodyPart(given.hash, given.part),
            Some(Row::BodyPart(given.bytes.clone())),
        );
        if self.derived.staged.len() > STAGED_MAX
            && let Some((_, oldest)) = first(&self.derived.staged)
        {
            self.remove_body(cx, oldest);
        }
        Ok(Outcome::Done)
    }
}

impl BodyMeta {
    /// Whether every part has come.
    pub fn is_whole(&self) -> bool {
        self.present.count_ones() == u32::from(self.parts)
    }
}
