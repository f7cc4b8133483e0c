//! The history of this node: its spool on the disk, and the thread that writes it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use ampora_raft::ids::NodeId;
use ampora_raft::time::Clock;
use ampora_storage::disk::Disk;
use ampora_storage::history::event::{Document, Event, StreamId};
use ampora_storage::history::spool::{Keep, Limits, Spool};
use ampora_storage::kv::SledKv;

use crate::agents::room::Room;
use crate::config::Config;
use crate::entropy::Entropy;
use crate::history::past::Past;
use crate::history::postgres::External;
use crate::history::postgres::exporter::{self, Export};
use crate::history::postgres::watcher;
use crate::history::queue::Queue;
use crate::history::writer::{self, EventSink, Flushed, LetGo};
use crate::peer::Peers;
use crate::tasks::Tasks;

const DAY: Duration = Duration::from_secs(86_400);

/// Pages of the spool that stay in memory: its end, which is written and exported.
const CACHE_BYTES: u64 = 16 * 1024 * 1024;

/// What a byte of the spool takes on the disk, measured at three to nine: the store gives back late what was removed.
const DISK_BYTES: u64 = 4;

/// What was started.
#[derive(Debug)]
pub(super) struct History {
    /// Where sessions leave their notes.
    pub(super) queue: Queue,
    /// What they become.
    pub(super) spool: Arc<Spool>,
    /// Postgres, where there is one.
    pub(super) external: Option<External>,
    /// Why there can be no Postgres although it is asked for.
    pub(super) broken: Option<String>,
    /// How far the spool is durable; ends with its writer.
    pub(super) flushed: Flushed,
}

/// Opens the spool and begins a stream of this start.
///
/// # Errors
/// Fails when the spool cannot be opened, or there can be no more threads.
pub(super) fn start(config: &Config, node: NodeId, clock: Arc<dyn Clock>) -> io::Result<History> {
    let path = config.node.data_dir.join("history");
    let fatal = Arc::new(|error: &io::Error| super::fatal("the disk failed", error));
    let kv = Arc::new(SledKv::open_cached(&path, CACHE_BYTES, fatal)?);
    let stream = StreamId(u128::from_le_bytes(Entropy::system().bytes()));
    let spool = Arc::new(Spool::open(kv, node, stream, Limits::default())?);
    let kept = Kept {
        spool: spool.clone(),
        disk: Disk::new(&path, None),
        rules: Rules::of(config),
    };
    let (external, broken) = match External::of(&config.postgres) {
        Ok(external) => (external, None),
        Err(error) => {
            let reason = error.reason();
            tracing::error!(%reason, "history stays on this node");
            (None, Some(reason))
        }
    };
    let queue = Queue::new();
    let flushed = writer::start(queue.clone(), Arc::new(kept), clock)?;
    Ok(History {
        queue,
        spool,
        external,
        broken,
        flushed,
    })
}

impl History {
    /// What operators and other nodes ask.
    pub(super) fn past(&self, room: &Room, others: Peers) -> Past {
        Past {
            node: room.author.node,
            spool: self.spool.clone(),
            consensus: room.consensus.clone(),
            others,
            external: self.external.clone(),
            broken: self.broken.clone(),
        }
    }

    /// Starts the way to Postgres, where there is one.
    pub(super) fn export(&self, config: &Config, room: &Room, background: &Tasks) {
        let Some(external) = &self.external else {
            return;
        };
        let export = Export {
            external: external.clone(),
            spool: self.spool.clone(),
            flushed: self.flushed.clone(),
            clock: room.clock.clone(),
            consensus: room.consensus.clone(),
            kept_days: config.history.retention_days,
        };
        background.spawn(exporter::drive(export, background.stopping()));
        background.spawn(watcher::drive(external.clone(), background.stopping()));
    }
}

/// What the spool lets go, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rules {
    bytes_max: u64,
    keep: Keep,
    /// Milliseconds; none where another store keeps what was exported.
    age_ms: Option<u64>,
}

impl Rules {
    fn of(config: &Config) -> Self {
        let is_queue = config.postgres.url.is_some();
        let age = DAY.saturating_mul(config.history.retention_days);
        Self {
            bytes_max: config.history.spool_max_bytes / DISK_BYTES,
            keep: if is_queue {
                Keep::Collapse
            } else {
                Keep::Oldest
            },
            age_ms: (!is_queue).then(|| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
        }
    }
}

/// The spool as the writer sees it. At the watermark of the disk it takes nothing: the log comes first.
struct Kept {
    spool: Arc<Spool>,
    disk: Disk,
    rules: Rules,
}

impl EventSink for Kept {
    fn append(&self, events: &[Event], documents: &[Document]) -> io::Result<()> {
        if let Some(refusal) = self.disk.refusal() {
            return Err(io::Error::new(io::ErrorKind::StorageFull, refusal));
        }
        self.spool.append(events, documents)
    }

    fn flush(&self) -> io::Result<u64> {
        self.spool.flush()
    }

    fn is_full(&self) -> bool {
        self.spool.bytes() > self.rules.bytes_max
    }

    fn let_go(&self, wall_ms: u64) -> io::Result<LetGo> {
        if self.disk.refusal().is_some() {
            // letting go is writing too
            return Ok(LetGo::default());
        }
        if let Some(age_ms) = self.rules.age_ms
            && self.spool.expire(wall_ms.saturating_sub(age_ms))?.more
        {
            return Ok(LetGo {
                more: true,
                ..LetGo::default()
            });
        }
        let shrunk = self
            .spool
            .shrink_to(self.rules.bytes_max, self.rules.keep)?;
        Ok(LetGo {
            collapsed: shrunk.collapsed,
            dropped: shrunk.dropped,
            more: shrunk.more,
        })
    }

    fn bytes(&self) -> u64 {
        self.spool.bytes().saturating_mul(DISK_BYTES)
    }

    fn is_history(&self) -> bool {
        self.rules.keep == Keep::Oldest
    }
}

#[cfg(test)]
mod tests {
    use ampora_raft::ids::{Fence, InstanceUid};
    use ampora_storage::history::event::EventKind;
    use ampora_storage::kv::CrashKv;

    use super::*;

    fn event(at_ms: u64, agent: u128) -> Event {
        Event {
            at_ms,
            agent: InstanceUid::from_u128(agent),
            fence: Fence(1),
            kind: EventKind::Health,
            body: format!("{{\"text\":\"{}\"}}", "x".repeat(1_000)).into(),
            document: None,
        }
    }

    fn kept(rules: Rules, watermark: Option<u64>) -> (Kept, tempfile::TempDir) {
        let dir = tempfile::tempdir().expect("a directory");
        let kv = Arc::new(CrashKv::default());
        let spool = Spool::open(kv, NodeId(1), StreamId(7), Limits::default()).expect("opens");
        let kept = Kept {
            spool: Arc::new(spool),
            disk: Disk::new(dir.path(), watermark),
            rules,
        };
        (kept, dir)
    }

    fn let_all_go(kept: &Kept, wall_ms: u64) -> LetGo {
        let mut sum = LetGo::default();
        for _ in 0..100 {
            let gone = kept.let_go(wall_ms).expect("lets go");
            sum.collapsed += gone.collapsed;
            sum.dropped += gone.dropped;
            if !gone.more {
                return sum;
            }
        }
        panic!("it does not end");
    }

    #[test]
    fn what_is_too_old_or_too_much_goes_and_a_queue_keeps_the_latest() {
        let embedded = Rules {
            bytes_max: 64 * 1024,
            keep: Keep::Oldest,
            age_ms: Some(1_000),
        };
        let queue = Rules {
            keep: Keep::Collapse,
            age_ms: None,
            ..embedded
        };
        // 10 are too old; 200 of ten agents are too much
        let events: Vec<_> = (0..210)
            .map(|n| event(if n < 10 { 1 } else { 10_000 + n }, u128::from(n % 10) + 1))
            .collect();
        let (kept, _dir) = kept(embedded, Some(0));
        kept.append(&events, &[]).expect("appends");
        kept.flush().expect("flushes");
        let gone = let_all_go(&kept, 10_500);
        assert_eq!(gone.collapsed, 0);
        assert_eq!(gone.dropped + kept.spool.events(), 200);
        assert!(gone.dropped > 0 && kept.spool.bytes() <= embedded.bytes_max);

        let (kept, _dir) = self::kept(queue, Some(0));
        kept.append(&events, &[]).expect("appends");
        kept.flush().expect("flushes");
        let gone = let_all_go(&kept, 10_500);
        assert_eq!(gone.dropped, 0);
        assert_eq!(gone.collapsed + kept.spool.events(), 210);
        assert!(kept.spool.events() >= 10 && kept.spool.bytes() <= queue.bytes_max);
    }

    #[test]
    fn at_the_watermark_nothing_is_taken() {
        let rules = Rules {
            bytes_max: 1,
            keep: Keep::Oldest,
            age_ms: None,
        };
        let (kept, _dir) = kept(rules, Some(u64::MAX));
        let refused = kept.append(&[event(1, 1)], &[]).expect_err("no room");
        assert_eq!(refused.kind(), io::ErrorKind::StorageFull);
        assert_eq!(kept.spool.events(), 0);
    }
}
