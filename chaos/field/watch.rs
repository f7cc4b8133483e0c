//! Looks all the time at what each node says of the agents: nobody who is connected may be shown as disconnected.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::JoinSet;

use crate::operator::{Operator, metric};
use crate::report::note;

/// Between two looks at a node: each makes it count all its agents.
const PERIOD: Duration = Duration::from_millis(500);

/// The most that a node has shown.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) looks: usize,
    pub(crate) stale: u64,
    pub(crate) disconnected: u64,
}

/// Looks until it is dropped.
pub(crate) struct Watch {
    seen: Arc<Mutex<BTreeMap<u64, Seen>>>,
    // ends its tasks when it goes
    _tasks: JoinSet<()>,
}

impl Watch {
    /// Begins to look at these nodes.
    pub(crate) fn begin(operator: &Operator, slots: &[u64]) -> Self {
        let seen = Arc::new(Mutex::new(BTreeMap::new()));
        let mut tasks = JoinSet::new();
        for slot in slots {
            tasks.spawn(look(operator.clone(), *slot, seen.clone()));
        }
        Self {
            seen,
            _tasks: tasks,
        }
    }

    /// The most that any node has shown so far.
    pub(crate) fn most(&self) -> Seen {
        let seen = self.seen.lock();
        let most = |all: Seen, one: &Seen| Seen {
            looks: all.looks + one.looks,
            stale: all.stale.max(one.stale),
            disconnected: all.disconnected.max(one.disconnected),
        };
        seen.values().fold(Seen::default(), most)
    }
}

async fn look(operator: Operator, slot: u64, seen: Arc<Mutex<BTreeMap<u64, Seen>>>) {
    let mut tick = tokio::time::interval(PERIOD);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let text = operator.metrics(slot).await;
        let count = |state: &str| {
            let name = format!("ampora_agents{{state=\"{state}\"}}");
            metric(&text, &name).and_then(|count| format!("{count:.0}").parse::<u64>().ok())
        };
        if let (Some(stale), Some(disconnected)) = (count("stale"), count("disconnected")) {
            let mut seen = seen.lock();
            let of_node = seen.entry(slot).or_default();
            if disconnected > 0 && of_node.disconnected == 0 {
                note(&format!("node {slot} shows {disconnected} as disconnected"));
            }
            of_node.looks += 1;
            of_node.stale = of_node.stale.max(stale);
            of_node.disconnected = of_node.disconnected.max(disconnected);
        }
    }
}
