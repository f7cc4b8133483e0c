//! What this node has for talking with others: its key, who they are, whether its door is open. Follows the
//! fleet, so that whoever is let in or removed there is known here at once.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ampora_raft::consensus::Consensus;
use ampora_raft::fleet::{FEATURE_LEVEL, Fleet};
use ampora_raft::ids::NodeId;
use ampora_raft::records::Peer;
use tokio::runtime::Handle;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::answers::Answers;
use crate::config::Config;
use crate::entropy::Entropy;
use crate::peer::{
    AddressBook, BookError, KeyError, Known, NodeKey, PeerListener, Peers, Removed, Trust,
};
use crate::tasks::Tasks;

/// Between two looks at who belongs to the cluster.
const PERIOD: Duration = Duration::from_millis(100);

/// Why this node cannot talk with others.
#[derive(Debug, thiserror::Error)]
pub enum PeeringError {
    /// It has no key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// It does not know who the others are.
    #[error(transparent)]
    Book(#[from] BookError),
    /// Its door cannot be opened.
    #[error("cannot listen on {address} (`peer.listen`)")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// Nobody could be told where it is.
    #[error(
        "`peer.listen` is {0}, which is no address to be reached at: say it with `peer.advertise`"
    )]
    Nowhere(SocketAddr),
}

/// The doors and the knowledge; one for each node.
#[derive(Debug)]
pub struct Peering {
    /// The key of this node.
    pub key: Arc<NodeKey>,
    /// Calls to others.
    pub peers: Peers,
    book: AddressBook,
    trust: Trust,
    listen: SocketAddr,
    advertise: Option<String>,
    data_dir: PathBuf,
    /// Where connections are served: beside the log, which waits for nothing else.
    runtime: Handle,
    tasks: Tasks,
    /// What the open door has, and what others are told.
    opened: Mutex<Option<Arc<str>>>,
}

impl Peering {
    /// Reads what the directory keeps; makes the key at the first start. The door is closed. Holds its thread.
    ///
    /// # Errors
    /// The files cannot be read or are not ours.
    pub fn new(config: &Config, runtime: Option<&Handle>) -> Result<Arc<Self>, PeeringError> {
        let data_dir = config.node.data_dir.clone();
        let key = Arc::new(NodeKey::load_or_make(&data_dir)?);
        let book = AddressBook::load(&data_dir)?;
        let tasks = Tasks::new();
        let peering = Self {
            peers: Peers::new(key.clone(), book.clone(), &tasks, Entropy::system()),
            key,
            book,
            trust: Trust::new(),
            listen: config.peer.listen,
            advertise: config.peer.advertise.clone(),
            data_dir,
            runtime: runtime.cloned().unwrap_or_else(Handle::current),
            tasks,
            opened: Mutex::default(),
        };
        peering.trust_the_book();
        Ok(Arc::new(peering))
    }

    /// Where nodes were reached when it was kept last, this one among them; nobody while the door was never open.
    #[must_use]
    pub fn addresses(&self) -> BTreeMap<NodeId, Arc<str>> {
        let all = self.book.all();
        let addresses = all
            .iter()
            .map(|(node, known)| (*node, known.address.clone()));
        addresses.collect()
    }

    /// Opens the door, if it is not open, and says where others reach it. `near` is an address of somebody
    /// who will: it settles which of its own addresses a node means that listens on all of them.
    ///
    /// # Errors
    /// The address is in use, or is none that others could use.
    pub async fn open(
        &self,
        own: Option<NodeId>,
        near: Option<&str>,
        answers: &Arc<Answers>,
    ) -> Result<Arc<str>, PeeringError> {
        let mut opened = self.opened.lock().await;
        if let Some(address) = &*opened {
            return Ok(address.clone());
        }
        let ip = self.listen.ip();
        if self.advertise.is_none() && ip.is_unspecified() && near.is_none() {
            return Err(PeeringError::Nowhere(self.listen));
        }
        let real = self.listen_on(own, answers).await?;
        let address: Arc<str> = match (&self.advertise, near) {
            (Some(stated), _) => stated.as_str().into(),
            (None, Some(near)) if ip.is_unspecified() => {
                let ip = own_address(near, ip)
                    .await
                    .ok_or(PeeringError::Nowhere(real))?;
                SocketAddr::new(ip, real.port()).to_string().into()
            }
            (None, _) => real.to_string().into(),
        };
        tracing::info!(%real, advertised = %address, "the door for other nodes is open");
        *opened = Some(address.clone());
        Ok(address)
    }

    /// A node that let the system choose its port takes the one that the others know, if it is free.
    async fn listen_on(
        &self,
        own: Option<NodeId>,
        answers: &Arc<Answers>,
    ) -> Result<SocketAddr, PeeringError> {
        let known = own.and_then(|own| self.book.of(own));
        let port = known.and_then(|known| known.address.rsplit(':').next()?.parse().ok());
        if let Some(port) = port.filter(|_| self.listen.port() == 0) {
            let before = SocketAddr::new(self.listen.ip(), port);
            if let Ok(real) = self.listen_at(before, answers).await {
                return Ok(real);
            }
        }
        let listen = self.listen_at(self.listen, answers).await;
        listen.map_err(|source| PeeringError::Listen {
            address: self.listen,
            source,
        })
    }

    async fn listen_at(
        &self,
        address: SocketAddr,
        answers: &Arc<Answers>,
    ) -> io::Result<SocketAddr> {
        let (key, trust) = (self.key.clone(), self.trust.clone());
        let (answers, tasks) = (answers.clone(), self.tasks.clone());
        let opening =
            async move { PeerListener::open(address, &key, trust, answers, &tasks).await };
        self.runtime
            .spawn(opening)
            .await
            .map_err(io::Error::other)?
    }

    /// How this node is known to others, where its door is open.
    pub async fn own(&self, id: NodeId) -> Option<Peer> {
        let address = self.opened.lock().await.clone()?;
        Some(Peer {
            id,
            key: self.key.key_hash(),
            address,
            level: FEATURE_LEVEL,
        })
    }

    /// Takes up who the others are, and keeps it for the next start. Holds its thread for a moment.
    pub fn know(&self, known: BTreeMap<NodeId, Known>) {
        if *self.book.all() == known {
            return;
        }
        self.book.set(known);
        self.trust_the_book();
        if let Err(error) = self.book.save(&self.data_dir) {
            tracing::error!(%error, "the addresses of other nodes could not be kept");
        }
    }

    fn trust_the_book(&self) {
        let all = self.book.all();
        let members = all.iter().map(|(node, known)| (known.key, *node));
        self.trust.set_members(&members.collect());
    }

    /// Takes up what the fleet says. Whoever still follows the log is known until it does not: a node that is
    /// being removed hears of it.
    fn follow(&self, consensus: &Consensus) {
        let view = consensus.view();
        let status = consensus.status();
        let members = || status.voters.iter().chain(&status.learners);
        let mut known = known(&view.fleet);
        let is_ours = !known.is_empty();
        let before = self.book.all();
        for (node, leaving) in &*before {
            if !known.contains_key(node) && (!is_ours || members().any(|member| member == node)) {
                known.insert(*node, leaving.clone());
            }
        }
        self.know(known);
        // those that are spent or over among them: whoever bears one hears that it is
        let tokens = view.fleet.join_tokens();
        let bearers: BTreeSet<_> = tokens.map(|token| token.hash).collect();
        self.trust.set_bearers(&bearers);
        let cluster_id = view.fleet.meta().lineage;
        let removed = view.fleet.removed_peers();
        let removed = removed.map(|(node, key)| (key, Removed { cluster_id, node }));
        self.trust.set_removed(&removed.collect());
    }

    /// The same, on a thread that may wait: a change is written to a file.
    pub async fn follow_now(self: Arc<Self>, consensus: Consensus) {
        let tasks = self.tasks.clone();
        drop(tasks.spawn_blocking(move || self.follow(&consensus)).await);
    }

    /// Follows the fleet until `stop`.
    pub async fn drive(self: Arc<Self>, consensus: Consensus, stop: CancellationToken) {
        let mut tick = tokio::time::interval(PERIOD);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => self.clone().follow_now(consensus.clone()).await,
                () = stop.cancelled() => return,
            }
        }
    }

    /// Ends all connections.
    pub fn stop(&self) {
        self.tasks.stop();
    }

    /// Where the directory is.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }
}

/// The nodes that the fleet knows, as others reach them.
fn known(fleet: &Fleet) -> BTreeMap<NodeId, Known> {
    let known = fleet.peers().map(|peer| {
        let known = Known {
            address: peer.address.clone(),
            key: peer.key,
        };
        (peer.id, known)
    });
    known.collect()
}

/// The address of this machine on the way to `near`; nothing is sent.
async fn own_address(near: &str, like: IpAddr) -> Option<IpAddr> {
    let socket = tokio::net::UdpSocket::bind(SocketAddr::new(like, 0))
        .await
        .ok()?;
    socket.connect(near).await.ok()?;
    Some(socket.local_addr().ok()?.ip())
}
