//! Events and documents that differ where it matters: agents, kinds, fences and times that meet and fall, bodies
//! below and above what one value of a store holds.

use std::sync::Arc;

use ampora_raft::ids::{BodyHash, Fence, InstanceUid};
use ampora_storage::history::event::{Document, Event, EventKind};
use proptest::prelude::*;

pub(crate) const AGENTS: u128 = 3;

/// Times are below.
pub(crate) const TIMES: u64 = 12;

const DOCUMENTS: u8 = 4;

const KINDS: [EventKind; 3] = [
    EventKind::Connected,
    EventKind::Health,
    EventKind::EffectiveConfig,
];

pub(crate) fn kinds() -> impl Strategy<Value = EventKind> {
    proptest::sample::select(&KINDS[..])
}

pub(crate) fn agent(number: u128) -> InstanceUid {
    InstanceUid::from_u128(number + 1)
}

pub(crate) fn document(number: u8) -> Document {
    let bytes = usize::from(number % DOCUMENTS) * 3000 + 2;
    Document {
        hash: BodyHash([number; 32]),
        body: Arc::from("d".repeat(bytes)),
    }
}

/// Any event.
pub(crate) fn event() -> impl Strategy<Value = Event> {
    let bytes = prop_oneof![8 => 2..200_usize, 1 => 4000..9000_usize];
    (
        0..AGENTS,
        kinds(),
        0..3_u64,
        0..TIMES,
        bytes,
        proptest::option::of(0..DOCUMENTS),
    )
        .prop_map(|(of, kind, fence, at_ms, bytes, named)| Event {
            at_ms,
            agent: agent(of),
            fence: Fence(fence),
            kind,
            body: Arc::from("b".repeat(bytes)),
            document: named.map(|number| document(number).hash),
        })
}

/// The documents that events name.
pub(crate) fn documents_of(events: &[Event]) -> Vec<Document> {
    let named = events.iter().filter_map(|event| event.document);
    named.map(|hash| document(hash.0[0])).collect()
}
