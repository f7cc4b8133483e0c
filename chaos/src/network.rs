//! The network between nodes: messages are lost, delayed, doubled, reordered, or held back by partitions.
//!
//! Partitions may have one direction. Everything is decided when a message is sent, by dice of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use ampora_raft::consensus::{PeerNetwork, RaftRequest, RaftResponse};
use ampora_raft::ids::NodeId;
use ampora_storage::codec::{self, Kind};
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::book::Book;
use crate::dice::Dice;

/// Messages on their way; beyond it new ones are lost, as in a router whose buffers are full.
const IN_FLIGHT_MAX: usize = 20_000;

/// The envelope in which messages travel; which one does not matter here.
pub const ENVELOPE: Kind = Kind::LogEntry;

/// How bad the network is.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// Messages lost, of a thousand.
    pub lost: u64,
    /// Messages that come twice, of a thousand.
    pub doubled: u64,
    /// Messages that take up to a second, of a thousand.
    pub late: u64,
    /// What the others take at most.
    pub delay_us: u64,
}

impl Weather {
    /// A good day.
    pub const FAIR: Self = Self {
        lost: 0,
        doubled: 0,
        late: 0,
        delay_us: 3_000,
    };
}

/// One message.
#[derive(Clone, Debug)]
pub struct Parcel {
    /// Who sent it.
    pub from: NodeId,
    /// Who is to get it.
    pub to: NodeId,
    /// Which call it belongs to.
    pub call: u64,
    /// Question or answer.
    pub load: Load,
}

/// What a message carries.
#[derive(Clone, Debug)]
pub enum Load {
    /// A request of consensus.
    Ask(Bytes),
    /// Its answer.
    Answer(Bytes),
}

/// The network; clones are the same one.
#[derive(Clone)]
pub struct Network {
    book: Book,
    state: Arc<Mutex<State>>,
}

struct State {
    dice: Dice,
    weather: Weather,
    calls: u64,
    sent: u64,
    /// By the time of arrival.
    flying: BTreeMap<(u64, u64), Parcel>,
    /// Directions in which nothing arrives.
    cut: BTreeSet<(NodeId, NodeId)>,
    waiting: BTreeMap<u64, oneshot::Sender<Bytes>>,
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Network")
    }
}

impl Network {
    /// A network without faults.
    pub fn new(book: Book, dice: Dice) -> Self {
        let state = State {
            dice,
            weather: Weather::FAIR,
            calls: 0,
            sent: 0,
            flying: BTreeMap::new(),
            cut: BTreeSet::new(),
            waiting: BTreeMap::new(),
        };
        Self {
            book,
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// Changes how bad it is.
    pub fn set_weather(&self, weather: Weather) {
        self.state.lock().weather = weather;
    }

    /// From here on nothing arrives at `to` from `from`, or everything does again.
    pub fn cut(&self, from: NodeId, to: NodeId, is_cut: bool) {
        let mut state = self.state.lock();
        if is_cut {
            state.cut.insert((from, to));
        } else {
            state.cut.remove(&(from, to));
        }
    }

    /// Ends all partitions.
    pub fn heal(&self) {
        let mut state = self.state.lock();
        state.cut.clear();
        state.weather = Weather::FAIR;
    }

    /// Sends a message.
    pub fn send(&self, parcel: Parcel) {
        let now_us = self.book.now_us();
        let mut state = self.state.lock();
        let weather = state.weather;
        let copies = 1 + usize::from(state.dice.happens(weather.doubled));
        for _ in 0..copies {
            let is_lost = state.dice.happens(weather.lost)
                || state.cut.contains(&(parcel.from, parcel.to))
                || state.flying.len() >= IN_FLIGHT_MAX;
            let delay_us = if state.dice.happens(weather.late) {
                state.dice.between(weather.delay_us, 1_000_000)
            } else {
                state.dice.between(200, weather.delay_us)
            };
            if !is_lost {
                state.sent += 1;
                let key = (now_us + delay_us, state.sent);
                state.flying.insert(key, parcel.clone());
            }
        }
    }

    /// Takes what has arrived by now, in the order of arrival. What a partition cut meanwhile is gone.
    pub fn arrived(&self) -> Vec<Parcel> {
        let now_us = self.book.now_us();
        let mut state = self.state.lock();
        let later = state.flying.split_off(&(now_us + 1, 0));
        let due = std::mem::replace(&mut state.flying, later);
        let cut = &state.cut;
        due.into_values()
            .filter(|parcel| !cut.contains(&(parcel.from, parcel.to)))
            .collect()
    }

    /// An answer has come to whoever waits for it.
    pub fn answered(&self, call: u64, bytes: Bytes) {
        if let Some(waiting) = self.state.lock().waiting.remove(&call) {
            // whoever asked may have given up
            drop(waiting.send(bytes));
        }
    }

    /// Calls that wait for an answer.
    pub fn calls(&self) -> usize {
        self.state.lock().waiting.len()
    }

    /// The network as one node has it.
    pub fn of(&self, node: NodeId) -> Arc<Wire> {
        Arc::new(Wire {
            node,
            network: self.clone(),
        })
    }
}

/// The network of one node.
#[derive(Debug)]
pub struct Wire {
    node: NodeId,
    network: Network,
}

/// Forgets a call that nobody waits for any more.
struct Call {
    number: u64,
    network: Network,
}

impl Drop for Call {
    fn drop(&mut self) {
        self.network.state.lock().waiting.remove(&self.number);
    }
}

impl PeerNetwork for Wire {
    fn call(
        &self,
        target: NodeId,
        request: RaftRequest,
        within: Duration,
    ) -> BoxFuture<'static, io::Result<RaftResponse>> {
        let (node, network) = (self.node, self.network.clone());
        async move {
            let bytes = codec::encode(ENVELOPE, &request)?;
            let (answer, answered) = oneshot::channel();
            let number = {
                let mut state = network.state.lock();
                state.calls += 1;
                let number = state.calls;
                state.waiting.insert(number, answer);
                number
            };
            let _call = Call {
                number,
                network: network.clone(),
            };
            network.send(Parcel {
                from: node,
                to: target,
                call: number,
                load: Load::Ask(bytes.into()),
            });
            let late = |_| io::Error::from(io::ErrorKind::TimedOut);
            let bytes = tokio::time::timeout(within, answered).await.map_err(late)?;
            let bytes = bytes.map_err(io::Error::other)?;
            codec::decode(ENVELOPE, &bytes)
        }
        .boxed()
    }
}
