//! A spool stays within its size: first only the last event of each agent and kind stays, then the oldest go.

use std::io;

use ampora_raft::ids::Fence;

use super::keys::{self, Place, Sent};
use super::open::{Spool, Writer};
use super::remove::{Going, Pick};
use crate::history::event::StreamId;
use crate::kv::Op;

/// What a spool that is too large keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// The last event of each agent and kind, by fence, then time, as long as that is enough: a queue to a sink, whose
    /// latest state is then right.
    Collapse,
    /// The newest: events that people read.
    Oldest,
}

/// What a bounded step of shrinking did; each event that went is counted once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shrunk {
    /// Events that went because a later one of their agent and kind is there.
    pub collapsed: u64,
    /// Events that went because they were the oldest.
    pub dropped: u64,
    /// Events that went in either way and that the sink has: at most the latest state of an agent lacks them.
    pub exported: u64,
    /// Whether the spool is still too large.
    pub more: bool,
}

/// Where shrinking is. It begins above the cap and ends an eighth below it, so that a spool that stays full does
/// not look at all of its events for each that comes.
#[derive(Debug, Default)]
pub(super) enum Shrinking {
    /// Not begun.
    #[default]
    Idle,
    /// On its way through agents and kinds.
    Collapsing {
        /// Behind what was seen.
        from: Vec<u8>,
        /// The last event of the agent and kind that was seen last.
        best: Option<Best>,
    },
    /// On its way from the oldest on, behind those that a sink may be about to have.
    Dropping {
        /// Behind what was seen.
        from: Place,
    },
}

/// The last event of an agent and a kind so far.
#[derive(Debug)]
pub(super) struct Best {
    group: Vec<u8>,
    rank: (Fence, u64, Place),
}

/// How many events went.
#[derive(Debug, Default)]
struct Gone {
    /// The sink has them.
    exported: u64,
    /// No sink has them.
    lost: u64,
}

impl Gone {
    fn count(writer: &Writer, going: &[Going]) -> Self {
        let is_lost = |one: &&Going| {
            let sent = writer.sent.get(&one.place.ordinal);
            sent.is_none_or(|sent| one.place.seq > sent.surely)
        };
        let lost = going.iter().filter(is_lost).count() as u64;
        Self {
            exported: going.len() as u64 - lost,
            lost,
        }
    }
}

impl Spool {
    /// Whatever of a stream is behind what a sink surely has, up to `upto`, may get there from here on: shrinking leaves
    /// it alone until [`Spool::sent`] tells more, so that no event is both there and counted here. Durable when it
    /// returns, as a crash may come before the answer; events that were appended are flushed with it.
    ///
    /// # Errors
    /// Fails when the store does.
    pub fn sending(&self, stream: StreamId, upto: u64) -> io::Result<()> {
        self.note_sent(stream, |sent| sent.perhaps = sent.perhaps.max(upto))?;
        self.flush().map(drop)
    }

    /// A sink has the events of a stream up to `upto`, and no other: what shrinking takes of these is not lost.
    ///
    /// # Errors
    /// Fails when the store does.
    pub fn sent(&self, stream: StreamId, upto: u64) -> io::Result<()> {
        self.note_sent(stream, |sent| {
            *sent = Sent {
                surely: upto,
                perhaps: upto,
            };
        })
    }

    fn note_sent(&self, stream: StreamId, change: impl FnOnce(&mut Sent)) -> io::Result<()> {
        let mut writer = self.writer.lock();
        let Some(ordinal) = self.ordinal(stream)? else {
            return Ok(());
        };
        let before = writer.sent.get(&ordinal).copied();
        let mut sent = before.unwrap_or_default();
        change(&mut sent);
        if before.unwrap_or_default() != sent {
            let op = Op::Put(keys::sent(ordinal), sent.value());
            self.kv.batch(vec![op])?;
            writer.sent.insert(ordinal, sent);
        }
        Ok(())
    }

    /// Does nothing while the spool has at most `cap` bytes, and otherwise a bounded step towards an eighth less. What
    /// it reports is durable.
    ///
    /// # Errors
    /// Fails when the store does; then some may have gone.
    pub fn shrink_to(&self, cap: u64, keep: Keep) -> io::Result<Shrunk> {
        let mut shrunk = Shrunk::default();
        for _ in 0..self.chunks() {
            let mut writer = self.writer.lock();
            let goal = match writer.shrinking {
                Shrinking::Idle => cap,
                Shrinking::Collapsing { .. } | Shrinking::Dropping { .. } => cap - cap / 8,
            };
            shrunk.more = writer.totals.bytes > goal;
            if !shrunk.more {
                writer.shrinking = Shrinking::Idle;
                break;
            }
            match std::mem::take(&mut writer.shrinking) {
                Shrinking::Idle => {
                    writer.shrinking = begin(keep);
                }
                Shrinking::Collapsing { from, best } => {
                    let going = self.collapse(&mut writer, from, best)?;
                    shrunk.exported += going.exported;
                    shrunk.collapsed += going.lost;
                }
                Shrinking::Dropping { from } => {
                    let going = self.drop_oldest(&mut writer, from, cap - cap / 8)?;
                    shrunk.exported += going.exported;
                    shrunk.dropped += going.lost;
                    // nothing is left that may go
                    shrunk.more = !matches!(writer.shrinking, Shrinking::Idle);
                    if !shrunk.more {
                        break;
                    }
                }
            }
        }
        if shrunk.collapsed + shrunk.dropped + shrunk.exported > 0 {
            self.flush()?;
        }
        Ok(shrunk)
    }

    /// One page of the places of agents and kinds.
    fn collapse(
        &self,
        writer: &mut Writer,
        from: Vec<u8>,
        mut best: Option<Best>,
    ) -> io::Result<Gone> {
        let (start, to) = keys::agents();
        let from = if from.is_empty() { start } else { from };
        let page = self.kv.range(&from, &to, self.chunk())?;
        let Some((last, _)) = page.last() else {
            let from = Place { ordinal: 0, seq: 0 };
            writer.shrinking = Shrinking::Dropping { from };
            return Ok(Gone::default());
        };
        let next = [&last[..], &[0]].concat();
        let mut going = Vec::new();
        for (key, value) in &page {
            let group = keys::agent_group(key)?;
            let position = keys::agent_position(key)?;
            let (ordinal, fence) = keys::agent_numbers(value)?;
            let place = Place {
                ordinal,
                seq: position.seq,
            };
            let rank = (fence, position.at_ms, place);
            let loser = match &mut best {
                Some(best) if best.group == group => {
                    let smaller = best.rank.min(rank);
                    best.rank = best.rank.max(rank);
                    smaller.2
                }
                Some(_) | None => {
                    let group = group.to_vec();
                    best = Some(Best { group, rank });
                    continue;
                }
            };
            if !in_doubt(writer, loser) {
                // the best so far may have been exported meanwhile
                going.extend(self.going(loser)?);
            }
        }
        let gone = Gone::count(writer, &going);
        self.remove(writer, &going)?;
        writer.shrinking = Shrinking::Collapsing { from: next, best };
        Ok(gone)
    }

    /// One chunk of the oldest.
    fn drop_oldest(&self, writer: &mut Writer, from: Place, goal: u64) -> io::Result<Gone> {
        let mut left = writer.totals.bytes;
        let mut seen = from;
        let upto = Place {
            ordinal: u32::MAX,
            seq: 0,
        };
        let going = self.oldest(from, upto, self.chunk(), |one| {
            if left <= goal {
                return Pick::Stop;
            }
            seen = one.place;
            if in_doubt(writer, one.place) {
                return Pick::Leave;
            }
            left = left.saturating_sub(one.bytes as u64);
            Pick::Take
        })?;
        if going.is_empty() {
            return Ok(Gone::default());
        }
        let gone = Gone::count(writer, &going);
        self.remove(writer, &going)?;
        writer.shrinking = Shrinking::Dropping { from: seen };
        Ok(gone)
    }
}

fn begin(keep: Keep) -> Shrinking {
    match keep {
        Keep::Collapse => Shrinking::Collapsing {
            from: Vec::new(),
            best: None,
        },
        Keep::Oldest => Shrinking::Dropping {
            from: Place { ordinal: 0, seq: 0 },
        },
    }
}

/// Whether a sink may be about to have an event.
fn in_doubt(writer: &Writer, place: Place) -> bool {
    writer
        .sent
        .get(&place.ordinal)
        .is_some_and(|sent| place.seq > sent.surely && place.seq <= sent.perhaps)
}
