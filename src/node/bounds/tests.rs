//! Each collection stays small as fleet time passes, and an idle fleet is left alone.

use std::time::Duration;

use ampora_raft::fleet::Fleet;
use ampora_raft::fleet::limits::{DISPATCH_KEPT_MS, KEY_KEPT_MS, VERSIONS_KEPT};
use ampora_raft::ids::{ConfigHash, Epoch, InstanceUid, NodeId};
use ampora_raft::outcome::{OpOutcome, Outcome};
use ampora_raft::proposal::{
    CreateDispatch, CreateVersion, Entry, Idempotency, NodeBatch, Proposal, RegisterNode,
    SessionOp, SetLabels, StageBody,
};
use ampora_raft::records::{Action, ReleaseReason, Target, Transport};

use super::duty::{Duty, Rules, Step};
use super::propose;
use crate::agents::testing::{Nodes, Speaker, TTL, run, until};
use crate::history::postgres::exported::Exported;
use crate::history::said::{Ended, Said};
use crate::node::{leases, origin};
use crate::tasks::Tasks;

const NODE: NodeId = NodeId(1);
const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;

/// A fleet with its duty, in a time that tests let pass.
struct World {
    fleet: Fleet,
    index: u64,
    now_ms: u64,
    batches: u64,
    duty: Duty,
    /// Entries that the duty made.
    entries: usize,
    /// Deliveries that left before Postgres had them.
    overdue: u64,
}

impl World {
    fn new(forget_after: Option<u64>) -> World {
        let rules = Rules::new(
            forget_after.map(Duration::from_secs),
            Duration::from_secs(10),
        );
        let mut world = World {
            fleet: Fleet::default(),
            index: 0,
            now_ms: 1_000,
            batches: 0,
            duty: Duty::new(rules, Exported::default()),
            entries: 0,
            overdue: 0,
        };
        world.register();
        world
    }

    fn register(&mut self) {
        self.batches = 0;
        let text = || "n".into();
        self.apply(Proposal::RegisterNode(RegisterNode {
            node: NODE,
            name: text(),
            version: text(),
            opamp_address: text(),
            admin_address: text(),
        }));
    }

    fn apply(&mut self, proposal: Proposal) -> Outcome {
        self.keyed(None, proposal)
    }

    fn keyed(&mut self, key: Option<u64>, proposal: Proposal) -> Outcome {
        self.index += 1;
        let mut origin = origin::of_node(NODE);
        origin.idempotency = key.map(|key| Idempotency {
            key: key.to_string().into(),
            digest: [0; 32],
        });
        let entry = Entry {
            time_ms: self.now_ms,
            wall_ms: self.now_ms,
            origin,
            proposal,
        };
        let outcome = self.fleet.apply(self.index, &entry).outcome;
        assert!(!matches!(outcome, Outcome::Rejected(_)), "{outcome:?}");
        outcome
    }

    fn batch(&mut self, op: SessionOp) -> OpOutcome {
        self.batches += 1;
        let epoch = self.fleet.node(NODE).unwrap().epoch;
        let outcome = self.apply(Proposal::NodeBatch(NodeBatch {
            node: NODE,
            epoch: Epoch(epoch.0),
            number: self.batches,
            agents_max: 1_000_000,
            ops: vec![op],
        }));
        let Outcome::Batch(mut outcomes) = outcome else {
            panic!("{outcome:?}");
        };
        outcomes.remove(0)
    }

    fn come(&mut self, n: u128) {
        let granted = self.batch(SessionOp::Claim {
            uid: uid(n),
            expect: None,
            transport: Transport::WebSocket,
        });
        assert!(matches!(granted, OpOutcome::Granted { .. }), "{granted:?}");
    }

    fn go(&mut self, n: u128) {
        let session = self.fleet.agent(uid(n)).unwrap().session.unwrap();
        let released = self.batch(SessionOp::Release {
            uid: uid(n),
            fence: session.fence,
            reason: ReleaseReason::Lost,
            last_sequence: None,
        });
        assert_eq!(released, OpOutcome::Done);
    }

    /// An order that an agent may get, whose time is over.
    fn order(&mut self, n: u64) {
        let order = Proposal::CreateDispatch(CreateDispatch {
            action: Action::Restart,
            target: Target::Agent(uid(1)),
            requires: 0,
            expires_in_ms: 1_000,
        });
        self.keyed(Some(n), order);
        self.now_ms += 10 * MINUTE_MS;
        self.apply(Proposal::ExpireDeliveries { limit: 256 });
    }

    fn stage(&mut self, n: u32) -> ConfigHash {
        let mut hash = [0; 32];
        hash[..4].copy_from_slice(&n.to_be_bytes());
        self.apply(Proposal::StageBody(StageBody {
            hash: ConfigHash(hash),
            part: 0,
            parts: 1,
            bytes: vec![1].into(),
        }));
        ConfigHash(hash)
    }

    /// One pass, as the node does it.
    fn pass(&mut self) {
        self.duty.begin();
        for _ in 0..10_000 {
            match self.duty.next(&self.fleet, self.index, self.now_ms) {
                Step::Done => return,
                Step::Looked => {}
                Step::Propose(given) => {
                    self.entries += 1;
                    let before = self.fleet.clone();
                    let outcome = self.apply(Proposal::Retention(given.clone()));
                    let Outcome::Removed { more, .. } = outcome else {
                        panic!("{outcome:?}");
                    };
                    self.overdue += self.duty.overdue(&before, &self.fleet, &given);
                    self.duty.answered(given, more);
                }
            }
        }
        panic!("a pass does not end");
    }

    /// Lets time pass with a pass at each step.
    fn wait(&mut self, ms: u64, step_ms: u64) {
        for _ in 0..ms / step_ms {
            self.now_ms += step_ms;
            self.pass();
        }
    }
}

fn uid(n: u128) -> InstanceUid {
    InstanceUid::from_u128(n)
}

#[test]
fn an_agent_that_comes_with_a_new_uid_each_time_leaves_one() {
    let mut world = World::new(None);
    for n in 1..=10_000 {
        world.come(n);
        if n < 10_000 {
            world.go(n);
        }
        world.now_ms += 1_000;
    }
    assert_eq!(world.fleet.agents_len(), 10_000);
    world.wait(DAY_MS, HOUR_MS);
    assert_eq!(world.fleet.agents_len(), 1);
    assert!(
        world.fleet.agent(uid(10_000)).is_some(),
        "the one that is there"
    );
    assert!(world.entries < 100, "{} entries", world.entries);
}

#[test]
fn an_agent_with_a_label_stays_a_week_and_one_whose_node_died_counts_from_its_return() {
    let mut world = World::new(None);
    for n in 1..=3 {
        world.come(n);
    }
    let label = ("team".into(), "core".into());
    world.apply(Proposal::SetLabels(SetLabels {
        agent: uid(1),
        labels: vec![label],
    }));
    world.go(1);
    // the duty has been at it for long when the node dies
    world.wait(HOUR_MS, MINUTE_MS);
    world.register();
    world.come(3);
    world.wait(40_000, 1_000);
    assert_eq!(world.entries, 0, "an agent may return to its node");
    world.wait(1_000, 1_000);
    assert_eq!(world.entries, 1, "it did not");
    world.wait(DAY_MS - MINUTE_MS, MINUTE_MS);
    assert_eq!(world.fleet.agents_len(), 3);
    world.wait(2 * MINUTE_MS, MINUTE_MS);
    assert_eq!(world.fleet.agents_len(), 2);
    world.wait(6 * DAY_MS, HOUR_MS);
    let left: Vec<_> = world.fleet.agents(None).map(|agent| agent.uid).collect();
    assert_eq!(left, [uid(3)]);
}

#[test]
fn zero_is_never_and_a_number_is_for_all() {
    let mut world = World::new(Some(0));
    world.come(1);
    world.go(1);
    world.wait(365 * DAY_MS, DAY_MS);
    assert_eq!((world.fleet.agents_len(), world.entries), (1, 0));
    let rules =
        |seconds: u64| Rules::new(Some(Duration::from_secs(seconds)), Duration::from_secs(10));
    assert_eq!(rules(2).period(), Duration::from_secs(1));
    assert_eq!(rules(40).period(), Duration::from_secs(10));
    assert_eq!(rules(0).period(), Duration::from_secs(60));
    for (seconds, kept_ms) in [(60, MINUTE_MS), (31_536_000, DAY_MS)] {
        let mut world = World::new(Some(seconds));
        world.come(1);
        world.go(1);
        world.wait(kept_ms - 1_000, kept_ms - 1_000);
        assert_eq!(world.fleet.agents_len(), 1);
        world.wait(1_000, 1_000);
        assert_eq!(world.fleet.agents_len(), 0, "{seconds}");
    }
}

#[test]
fn versions_stay_few() {
    let mut world = World::new(None);
    for n in 0..200 {
        let hash = world.stage(n);
        for name in ["a", "b"].into_iter().take(if n < 70 { 2 } else { 1 }) {
            world.apply(Proposal::CreateVersion(CreateVersion {
                configuration: name.into(),
                hash,
                files: Vec::new(),
                comment: "".into(),
            }));
        }
        world.wait(MINUTE_MS, MINUTE_MS);
        for configuration in world.fleet.configurations(None) {
            assert!(configuration.versions.len() <= VERSIONS_KEPT);
        }
    }
    let bodies = world.fleet.row_keys().filter(|key| key.to_bytes()[0] == 4);
    assert_eq!(
        bodies.count(),
        2 * VERSIONS_KEPT,
        "bodies of versions that are there"
    );
}

#[test]
fn finished_dispatches_and_keys_leave() {
    let mut world = World::new(None);
    world.come(1);
    for n in 0..3_000 {
        world.order(n);
        if n % 6 == 0 {
            world.pass();
        }
    }
    let per_day = usize::try_from(DAY_MS / (10 * MINUTE_MS)).unwrap();
    let dispatches = world.fleet.dispatches(None).count();
    assert!(
        (7 * per_day..=7 * per_day + 8).contains(&dispatches),
        "{dispatches}"
    );
    let count = |world: &World, kind| {
        world
            .fleet
            .row_keys()
            .filter(|key| key.to_bytes()[0] == kind)
            .count()
    };
    assert_eq!(count(&world, 8), dispatches, "with their deliveries");
    let keys = count(&world, 10);
    assert!((per_day..=per_day + 8).contains(&keys), "{keys}");
    world.wait(DISPATCH_KEPT_MS.max(KEY_KEPT_MS), HOUR_MS);
    assert_eq!(
        (count(&world, 7), count(&world, 8), count(&world, 10)),
        (0, 0, 0)
    );
}

#[test]
fn deliveries_wait_for_postgres_while_there_is_room_and_are_counted_beyond_it() {
    let mut world = World::new(None);
    world.duty = Duty::new(Rules::new(None, TTL), Exported::new(true));
    world.come(1);
    for n in 0..5_001 {
        world.order(n);
    }
    world.pass();
    assert_eq!(world.fleet.dispatches(None).count(), 5_000);
    assert_eq!(world.overdue, 1);
    for n in 5_001..5_011 {
        world.order(n);
        world.pass();
    }
    assert_eq!(world.fleet.dispatches(None).count(), 5_000);
    assert_eq!(world.overdue, 11);
    let oldest = world
        .fleet
        .dispatches(None)
        .last()
        .map(|dispatch| dispatch.id.0);
    let newest = world
        .fleet
        .dispatches(None)
        .next()
        .map(|dispatch| dispatch.id.0);
    assert_eq!((oldest, newest), (Some(12), Some(5_011)));
}

#[test]
fn uploads_that_no_version_used_leave_after_an_hour() {
    let mut world = World::new(None);
    for n in 0..600 {
        world.stage(n);
        world.wait(MINUTE_MS, MINUTE_MS);
        let first = n.saturating_sub(59);
        for young in first..=n {
            let mut hash = [0; 32];
            hash[..4].copy_from_slice(&young.to_be_bytes());
            assert!(
                world.fleet.body(&ConfigHash(hash)).is_some(),
                "{young} at {n}"
            );
        }
    }
    let staged = world
        .fleet
        .row_keys()
        .filter(|key| key.to_bytes()[0] == 4)
        .count();
    assert!(staged <= 122, "{staged}");
    world.wait(2 * HOUR_MS + 2 * MINUTE_MS, MINUTE_MS);
    assert_eq!(world.fleet.oldest_staged_index(), None);
}

#[test]
fn nothing_is_proposed_when_there_is_nothing_to_do() {
    let mut world = World::new(None);
    for n in 1..=10 {
        world.come(n);
    }
    let hash = world.stage(1);
    world.apply(Proposal::CreateVersion(CreateVersion {
        configuration: "a".into(),
        hash,
        files: Vec::new(),
        comment: "".into(),
    }));
    world.wait(30 * DAY_MS, HOUR_MS);
    assert_eq!(world.entries, 0);
}

#[test]
fn agents_whose_owner_died_are_noted_by_who_finds_them_gone() {
    run(async {
        let nodes = Nodes::start(2).await;
        let mut agent = Speaker::new(nodes.node(2), 1, 10);
        agent.arrive().await;
        nodes.let_die(2).await;
        let (room, tasks) = (nodes.node(1), Tasks::new());
        let rules = Rules::new(None, TTL);
        let duty = leases::hold(
            room.clone(),
            leases::RETENTION,
            TTL,
            tasks.stopping(),
            move |tenure| async move {
                let now_ms = tenure.room().consensus.fleet_time_ms();
                let mut duty = Duty::new(rules, Exported::default());
                tenure.room().history.take_all();
                let view = tenure.room().consensus.view();
                duty.begin();
                // owners that died are expected back for a while from when they are first found dead
                while duty.next(&view.fleet, 1, now_ms) != Step::Done {}
                let returned_ms = now_ms + DAY_MS;
                duty.begin();
                if let Step::Propose(given) = duty.next(&view.fleet, 1, returned_ms) {
                    propose(&tenure, given).await;
                }
                std::future::pending::<()>().await;
            },
        );
        tasks.spawn(duty);
        until(|| room.history.len() > 0).await;
        tasks.stop();
        let notes = room.history.take_all();
        assert_eq!(notes.len(), 1);
        assert_eq!(notes[0].agent, agent.uid);
        assert!(matches!(
            notes[0].said,
            Said::Disconnected(Ended::OwnerDied(NodeId(2)))
        ));
    });
}
