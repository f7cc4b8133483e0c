//! Postings: for each number, the agents that have it, in uid order. Made for seeking: the persistent set of the tables
//! looks at everything before the place where a range begins.

use std::sync::Arc;

use immutable_chunkmap::map::Map;

use super::CHUNK;
use crate::ids::InstanceUid;

/// What agents are found under: a hash, so that two things may share one.
pub(super) type Posting = u32;

/// Agents of one block; a full one becomes two halves.
const BLOCK_MAX: usize = 256;

/// All postings. Cloning is O(1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Postings {
    lists: Map<Posting, List, CHUNK>,
}

/// The agents of one posting. Host names and instance ids have one each, types and versions nearly everybody.
#[derive(Clone, Debug)]
enum List {
    One(InstanceUid),
    /// Never empty, nor is a block; in order within and between blocks.
    Many(Arc<Vec<Block>>),
}

type Block = Arc<Vec<InstanceUid>>;

impl Postings {
    pub(super) fn insert(&mut self, posting: Posting, uid: InstanceUid) {
        match self.lists.get_mut_cow(&posting) {
            Some(list) => list.insert(uid),
            None => {
                self.lists.insert_cow(posting, List::One(uid));
            }
        }
    }

    pub(super) fn remove(&mut self, posting: Posting, uid: InstanceUid) {
        let Some(list) = self.lists.get_mut_cow(&posting) else {
            return;
        };
        if list.remove(uid) {
            self.lists.remove_cow(&posting);
        }
    }

    /// The first agent of a posting at or behind `from`.
    pub(super) fn seek(&self, posting: Posting, from: InstanceUid) -> Option<InstanceUid> {
        self.lists.get(&posting)?.seek(from)
    }
}

/// How agents are cut into blocks is history and means nothing.
impl PartialEq for List {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for List {}

impl List {
    fn iter(&self) -> impl Iterator<Item = &InstanceUid> {
        let (one, many) = match self {
            List::One(uid) => (Some(uid), None),
            List::Many(blocks) => (None, Some(blocks)),
        };
        let many = many.into_iter().flat_map(|blocks| blocks.iter());
        one.into_iter().chain(many.flat_map(|block| block.iter()))
    }

    fn insert(&mut self, uid: InstanceUid) {
        match self {
            List::One(known) if *known == uid => {}
            List::One(known) => {
                let pair = vec![uid.min(*known), uid.max(*known)];
                *self = List::Many(Arc::new(vec![Arc::new(pair)]));
            }
            List::Many(blocks) => insert(Arc::make_mut(blocks), uid),
        }
    }

    /// Whether nobody is left.
    fn remove(&mut self, uid: InstanceUid) -> bool {
        match self {
            List::One(known) => *known == uid,
            List::Many(blocks) => {
                remove(Arc::make_mut(blocks), uid);
                blocks.is_empty()
            }
        }
    }

    fn seek(&self, from: InstanceUid) -> Option<InstanceUid> {
        match self {
            List::One(uid) => Some(*uid).filter(|uid| *uid >= from),
            List::Many(blocks) => {
                let block = blocks.get(block_of(blocks, from))?;
                block.get(block.partition_point(|uid| *uid < from)).copied()
            }
        }
    }
}

/// The block that has `uid` or whoever comes after it.
fn block_of(blocks: &[Block], uid: InstanceUid) -> usize {
    blocks.partition_point(|block| block.last().is_some_and(|last| *last < uid))
}

fn insert(blocks: &mut Vec<Block>, uid: InstanceUid) {
    let place = block_of(blocks, uid).min(blocks.len().saturating_sub(1));
    let Some(block) = blocks.get_mut(place) else {
        return blocks.push(Arc::new(vec![uid]));
    };
    let Err(within) = block.binary_search(&uid) else {
        return;
    };
    let block = Arc::make_mut(block);
    block.insert(within, uid);
    if block.len() > BLOCK_MAX {
        let half = block.split_off(BLOCK_MAX / 2);
        block.shrink_to_fit();
        blocks.insert(place + 1, Arc::new(half));
    }
}

fn remove(blocks: &mut Vec<Block>, uid: InstanceUid) {
    let place = block_of(blocks, uid);
    let Some(block) = blocks.get_mut(place) else {
        return;
    };
    let Ok(within) = block.binary_search(&uid) else {
        return;
    };
    if block.len() == 1 {
        blocks.remove(place);
    } else {
        Arc::make_mut(block).remove(within);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn uid(n: u16) -> InstanceUid {
        InstanceUid::from_u128(u128::from(n))
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_list_is_a_set_of_agents(
            steps in prop::collection::vec((prop::bool::weighted(0.6), 0..2_000_u16), 0..3_000),
            from in 0..2_000_u16,
        ) {
            let mut postings = Postings::default();
            let mut model = BTreeSet::new();
            let mut copy = None;
            for (place, (add, n)) in steps.into_iter().enumerate() {
                if add {
                    postings.insert(7, uid(n));
                    model.insert(uid(n));
                } else {
                    postings.remove(7, uid(n));
                    model.remove(&uid(n));
                }
                if place == 500 {
                    copy = Some((postings.clone(), model.clone()));
                }
            }
            let all = |postings: &Postings| -> Vec<InstanceUid> {
                let list = postings.lists.get(&7);
                list.map(|list| list.iter().copied().collect()).unwrap_or_default()
            };
            prop_assert_eq!(all(&postings), model.iter().copied().collect::<Vec<_>>());
            let next = model.range(uid(from)..).next().copied();
            prop_assert_eq!(postings.seek(7, uid(from)), next);
            prop_assert_eq!(postings.seek(8, uid(from)), None);
            let mut again = Postings::default();
            for uid in &model {
                again.insert(7, *uid);
            }
            prop_assert_eq!(&postings, &again);
            if let Some((copy, model)) = copy {
                prop_assert_eq!(all(&copy), model.into_iter().collect::<Vec<_>>());
            }
        }
    }
}
