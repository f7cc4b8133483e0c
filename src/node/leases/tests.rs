//! Leases between nodes: one holder at a time, the next after the delay, and nothing from who has lost it.

use std::sync::atomic::{AtomicU64, Ordering};

use ampora_raft::ids::NodeId;
use ampora_raft::proposal::MarkDeliveries;
use parking_lot::Mutex;

use super::*;
use crate::agents::testing::{Nodes, TTL, run, until};
use crate::tasks::Tasks;

/// Longer than a lease lives without renewals.
const DELAY: Duration = Duration::from_secs(5);

/// Who held the lease, one after the other, and the last tenure.
#[derive(Default)]
struct Held {
    by: Mutex<Vec<(u64, Tenure)>>,
    ended: AtomicU64,
}

impl Held {
    fn nodes(&self) -> Vec<u64> {
        self.by.lock().iter().map(|(node, _)| *node).collect()
    }

    fn last(&self) -> Tenure {
        self.by.lock().last().expect("held").1.clone()
    }
}

fn hold_on(room: &Arc<Room>, held: &Arc<Held>, tasks: &Tasks) {
    let node = room.author.node.0;
    let held = held.clone();
    tasks.spawn(hold(
        room.clone(),
        "test",
        DELAY,
        tasks.stopping(),
        move |tenure| {
            held.by.lock().push((node, tenure));
            let held = held.clone();
            async move {
                let _ended = Ended(&held.ended);
                std::future::pending::<()>().await;
            }
        },
    ));
}

struct Ended<'a>(&'a AtomicU64);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// What every duty may propose.
fn nothing(node: u64, epoch: Epoch) -> Proposal {
    Proposal::MarkDeliveries(MarkDeliveries {
        node: NodeId(node),
        epoch,
        marks: Vec::new(),
    })
}

#[test]
fn the_next_holder_comes_after_the_delay_and_the_one_before_does_nothing_more() {
    run(async {
        let nodes = Nodes::start(2).await;
        let held = Arc::new(Held::default());
        let tasks = Tasks::new();
        hold_on(nodes.node(2), &held, &tasks);
        until(|| held.nodes() == [2]).await;
        hold_on(nodes.node(1), &held, &tasks);
        let before = held.last();
        let epoch = nodes.node(2).liveness.epoch();
        assert!(before.propose(nothing(2, epoch)).await.is_ok());
        nodes.let_die(2).await;
        assert!(!before.holds(), "its own clock has told it");
        let died_ms = nodes.consensus.fleet_time_ms();
        let delay_ms = u64::try_from(DELAY.as_millis()).expect("fits");
        while held.nodes() == [2] {
            // slower once it may come: whoever takes it over does so in real time
            let is_due = nodes.consensus.fleet_time_ms() - died_ms + 200 > delay_ms;
            nodes.pass(if is_due { 20 } else { 200 });
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let waited_ms = nodes.consensus.fleet_time_ms() - died_ms;
        assert!(
            (delay_ms..delay_ms + 5_000).contains(&waited_ms),
            "{waited_ms}"
        );
        assert_eq!(held.nodes(), [2, 1]);
        // whatever the clock of the one before says, it is not listened to any more
        let fence = before.fence.expect("a fence");
        let late = nothing(1, nodes.node(1).liveness.epoch()).under_lease("test".into(), fence);
        let refused = nodes.propose(late).await;
        assert_eq!(
            refused,
            Outcome::Rejected(Rejection::StaleLease("test".into()))
        );
        nodes.reconnect(2);
        until(|| held.ended.load(Ordering::Relaxed) == 1).await;
        let epoch = nodes.node(2).liveness.epoch();
        assert!(before.propose(nothing(2, epoch)).await.is_err());
        tasks.stop();
        assert!(tasks.finished(TTL).await);
    });
}

#[test]
fn a_node_that_begins_again_has_its_lease_back_at_once() {
    run(async {
        let nodes = Nodes::start(2).await;
        let held = Arc::new(Held::default());
        let tasks = Tasks::new();
        hold_on(nodes.node(2), &held, &tasks);
        until(|| held.nodes() == [2]).await;
        let before = held.last();
        nodes.let_die(2).await;
        nodes.reconnect(2);
        until(|| held.nodes() == [2, 2]).await;
        assert!(held.last().fence > before.fence);
        assert!(!before.holds() && held.last().holds());
        tasks.stop();
        assert!(tasks.finished(TTL).await);
    });
}

#[test]
fn whoever_drains_gives_the_lease_away() {
    run(async {
        let nodes = Nodes::start(2).await;
        let held = Arc::new(Held::default());
        let tasks = Tasks::new();
        hold_on(nodes.node(2), &held, &tasks);
        until(|| held.nodes() == [2]).await;
        hold_on(nodes.node(1), &held, &tasks);
        let drain = Proposal::DrainNode {
            node: NodeId(2),
            epoch: nodes.node(2).liveness.epoch(),
        };
        nodes.propose(drain).await;
        until(|| held.nodes() == [2, 1]).await;
        tasks.stop();
        assert!(tasks.finished(TTL).await);
    });
}
