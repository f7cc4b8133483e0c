//! What must be true, whatever happens.
//!
//! Each invariant stands in a file of its own and judges by what an outside
//! observer sees: entries as they are applied, what agents and operators were told, and the fleets at the end.

mod acked_survives;
mod bad_change_contained;
mod bounded;
pub mod liveness;
mod no_early_expiry;
mod one_holder;
mod one_owner;
mod reads_linearizable;
mod replicas_agree;
mod reports_in_order;
mod terminal_once;

use std::collections::BTreeSet;
use std::sync::Arc;

use ampora::agents::room::Room;
use ampora_raft::consensus::{Change, View};
use ampora_raft::fleet::Fleet;
use ampora_raft::ids::{Fence, InstanceUid, NodeId};
use ampora_raft::rows::Row;
use parking_lot::Mutex;

pub use acked_survives::Acked;
pub use bounded::Sizes;
pub use reads_linearizable::{Call, Op};

use crate::book::Book;
use crate::seat::Seat;

/// What an agent was told beyond a plain reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// A configuration, by its hash.
    Offer(Vec<u8>),
    /// A restart.
    Restart,
    /// A custom message, by its bytes.
    Message(Vec<u8>),
}

/// The observer; clones are the same one.
#[derive(Clone, Debug)]
pub struct Oracle {
    book: Book,
    seats: Arc<Vec<Seat>>,
    state: Arc<Mutex<State>>,
}

/// The newest entry that anybody applied, and every check.
#[derive(Debug, Default)]
struct State {
    index: u64,
    fleet: Fleet,
    replicas_agree: replicas_agree::Check,
    acked_survives: acked_survives::Check,
    one_owner: one_owner::Check,
    one_holder: one_holder::Check,
    terminal_once: terminal_once::Check,
    reads_linearizable: reads_linearizable::Check,
    bad_change_contained: bad_change_contained::Check,
}

/// A row before and after an entry, with the fleets around it.
struct Changed<'a> {
    book: &'a Book,
    seats: &'a [Seat],
    before: Option<Row>,
    after: Option<Row>,
    fleet_before: &'a Fleet,
}

impl Oracle {
    /// Looks at these nodes.
    pub fn new(book: Book, seats: Arc<Vec<Seat>>) -> Self {
        Self {
            book,
            seats,
            state: Arc::default(),
        }
    }

    /// A node has applied an entry.
    pub fn applied(&self, node: NodeId, change: &Change) {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let index = change.state.index();
        let digest = state.replicas_agree.applied(&self.book, node, change);
        if index != state.index + 1 {
            return;
        }
        self.book.note(
            &format!("n{node}"),
            format_args!("applies {index} {digest:016x}"),
        );
        let before = std::mem::replace(&mut state.fleet, change.fleet.clone());
        state.index = index;
        for key in &change.dirty {
            let changed = Changed {
                book: &self.book,
                seats: &self.seats,
                before: before.row(key),
                after: change.fleet.row(key),
                fleet_before: &before,
            };
            note(&changed);
            state.terminal_once.changed(&changed);
            reports_in_order::changed(&changed);
            state.one_owner.changed(&changed);
            no_early_expiry::changed(&changed);
        }
    }

    /// A node has given bytes to the socket of an agent, under the session that it has at this moment.
    pub fn written(&self, room: &Room, uid: InstanceUid, bytes: &[u8]) {
        let acts = acts(bytes);
        if acts.is_empty() {
            return;
        }
        // it may have been given another uid on this socket
        let uid = addressee(bytes).unwrap_or(uid);
        let node = room.author.node;
        for act in acts {
            self.book
                .note(&format!("n{node}"), format_args!("tells {uid} {act:?}"));
        }
        let seat = self.seats.iter().find(|seat| seat.node == node);
        let within_bound = seat.is_some_and(Seat::is_within_bound);
        let state = self.state.lock();
        one_owner::acted(&self.book, room, uid, &state.fleet, within_bound);
    }

    /// An agent has heard something.
    pub fn heard(&self, uid: InstanceUid, act: &Act) {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        state.terminal_once.heard(&self.book, uid, act);
        state.bad_change_contained.heard(&self.book, uid, act);
    }

    /// What breaks every agent.
    pub fn bad(&self) -> BTreeSet<Vec<u8>> {
        self.state.lock().bad_change_contained.bad().clone()
    }

    /// This configuration breaks every agent that it reaches.
    pub fn is_bad(&self, hash: [u8; 32]) {
        self.state.lock().bad_change_contained.is_bad(hash);
    }

    /// An operator was told that the entry at this index has happened.
    pub fn told(&self, index: u64) {
        let mut state = self.state.lock();
        state.acked_survives.told(&self.book, &self.seats, index);
    }

    /// An operator was told that something is done.
    pub fn acked(&self, what: Acked) {
        let mut state = self.state.lock();
        state.acked_survives.acked(what);
    }

    /// A call of an operator on a register has come to its end, or never will.
    pub fn called(&self, call: Call) {
        self.state.lock().reads_linearizable.called(call);
    }

    /// A holder of the named lease has written.
    pub fn wrote_under_lease(&self, node: NodeId, fence: Option<Fence>, index: u64) {
        if let Some(fence) = fence {
            let mut state = self.state.lock();
            state.one_holder.wrote(&self.book, node, fence, index);
        }
    }

    /// These run at this instant.
    pub fn instant<'a>(&self, running: impl Iterator<Item = &'a Seat>) {
        one_holder::look(&self.book, running.filter(|seat| seat.is_within_bound()));
    }

    /// What there is of everything that could grow.
    pub fn sizes(&self, sizes: &Sizes) {
        bounded::check(&self.book, sizes);
    }

    /// How far the log of a node is purged, and then its rows are durable.
    pub fn purged(&self, node: NodeId, purged: u64, durable: u64) {
        acked_survives::purged(&self.book, node, purged, durable);
    }

    /// The newest fleet that anybody has.
    pub fn fleet(&self) -> Fleet {
        self.state.lock().fleet.clone()
    }

    /// Everything has healed: these are the fleets of all nodes.
    pub fn at_end(&self, views: &[(NodeId, Arc<View>)]) {
        let state = self.state.lock();
        replicas_agree::at_end(&self.book, views);
        state.acked_survives.at_end(&self.book, views);
        state.reads_linearizable.at_end(&self.book);
    }
}

/// The trace of what leads to a violation: sessions, deliveries and incarnations.
fn note(changed: &Changed<'_>) {
    let book = changed.book;
    match (&changed.before, &changed.after) {
        (before, Some(Row::Delivery(after))) => {
            let was = match before {
                Some(Row::Delivery(before)) => Some(&before.state),
                Some(_) | None => None,
            };
            let by = after.sent_by.map(|(node, epoch, _)| (node.0, epoch.0));
            book.note(
                "fleet",
                format_args!(
                    "delivery {} of {}: {was:?} -> {:?} by {by:?}",
                    after.dispatch, after.agent, after.state
                ),
            );
        }
        (before, Some(Row::Agent(after))) => {
            let was = match before {
                Some(Row::Agent(before)) => before.session,
                Some(_) | None => None,
            };
            if was != after.session {
                let is = after.session.map(|s| (s.node.0, s.epoch.0, s.fence.0));
                book.note("fleet", format_args!("{} is owned by {is:?}", after.uid));
            }
            let health = after.health.as_ref().map(|h| (h.healthy, &*h.status));
            let had = match before {
                Some(Row::Agent(before)) => before.health.as_ref(),
                Some(_) | None => None,
            };
            if health != had.map(|h| (h.healthy, &*h.status)) {
                book.note("fleet", format_args!("{} is {health:?}", after.uid));
            }
        }
        (_, Some(_) | None) => {}
    }
}

/// Whom a message of the server is for.
fn addressee(bytes: &[u8]) -> Option<InstanceUid> {
    use ampora_proto::wire::ServerToAgent;
    use prost::Message;
    let message = ServerToAgent::decode(bytes.get(1..)?).ok()?;
    InstanceUid::from_slice(&message.instance_uid).ok()
}

/// What a message of the server asks for.
pub fn acts(bytes: &[u8]) -> Vec<Act> {
    use ampora_proto::wire::ServerToAgent;
    use prost::Message;
    let Some(message) = bytes
        .get(1..)
        .and_then(|body| ServerToAgent::decode(body).ok())
    else {
        return Vec::new();
    };
    let offer = message.remote_config;
    let mut acts: Vec<_> = offer
        .map(|offer| Act::Offer(offer.config_hash.to_vec()))
        .into_iter()
        .collect();
    acts.extend(message.command.map(|_| Act::Restart));
    let custom = message.custom_message;
    acts.extend(custom.map(|custom| Act::Message(custom.data.to_vec())));
    acts
}
