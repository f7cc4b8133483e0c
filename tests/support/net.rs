//! The net between the nodes of a cluster on one machine: every connection of one node to another passes a relay,
//! which can hold back what goes from one to the other, as a network does that is cut, or the connections that one
//! makes, as a wall does. Nothing is refused and nothing is lost then: it comes when the cut is over, if somebody
//! still waits for it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::watch;

/// From one node to another.
type Way = (u64, u64);

/// What is held back.
#[derive(Default)]
struct Cuts {
    /// Bytes from one to another.
    ways: BTreeSet<Way>,
    /// Connections that one has made to another, both directions of them.
    connections: BTreeSet<Way>,
}

impl Cuts {
    fn hold(&self, way: Way, made: Way) -> bool {
        self.ways.contains(&way) || self.connections.contains(&made)
    }
}

/// Bytes on their way at a time, in each direction of each connection.
const PIECE: usize = 16 * 1024;

/// Looks for the process that made a connection.
const LOOKS_FOR_OWNER: usize = 20;

/// Relays before the doors of some nodes.
pub(crate) struct Net {
    doors: Arc<BTreeMap<u64, Door>>,
    cuts: watch::Sender<Cuts>,
    // last: it ends the relays
    _runtime: Runtime,
}

/// Where a node listens, and where others are told that it does.
#[derive(Clone, Copy, Debug)]
struct Door {
    real: SocketAddr,
    told: SocketAddr,
}

impl Net {
    /// Relays for these nodes, all ways open.
    pub(crate) fn between(nodes: &[u64]) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let mut listeners = Vec::new();
        let mut doors = BTreeMap::new();
        for node in nodes {
            let relay = TcpListener::bind("127.0.0.1:0").expect("an address");
            // free a moment ago, at an address that is this node's
            let held = TcpListener::bind(format!("127.0.0.{node}:0")).expect("an address");
            let door = Door {
                real: held.local_addr().expect("an address"),
                told: relay.local_addr().expect("an address"),
            };
            doors.insert(*node, door);
            listeners.push((*node, relay));
        }
        let doors = Arc::new(doors);
        let (cuts, _) = watch::channel(Cuts::default());
        for (node, listener) in listeners {
            runtime.spawn(relay(node, listener, doors.clone(), cuts.subscribe()));
        }
        Self {
            doors,
            cuts,
            _runtime: runtime,
        }
    }

    /// What a node has to be told.
    pub(crate) fn settings(&self, node: u64) -> [String; 2] {
        let door = self.doors[&node];
        [
            format!("peer.listen={}", door.real),
            format!("peer.advertise={}", door.told),
        ]
    }

    /// Holds back everything from and to a node.
    pub(crate) fn isolate(&self, node: u64) {
        self.cuts.send_modify(|cuts| {
            for other in self.doors.keys().filter(|other| **other != node) {
                cuts.ways.extend([(node, *other), (*other, node)]);
            }
        });
    }

    /// Holds back the connections that a node makes; others still reach it.
    pub(crate) fn wall_in(&self, node: u64) {
        self.cuts.send_modify(|cuts| {
            let others = self.doors.keys().filter(|other| **other != node);
            cuts.connections.extend(others.map(|other| (node, *other)));
        });
    }

    /// Opens all ways.
    pub(crate) fn heal(&self) {
        self.cuts.send_replace(Cuts::default());
    }
}

async fn relay(
    node: u64,
    listener: TcpListener,
    doors: Arc<BTreeMap<u64, Door>>,
    cuts: watch::Receiver<Cuts>,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let (near, dialer) = listener.accept().await?;
        let (doors, cuts) = (doors.clone(), cuts.clone());
        Handle::current().spawn(async move {
            let asking = doors.clone();
            let found = tokio::task::spawn_blocking(move || found(dialer, &asking));
            // who is no node is never cut off
            let from = found.await.ok().flatten().unwrap_or(0);
            let Ok(far) = TcpStream::connect(doors[&node].real).await else {
                return;
            };
            let (near_read, near_write) = near.into_split();
            let (far_read, far_write) = far.into_split();
            let made = (from, node);
            let back = pass((node, from), made, cuts.clone(), far_read, near_write);
            Handle::current().spawn(back);
            pass(made, made, cuts, near_read, far_write).await;
        });
    }
}

/// Passes bytes on while the way is open, and the end of them too.
async fn pass(
    way: Way,
    made: Way,
    mut cuts: watch::Receiver<Cuts>,
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
) {
    let mut piece = vec![0; PIECE];
    loop {
        let read = from.read(&mut piece).await.unwrap_or(0);
        if cuts.wait_for(|cuts| !cuts.hold(way, made)).await.is_err() {
            return;
        }
        if read == 0 || to.write_all(&piece[..read]).await.is_err() {
            drop(to.shutdown().await);
            return;
        }
    }
}

/// [`owner`], asked again: what the system says of sockets that come and go at the same time may lack one.
fn found(dialer: SocketAddr, doors: &BTreeMap<u64, Door>) -> Option<u64> {
    for _ in 0..LOOKS_FOR_OWNER {
        if let Some(node) = owner(dialer, doors) {
            return Some(node);
        }
        thread::park_timeout(Duration::from_millis(20));
    }
    None
}

/// The node whose process has the socket that dials from this address.
fn owner(dialer: SocketAddr, doors: &BTreeMap<u64, Door>) -> Option<u64> {
    let inode = inode(dialer)?;
    let socket = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc").ok()?.flatten();
    for process in processes.map(|entry| entry.path()) {
        let Ok(words) = fs::read_to_string(process.join("cmdline")) else {
            continue;
        };
        let is = |door: &Door| words.contains(&format!("peer.listen={}\0", door.real));
        let Some((node, _)) = doors.iter().find(|(_, door)| is(door)) else {
            continue;
        };
        let files = fs::read_dir(process.join("fd")).into_iter().flatten();
        let mut files = files.flatten().map(|file| fs::read_link(file.path()));
        if files.any(|file| file.is_ok_and(|file| file.to_string_lossy() == socket)) {
            return Some(*node);
        }
    }
    None
}

/// The number by which the system knows a socket of this machine.
fn inode(address: SocketAddr) -> Option<String> {
    let SocketAddr::V4(address) = address else {
        return None;
    };
    let [a, b, c, d] = address.ip().octets();
    let wanted = format!("{d:02X}{c:02X}{b:02X}{a:02X}:{:04X}", address.port());
    let table = fs::read_to_string("/proc/net/tcp").ok()?;
    let mut lines = table.lines().map(|line| line.split_whitespace());
    let mut line = lines.find(|line| line.clone().nth(1) == Some(&wanted))?;
    line.nth(9).map(str::to_owned)
}
