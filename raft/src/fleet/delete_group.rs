//! `DeleteGroup`: its agents fall to the next group that matches them.

use std::sync::Arc;

use super::Fleet;
use super::audit::Json;
use super::context::Context;
use crate::outcome::{Outcome, Rejection};

impl Fleet {
    pub(super) fn delete_group(
        &mut self,
        cx: &mut Context<'_>,
        name: &Arc<str>,
        revision: Option<u64>,
    ) -> Result<Outcome, Rejection> {
        let known = self.seen_group(name, revision)?;
        cx.audit("group.delete", name, Json::from(&*known), Json::Null);
        self.remove_group(cx, name);
        Ok(Outcome::Done)
    }
}
