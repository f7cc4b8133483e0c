//! Where things lie in the store of a spool, and the small values that are plain numbers, big-endian. Persistent:
//! golden lines guard them.
//!
//! ```text
//! s ordinal                                 head of a stream (sealed)       ordinals grow: older streams come first
//! i stream id                               its ordinal
//! e ordinal seq │part                       an event (sealed, in parts)
//! a agent kind !at !stream !seq             ordinal, fence                  newest first, as histories are read
//! t at ordinal seq                          nothing                         oldest first, as events expire
//! d hash │part                              the text of a document (in parts)
//! c hash                                    how many events name it, and its bytes when it is there
//! n                                         logical bytes and number of all events
//! x ordinal                                 up to where a sink surely and perhaps has the events of a stream
//! ```

use std::io;

use ampora_raft::ids::{BodyHash, Fence, InstanceUid};

use crate::history::event::{EventKind, StreamId};
use crate::history::query::Position;

/// Heads of streams.
const HEADS: u8 = b's';
const IDS: u8 = b'i';
const EVENTS: u8 = b'e';
const AGENTS: u8 = b'a';
const TIMES: u8 = b't';
const DOCUMENTS: u8 = b'd';
const COUNTS: u8 = b'c';
const SENT: u8 = b'x';

/// The key of the totals.
pub(super) const TOTALS: &[u8] = b"n";

/// Behind every place of an agent and a kind.
const PLACE_BYTES: usize = 32;

/// Where an event lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// Of its stream.
    pub(super) ordinal: u32,
    /// Its number.
    pub(super) seq: u64,
}

/// All keys under a letter.
fn all(letter: u8) -> (Vec<u8>, Vec<u8>) {
    (vec![letter], vec![letter + 1])
}

fn key(letter: u8, parts: &[&[u8]]) -> Vec<u8> {
    let bytes: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = Vec::with_capacity(1 + bytes);
    out.push(letter);
    for part in parts {
        out.extend_from_slice(part);
    }
    out
}

/// Reads the numbers of a key or a value from its front.
struct Front<'a> {
    left: &'a [u8],
}

impl Front<'_> {
    fn take<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let (front, left) = self.left.split_first_chunk().ok_or_else(damaged)?;
        self.left = left;
        Ok(*front)
    }

    fn end(&self) -> io::Result<()> {
        match self.left {
            [] => Ok(()),
            _ => Err(damaged()),
        }
    }
}

fn damaged() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "a key or number of the history spool is damaged",
    )
}

pub(super) fn heads() -> (Vec<u8>, Vec<u8>) {
    all(HEADS)
}

pub(super) fn head(ordinal: u32) -> Vec<u8> {
    key(HEADS, &[&ordinal.to_be_bytes()])
}

/// The ordinal of the key of a head, or of what was sent.
pub(super) fn ordinal(key: &[u8]) -> io::Result<u32> {
    let mut front = Front {
        left: key.get(1..).unwrap_or_default(),
    };
    let ordinal = u32::from_be_bytes(front.take()?);
    front.end().map(|()| ordinal)
}

pub(super) fn id(stream: StreamId) -> Vec<u8> {
    key(IDS, &[&stream.0.to_be_bytes()])
}

pub(super) fn id_value(ordinal: u32) -> Vec<u8> {
    ordinal.to_be_bytes().to_vec()
}

pub(super) fn id_ordinal(value: &[u8]) -> io::Result<u32> {
    let mut front = Front { left: value };
    let ordinal = u32::from_be_bytes(front.take()?);
    front.end().map(|()| ordinal)
}

pub(super) fn events() -> (Vec<u8>, Vec<u8>) {
    all(EVENTS)
}

/// Before all parts of the event.
pub(super) fn event(place: Place) -> Vec<u8> {
    key(
        EVENTS,
        &[&place.ordinal.to_be_bytes(), &place.seq.to_be_bytes()],
    )
}

/// Behind all events of a stream.
pub(super) fn events_end(ordinal: u32) -> Vec<u8> {
    key(EVENTS, &[&ordinal.to_be_bytes(), &[0xff; 9]])
}

/// The place of an event's key, with or without the number of a part behind it.
pub(super) fn event_place(key: &[u8]) -> io::Result<Place> {
    let mut front = Front {
        left: key.get(1..).unwrap_or_default(),
    };
    Ok(Place {
        ordinal: u32::from_be_bytes(front.take()?),
        seq: u64::from_be_bytes(front.take()?),
    })
}

/// All places of all agents.
pub(super) fn agents() -> (Vec<u8>, Vec<u8>) {
    all(AGENTS)
}

/// The number of a kind on the disk: its place among [`EventKind::ALL`].
fn kind_number(kind: EventKind) -> u8 {
    match kind {
        EventKind::Connected => 0,
        EventKind::Disconnected => 1,
        EventKind::Health => 2,
        EventKind::Description => 3,
        EventKind::ConfigStatus => 4,
        EventKind::EffectiveConfig => 5,
        EventKind::Packages => 6,
    }
}

fn agent_kind(agent: InstanceUid, kind: EventKind) -> Vec<u8> {
    key(AGENTS, &[agent.as_bytes(), &[kind_number(kind)]])
}

/// The place of an event among those of its agent and kind: later positions have smaller keys.
pub(super) fn agent(agent: InstanceUid, kind: EventKind, position: Position) -> Vec<u8> {
    let mut out = agent_kind(agent, kind);
    out.extend_from_slice(&(!position.at_ms).to_be_bytes());
    out.extend_from_slice(&(!position.stream.0).to_be_bytes());
    out.extend_from_slice(&(!position.seq).to_be_bytes());
    out
}

/// Before the place of every event of an agent and kind whose time is `at_ms` or less.
pub(super) fn agent_from(agent: InstanceUid, kind: EventKind, at_ms: u64) -> Vec<u8> {
    let mut out = agent_kind(agent, kind);
    out.extend_from_slice(&(!at_ms).to_be_bytes());
    out
}

/// Behind the place of every event of an agent and kind whose time is `at_ms` or more.
pub(super) fn agent_to(agent: InstanceUid, kind: EventKind, at_ms: u64) -> Vec<u8> {
    let mut out = agent_from(agent, kind, at_ms);
    out.extend_from_slice(&[0xff; PLACE_BYTES]);
    out
}

/// The agent and kind of a key of an agent, as the bytes that all of their places begin with.
pub(super) fn agent_group(key: &[u8]) -> io::Result<&[u8]> {
    let group = key.len().checked_sub(PLACE_BYTES);
    group.and_then(|end| key.get(..end)).ok_or_else(damaged)
}

pub(super) fn agent_position(key: &[u8]) -> io::Result<Position> {
    let mut front = Front {
        left: &key[agent_group(key)?.len()..],
    };
    Ok(Position {
        at_ms: !u64::from_be_bytes(front.take()?),
        stream: StreamId(!u128::from_be_bytes(front.take()?)),
        seq: !u64::from_be_bytes(front.take()?),
    })
}

pub(super) fn agent_value(ordinal: u32, fence: Fence) -> Vec<u8> {
    [&ordinal.to_be_bytes()[..], &fence.0.to_be_bytes()].concat()
}

pub(super) fn agent_numbers(value: &[u8]) -> io::Result<(u32, Fence)> {
    let mut front = Front { left: value };
    let ordinal = u32::from_be_bytes(front.take()?);
    let fence = Fence(u64::from_be_bytes(front.take()?));
    front.end().map(|()| (ordinal, fence))
}

pub(super) fn time(at_ms: u64, place: Place) -> Vec<u8> {
    let (ordinal, seq) = (place.ordinal.to_be_bytes(), place.seq.to_be_bytes());
    key(TIMES, &[&at_ms.to_be_bytes(), &ordinal, &seq])
}

/// All events whose time is less than `before_ms`.
pub(super) fn times(before_ms: u64) -> (Vec<u8>, Vec<u8>) {
    (vec![TIMES], key(TIMES, &[&before_ms.to_be_bytes()]))
}

/// All events, in the order of their times.
pub(super) fn all_times() -> (Vec<u8>, Vec<u8>) {
    all(TIMES)
}

pub(super) fn time_of(key: &[u8]) -> io::Result<(u64, Place)> {
    let mut front = Front {
        left: key.get(1..).unwrap_or_default(),
    };
    let at_ms = u64::from_be_bytes(front.take()?);
    let place = Place {
        ordinal: u32::from_be_bytes(front.take()?),
        seq: u64::from_be_bytes(front.take()?),
    };
    front.end().map(|()| (at_ms, place))
}

pub(super) fn document(hash: BodyHash) -> Vec<u8> {
    key(DOCUMENTS, &[&hash.0])
}

pub(super) fn count(hash: BodyHash) -> Vec<u8> {
    key(COUNTS, &[&hash.0])
}

/// How many events name a document, and how large it is where it is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) events: u64,
    pub(super) bytes: Option<u32>,
}

impl Named {
    pub(super) fn value(self) -> Vec<u8> {
        let mut out = self.events.to_be_bytes().to_vec();
        if let Some(bytes) = self.bytes {
            out.extend_from_slice(&bytes.to_be_bytes());
        }
        out
    }

    pub(super) fn read(value: &[u8]) -> io::Result<Self> {
        let mut front = Front { left: value };
        let events = u64::from_be_bytes(front.take()?);
        if front.left.is_empty() {
            return Ok(Self {
                events,
                bytes: None,
            });
        }
        let bytes = Some(u32::from_be_bytes(front.take()?));
        front.end().map(|()| Self { events, bytes })
    }
}

/// What a spool holds: in every batch, so that a start need not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) bytes: u64,
    pub(super) events: u64,
}

impl Totals {
    pub(super) fn value(self) -> Vec<u8> {
        [self.bytes.to_be_bytes(), self.events.to_be_bytes()].concat()
    }

    pub(super) fn read(value: &[u8]) -> io::Result<Self> {
        let mut front = Front { left: value };
        let bytes = u64::from_be_bytes(front.take()?);
        let events = u64::from_be_bytes(front.take()?);
        front.end().map(|()| Self { bytes, events })
    }
}

/// How far a sink has got with the events of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sent {
    /// Up to here it has all of them.
    pub(super) surely: u64,
    /// Up to here it may have them.
    pub(super) perhaps: u64,
}

pub(super) fn sent(ordinal: u32) -> Vec<u8> {
    key(SENT, &[&ordinal.to_be_bytes()])
}

pub(super) fn all_sent() -> (Vec<u8>, Vec<u8>) {
    all(SENT)
}

impl Sent {
    pub(super) fn value(self) -> Vec<u8> {
        [self.surely.to_be_bytes(), self.perhaps.to_be_bytes()].concat()
    }

    pub(super) fn read(value: &[u8]) -> io::Result<Self> {
        let mut front = Front { left: value };
        let surely = u64::from_be_bytes(front.take()?);
        let perhaps = u64::from_be_bytes(front.take()?);
        front.end().map(|()| Self { surely, perhaps })
    }
}
