//! Pages of the history of one agent, newest first, from the index by agent and kind: it holds exactly what is asked
//! for, so a page costs what it shows, however much there is.

use std::collections::{BTreeMap, VecDeque};
use std::io;

use ampora_raft::ids::NodeId;

use super::keys::{self, Place};
use super::open::Spool;
use crate::history::event::EventKind;
use crate::history::query::{Item, PAGE_BYTES_MAX, PAGE_MAX, Part, Position, Query};

/// Places that are looked at for one page: the items, and those that are not flushed or go meanwhile.
const LOOKS_MAX: usize = 8 * PAGE_MAX;

/// Places of a kind that are read at a time.
const PLACES: usize = 64;

/// The places of one kind, newest first.
struct Places {
    kind: EventKind,
    from: Vec<u8>,
    to: Vec<u8>,
    read: VecDeque<(Position, u32)>,
}

impl Places {
    fn new(query: &Query, kind: EventKind) -> Self {
        let newest = match query.until_ms {
            Some(until_ms) => until_ms.checked_sub(1),
            None => Some(u64::MAX),
        };
        let from = newest.map(|at_ms| keys::agent_from(query.agent, kind, at_ms));
        let below = query.below.map(|below| {
            let mut key = keys::agent(query.agent, kind, below);
            key.push(0);
            key
        });
        let to = keys::agent_to(query.agent, kind, query.since_ms.unwrap_or(0));
        Self {
            kind,
            // before the first moment there is nothing
            from: from.map_or_else(|| to.clone(), |from| from.max(below.unwrap_or_default())),
            to,
            read: VecDeque::new(),
        }
    }

    /// The next place, which stays.
    fn peek(&mut self, spool: &Spool) -> io::Result<Option<Position>> {
        if self.read.is_empty() && self.from < self.to {
            let page = spool.kv.range(&self.from, &self.to, PLACES)?;
            match page.last() {
                Some((last, _)) if page.len() == PLACES => {
                    self.from = [&last[..], &[0]].concat();
                }
                Some(_) | None => self.from.clone_from(&self.to),
            }
            for (key, value) in page {
                let (ordinal, _) = keys::agent_numbers(&value)?;
                self.read.push_back((keys::agent_position(&key)?, ordinal));
            }
        }
        Ok(self.read.front().map(|(position, _)| *position))
    }
}

/// Takes the newest place of all kinds.
fn next_place(
    spool: &Spool,
    kinds: &mut [Places],
) -> io::Result<Option<(EventKind, Position, u32)>> {
    let mut newest: Option<(Position, usize)> = None;
    for (at, places) in kinds.iter_mut().enumerate() {
        if let Some(position) = places.peek(spool)? {
            newest = newest.max(Some((position, at)));
        }
    }
    let taken = newest.and_then(|(_, at)| {
        let places = &mut kinds[at];
        let (position, ordinal) = places.read.pop_front()?;
        Some((places.kind, position, ordinal))
    });
    Ok(taken)
}

impl Spool {
    /// A page of the history of an agent, of what is flushed. It ends at the limit of the query, and before when it
    /// has 4 MiB.
    ///
    /// # Errors
    /// Fails when the store does.
    pub fn query(&self, query: &Query) -> io::Result<Part> {
        let limit = usize::from(query.limit).clamp(1, PAGE_MAX);
        let mut kinds: Vec<Places> = EventKind::ALL
            .into_iter()
            .filter(|kind| query.kinds.is_empty() || query.kinds.contains(kind))
            .map(|kind| Places::new(query, kind))
            .collect();
        let mut nodes = BTreeMap::new();
        let mut found = Part::default();
        let mut bytes = 0;
        for _ in 0..LOOKS_MAX {
            let Some((kind, position, ordinal)) = next_place(self, &mut kinds)? else {
                found.next = None;
                return Ok(found);
            };
            if position.seq <= self.readable(ordinal)
                && let Some(item) = self.item(&mut nodes, kind, position, ordinal)?
            {
                bytes += item.body.len();
                if bytes > PAGE_BYTES_MAX && !found.items.is_empty() {
                    return Ok(found);
                }
                found.items.push(item);
            }
            found.next = Some(position);
            if found.items.len() == limit {
                break;
            }
        }
        Ok(found)
    }

    /// What stands at a place, if it is still there.
    fn item(
        &self,
        nodes: &mut BTreeMap<u32, NodeId>,
        kind: EventKind,
        position: Position,
        ordinal: u32,
    ) -> io::Result<Option<Item>> {
        let seq = position.seq;
        let Some(event) = self.event(Place { ordinal, seq })? else {
            return Ok(None);
        };
        let node = match nodes.get(&ordinal) {
            Some(node) => *node,
            None => {
                let Some(stream) = self.stream(ordinal)? else {
                    return Ok(None);
                };
                nodes.insert(ordinal, stream.node);
                stream.node
            }
        };
        Ok(Some(Item {
            position,
            node,
            fence: event.fence,
            kind,
            body: event.body.as_ref().to_owned(),
        }))
    }
}
