//! `terminal_once` (design §9, 5): a delivery reaches exactly one end; restarts and messages reach an agent at most once.
//!
//! In the log: no delivery leaves an end or becomes queued again. At the agents: each custom message carries bytes
//! of its own, so that a second one shows, and it shows as well when it comes before its delivery was marked as sent.
//! OpAMP's restart carries nothing, so there restarts are counted against those that were marked.

use std::collections::{BTreeMap, BTreeSet};

use ampora_raft::ids::InstanceUid;
use ampora_raft::records::{Action, DeliveryState};
use ampora_raft::rows::Row;

use super::{Act, Changed};
use crate::book::Book;

/// What was marked, and what came.
#[derive(Debug, Default)]
pub(super) struct Check {
    restarts_marked: BTreeMap<InstanceUid, u64>,
    restarts_heard: BTreeMap<InstanceUid, u64>,
    messages_marked: BTreeSet<(InstanceUid, Vec<u8>)>,
    messages_heard: BTreeSet<(InstanceUid, Vec<u8>)>,
}

fn is_end(state: &DeliveryState) -> bool {
    match state {
        DeliveryState::Queued | DeliveryState::Sent => false,
        DeliveryState::Succeeded
        | DeliveryState::Failed(_)
        | DeliveryState::Expired
        | DeliveryState::Cancelled => true,
    }
}

impl Check {
    pub(super) fn changed(&mut self, changed: &Changed<'_>) {
        let Some(Row::Delivery(after)) = &changed.after else {
            return;
        };
        let before = match &changed.before {
            Some(Row::Delivery(before)) => Some(&before.state),
            Some(_) | None => None,
        };
        let came_back = before.is_some_and(|before| {
            is_end(before) && *before != after.state
                || *before == DeliveryState::Sent && after.state == DeliveryState::Queued
        });
        if came_back {
            changed.book.violation(
                "terminal_once",
                format_args!(
                    "delivery {} of {} went from {before:?} to {:?}",
                    after.dispatch, after.agent, after.state
                ),
            );
        }
        if after.state == DeliveryState::Sent && before != Some(&DeliveryState::Sent) {
            let dispatch = changed.fleet_before.dispatch(after.dispatch);
            match dispatch.map(|dispatch| &dispatch.action) {
                Some(Action::Restart) => {
                    *self.restarts_marked.entry(after.agent).or_default() += 1;
                }
                Some(Action::CustomMessage { data, .. }) => {
                    self.messages_marked.insert((after.agent, data.clone()));
                }
                Some(Action::PushConfig) | None => {}
            }
        }
    }

    pub(super) fn heard(&mut self, book: &Book, uid: InstanceUid, act: &Act) {
        match act {
            Act::Offer(_) => {}
            Act::Restart => {
                let heard = self.restarts_heard.entry(uid).or_default();
                *heard += 1;
                let marked = self.restarts_marked.get(&uid).copied().unwrap_or(0);
                if *heard > marked {
                    book.violation(
                        "terminal_once",
                        format_args!("{uid} was restarted {heard} times, {marked} were marked"),
                    );
                }
            }
            Act::Message(data) => {
                let key = (uid, data.clone());
                let text = String::from_utf8_lossy(data);
                if !self.messages_marked.contains(&key) {
                    book.violation(
                        "terminal_once",
                        format_args!("{uid} was sent {text} before it was marked"),
                    );
                }
                if !self.messages_heard.insert(key) {
                    book.violation("terminal_once", format_args!("{uid} was sent {text} twice"));
                }
            }
        }
    }
}
