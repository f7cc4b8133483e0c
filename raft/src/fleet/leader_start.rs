//! `LeaderStart`: whoever begins to lead gives every node time to find it before one is flagged dead.

use super::Fleet;
use super::context::Context;
use crate::outcome::Outcome;

impl Fleet {
    pub(super) fn leader_start(&mut self, cx: &mut Context<'_>, grace_ms: u64) -> Outcome {
        let mut head = (*self.head).clone();
        head.floor_ms = head.floor_ms.max(cx.time_ms.saturating_add(grace_ms));
        self.put_head(cx, head);
        Outcome::Done
    }
}
