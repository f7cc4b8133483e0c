//! What is asked of history, and how it is answered; spool and Postgres answer alike. Nodes send these to each other:
//! fields are never changed.

use ampora_raft::ids::{Fence, InstanceUid, NodeId};
use serde::{Deserialize, Serialize};

use super::event::{EventKind, StreamId};

/// Items of one page at most.
pub const PAGE_MAX: usize = 1000;

/// Bytes of the bodies of one page at most: an answer of a node to another is 8 MiB at most.
pub const PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The place of an item in the order of a history: newest first, ties broken by stream and number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    /// Wall time in milliseconds since 1970.
    pub at_ms: u64,
    /// The stream.
    pub stream: StreamId,
    /// The number in the stream.
    pub seq: u64,
}

/// A page of the history of one agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Query {
    /// Whose.
    pub agent: InstanceUid,
    /// Not before this wall time.
    pub since_ms: Option<u64>,
    /// Before this wall time.
    pub until_ms: Option<u64>,
    /// These kinds; all when empty.
    pub kinds: Vec<EventKind>,
    /// Strictly below this place: where the page before ended.
    pub below: Option<Position>,
    /// Items at most, up to [`PAGE_MAX`].
    pub limit: u16,
}

impl Query {
    /// Whether an item of this agent is asked for.
    pub fn wants(&self, item: &Item) -> bool {
        let at_ms = item.position.at_ms;
        self.since_ms.is_none_or(|since| at_ms >= since)
            && self.until_ms.is_none_or(|until| at_ms < until)
            && self.below.is_none_or(|below| item.position < below)
            && (self.kinds.is_empty() || self.kinds.contains(&item.kind))
    }
}

/// An event as history shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// Where it stands.
    pub position: Position,
    /// Who wrote it.
    pub node: NodeId,
    /// Under which ownership: of one agent, what has the larger one happened later.
    pub fence: Fence,
    /// What kind.
    pub kind: EventKind,
    /// A JSON object.
    pub body: String,
}

/// An agent as it was at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentThen {
    /// Which.
    pub agent: InstanceUid,
    /// The newest event of each kind up to that time, by time, then place; at least one. In the order in which they
    /// happened, as the clusters and ownerships tell under which they were said.
    pub items: Vec<Item>,
}

/// A page, or the part of one that a single store has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Newest first, by position.
    pub items: Vec<Item>,
    /// Where to go on ([`Query::below`]); nothing is left when it is none.
    pub next: Option<Position>,
}

impl Part {
    /// The page of these items, newest first: at most `limit` of them and [`PAGE_BYTES_MAX`] in all, but one at least.
    /// Whoever asks a store for one item more than the limit learns here whether there is more.
    #[must_use]
    pub fn of(mut items: Vec<Item>, limit: usize) -> Self {
        let mut bytes = 0_usize;
        let fits = items.iter().take(limit).take_while(|item| {
            bytes = bytes.saturating_add(item.body.len());
            bytes <= PAGE_BYTES_MAX
        });
        let taken = fits.count().max(1);
        let is_more = items.len() > taken;
        items.truncate(taken);
        let last = items.last().filter(|_| is_more);
        Self {
            next: last.map(|item| item.position),
            items,
        }
    }

    /// The page of what several stores have, each of which was asked the same. What lies below the end of a part that
    /// has more waits for the next page: that store may have something newer.
    #[must_use]
    pub fn merge(parts: Vec<Self>, limit: usize) -> Self {
        let end = parts.iter().filter_map(|part| part.next).max();
        let items = parts.into_iter().flat_map(|part| part.items);
        let mut items: Vec<Item> = match end {
            Some(end) => items.filter(|item| item.position >= end).collect(),
            None => items.collect(),
        };
        items.sort_by_key(|item| std::cmp::Reverse(item.position));
        // two stores have the same event while it goes from one to the other
        items.dedup_by_key(|item| item.position);
        let mut page = Self::of(items, limit);
        page.next = page.next.or(end);
        page
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn item((at_ms, stream, seq): (u64, u128, u64), bytes: usize) -> Item {
        Item {
            position: Position {
                at_ms,
                stream: StreamId(stream),
                seq,
            },
            node: NodeId(1),
            fence: Fence(1),
            kind: EventKind::Health,
            body: "x".repeat(bytes),
        }
    }

    /// What one store answers.
    fn part(items: &[Item], below: Option<Position>, limit: usize) -> Part {
        let mut found: Vec<Item> = items.to_vec();
        found.retain(|item| below.is_none_or(|below| item.position < below));
        found.sort_by_key(|item| std::cmp::Reverse(item.position));
        found.truncate(limit + 1);
        Part::of(found, limit)
    }

    #[test]
    fn a_page_is_bounded_in_bytes_and_never_empty_while_there_is_more() {
        let large = |seq| item((seq, 1, seq), PAGE_BYTES_MAX / 2 + 1);
        let page = Part::of(vec![large(3), large(2)], 10);
        assert_eq!((page.items.len(), page.next), (1, Some(large(3).position)));
        assert_eq!(Part::of(Vec::new(), 10), Part::default());
    }

    proptest! {
        #[test]
        fn pages_of_several_stores_are_those_of_one(
            stores in prop::collection::vec(prop::collection::btree_set((0_u64..6, 0_u64..40), 0..12), 1..4),
            limit in 1_usize..6,
        ) {
            let stores: Vec<Vec<Item>> = stores
                .into_iter()
                .zip(0_u128..)
                .map(|(items, stream)| {
                    items.into_iter().map(|(at, seq)| item((at, stream, seq), 3)).collect()
                })
                .collect();
            let mut all: Vec<Item> = stores.concat();
            all.sort_by_key(|item| std::cmp::Reverse(item.position));
            let mut read = Vec::new();
            let mut below = None;
            loop {
                let parts = stores.iter().map(|items| part(items, below, limit)).collect();
                let page = Part::merge(parts, limit);
                prop_assert!(page.items.len() <= limit);
                read.extend(page.items);
                below = page.next;
                if below.is_none() {
                    break;
                }
            }
            prop_assert_eq!(read, all);
        }
    }
}
