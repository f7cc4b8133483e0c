//! What one entry brings to its proposal, and what the proposal leaves behind: changed rows and effects.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::sync::Arc;

use super::Applied;
use super::audit::{Change, Json};
use super::limits::{AUDIT_ROWS, ROWS_MAX, ROWS_RESERVED, SELECTOR_BYTES_MAX, TEXT_BYTES_MAX};
use crate::effect::Effect;
use crate::ids::DispatchId;
use crate::outcome::{Outcome, Rejection};
use crate::proposal::Entry;
use crate::rows::{Row, RowKey};
use crate::selector::Selector;

/// One entry on its way through `apply`.
pub(super) struct Context<'a> {
    /// The log index.
    pub(super) index: u64,
    /// Fleet time, already the maximum of the fleet's and the entry's.
    pub(super) time_ms: u64,
    /// Deadline time: what people's deadlines are compared with.
    pub(super) deadline_ms: u64,
    /// The leader's wall clock, for people.
    pub(super) wall_ms: u64,
    /// Who asked.
    pub(super) actor: &'a Arc<str>,
    /// In which request.
    pub(super) request_id: &'a Arc<str>,
    /// From which address, when an operator asked.
    asked: Option<&'a Arc<str>>,
    /// Who is named in the audit record instead of the actor.
    witness: Option<Arc<str>>,
    change: Option<Change>,
    dirty: BTreeSet<RowKey>,
    puts: Vec<(RowKey, Option<Row>)>,
    effects: Vec<Effect>,
    dispatches: BTreeSet<DispatchId>,
}

impl<'a> Context<'a> {
    pub(super) fn new(index: u64, time_ms: u64, downtime_ms: u64, entry: &'a Entry) -> Self {
        Self {
            index,
            time_ms,
            deadline_ms: time_ms.saturating_add(downtime_ms),
            wall_ms: entry.wall_ms,
            actor: &entry.origin.actor,
            request_id: &entry.origin.request_id,
            asked: None,
            witness: None,
            change: None,
            dirty: BTreeSet::new(),
            puts: Vec::new(),
            effects: Vec::new(),
            dispatches: BTreeSet::new(),
        }
    }

    /// A row of memory changed or went.
    pub(super) fn dirty(&mut self, key: RowKey) {
        self.dirty.insert(key);
    }

    /// A row that is not in memory is to be written or removed.
    pub(super) fn put(&mut self, key: RowKey, value: Option<Row>) {
        self.puts.push((key, value));
    }

    /// The entry is an operator's wish from this address.
    pub(super) fn asked(&mut self, from: &'a Arc<str>) {
        self.asked = Some(from);
    }

    /// Nobody asked as an operator, and the change leaves an audit record all the same, by this actor.
    pub(super) fn witness(&mut self, actor: Arc<str>, from: &'a Arc<str>) {
        self.asked = Some(from);
        self.witness = Some(actor);
    }

    /// Who is named in the audit record.
    pub(super) fn recorded_actor(&self) -> Arc<str> {
        self.witness.as_ref().unwrap_or(self.actor).clone()
    }

    /// Names what the entry changes, once, for the audit record that it leaves when an operator asked: what was
    /// done, to what, how it was and how it is. See [`super::audit`].
    pub(super) fn audit(
        &mut self,
        action: &'static str,
        target: &(impl Display + ?Sized),
        before: Json,
        after: Json,
    ) {
        if self.asked.is_none() {
            return;
        }
        let target = target.to_string();
        let cut = target.floor_char_boundary(TEXT_BYTES_MAX);
        self.change = Some(Change {
            action,
            target: target[..cut].into(),
            before,
            after,
        });
    }

    /// The address and the change, when an operator asked and something changed.
    pub(super) fn take_change(&mut self) -> Option<(&'a Arc<str>, Change)> {
        self.asked.zip(self.change.take())
    }

    pub(super) fn effect(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    /// A dispatch changed; told once, however many of its deliveries did.
    pub(super) fn dispatch_changed(&mut self, id: DispatchId) {
        self.dirty.insert(RowKey::Dispatch(id));
        self.dispatches.insert(id);
    }

    /// How many more rows this entry may touch.
    pub(super) fn rows_left(&self) -> usize {
        let touched = self.dirty.len() + self.puts.len();
        let audit = self.asked.map_or(0, |_| AUDIT_ROWS);
        (ROWS_MAX - ROWS_RESERVED - audit).saturating_sub(touched)
    }

    pub(super) fn finish(mut self, outcome: Outcome) -> Applied {
        let changed = self.dispatches.into_iter();
        self.effects
            .extend(changed.map(|dispatch| Effect::DispatchChanged { dispatch }));
        Applied {
            outcome,
            effects: self.effects,
            dirty: self.dirty.into_iter().collect(),
            puts: self.puts,
        }
    }
}

/// Refuses a selector that no text within its limit means.
pub(super) fn small(selector: &Selector) -> Result<(), Rejection> {
    if selector.bytes() > SELECTOR_BYTES_MAX {
        Err(Rejection::TooLarge("selector".into()))
    } else {
        Ok(())
    }
}

/// Refuses a text longer than `max` bytes.
pub(super) fn short(text: &str, max: usize, what: &str) -> Result<(), Rejection> {
    if text.len() > max {
        Err(Rejection::TooLarge(what.into()))
    } else {
        Ok(())
    }
}
