//! Nodes that join a cluster that is busy, after its log has let go of what came first: they get a snapshot, catch up,
//! and vote, and whoever works with the cluster meanwhile notices nothing.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use ampora::simulate::{Crowd, Plan, Profile, Progress, Summary};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::cluster::{Cluster, SOON};
use crate::support::eventually;

/// The log forgets what is older than this, in steps of 512.
const SETTINGS: [&str; 1] = ["cluster.log_max_entries=1000"];

/// Who writes, one call after the other each.
const WRITERS: u64 = 4;
/// Groups that each of them changes in turn.
const GROUPS: u64 = 8;
/// Enough that the log has let go of its beginning.
const WRITES: u64 = 2_000;

const AGENTS: usize = 200;

/// Calls of operators that come all the time.
#[derive(Default)]
struct Writes {
    over: AtomicBool,
    done: AtomicU64,
}

impl Writes {
    /// Changes groups until it is over; everything else than success is a fault, unless another leader was elected
    /// meanwhile: then the same change is made again.
    fn write(&self, url: &str, token: &str, writer: u64) {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_all().build().expect("a runtime");
        let client = reqwest::Client::builder().no_proxy().build();
        let client = client.expect("a client");
        let ask = |request: reqwest::RequestBuilder| {
            let request = request.bearer_auth(token);
            runtime.block_on(async {
                let answer = request.send().await.expect("an answer");
                (answer.status(), answer.text().await.expect("a body"))
            })
        };
        let term = || {
            let (status, text) = ask(client.get(format!("{url}/api/v1/cluster")));
            assert!(status.is_success(), "{status} {text}");
            let shown: Value = serde_json::from_str(&text).expect("JSON");
            shown["term"].as_u64().expect("a number")
        };
        let (mut number, mut led, mut refused) = (0, term(), None);
        while !self.over.load(Ordering::Relaxed) {
            let group = number % GROUPS;
            let form = json!({"selector": format!("load={number}")});
            let request = client.put(format!("{url}/api/v1/groups/load-{writer}-{group}"));
            let (status, text) = ask(request.json(&form));
            if matches!(status.as_u16(), 503 | 504) {
                refused = Some(text);
                continue;
            }
            assert!(status.is_success(), "write {number}: {status} {text}");
            if let Some(refused) = refused.take() {
                let leads = term();
                assert_ne!(leads, led, "write {number}, with a leader: {refused}");
                led = leads;
            }
            self.done.fetch_add(1, Ordering::Relaxed);
            number += 1;
        }
    }
}

/// Simulated agents at one node.
fn crowd(runtime: &Runtime, opamp: std::net::SocketAddr) -> Crowd {
    let plan = Plan {
        urls: vec![format!("ws://{opamp}/v1/opamp").parse().expect("a URL")],
        agents: AGENTS,
        per_socket: 10,
        profile: Profile::Chatty,
        connects_per_second: 200,
        heartbeat: Duration::from_secs(5),
        in_flight: 1,
        effective_bytes: 300,
        resume: false,
        labels: Vec::new(),
        seed: 1,
    };
    runtime.block_on(async {
        let mut crowd = Crowd::start(plan).await.expect("an address");
        let silent: Progress = Box::new(|_| {});
        crowd.run(None, &silent).await;
        crowd
    })
}

/// That nobody of the crowd was disturbed.
fn undisturbed(summary: &Summary) {
    let faults = [
        summary.connections_lost,
        summary.connects_failed,
        summary.connects_refused,
        summary.replies_refusing,
        summary.renamed,
    ];
    assert_eq!(faults, [0; 5], "{summary:?}");
}

/// Waits until the writers have done so much more.
fn more(writes: &Writes, count: u64) {
    let goal = writes.done.load(Ordering::Relaxed) + count;
    let what = "the writers go on";
    eventually(what, 4 * SOON, || {
        (writes.done.load(Ordering::Relaxed) >= goal || writes.over.load(Ordering::Relaxed))
            .then_some(())
    });
}

#[test]
fn nodes_join_by_a_snapshot_while_everybody_works() {
    let mut all = Cluster::one_with(&SETTINGS);
    let runtime = Runtime::new().expect("a runtime");
    let crowd = crowd(&runtime, all.node(1).opamp_addr);
    let writes = Writes::default();
    let (url, token) = (all.node(1).admin_url.clone(), all.node(1).token.clone());
    thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (writes, url, token) = (&writes, &url, &token);
                scope.spawn(move || writes.write(url, token, writer))
            })
            .collect();
        let over = Over(&writes);
        more(&writes, WRITES);
        all.join_two();
        more(&writes, WRITES / 10);
        drop(over);
        for writer in writers {
            writer.join().expect("every write was made");
        }
    });
    for slot in [2, 3] {
        eventually("it came by more than the log", SOON, || {
            let log = all.node(slot).log();
            log.contains("a snapshot was installed").then_some(())
        });
    }
    undisturbed(&crowd.summary());
    let last = all.get(1, "/cluster?consistent=true")["applied_index"].clone();
    let last = last.as_u64().expect("an index");
    let groups = all.get(1, "/groups?limit=1000")["items"].clone();
    for slot in [2, 3] {
        all.until(slot, "/cluster", "it has everything", |shown| {
            (shown["applied_index"].as_u64()? >= last).then_some(())
        });
        assert_eq!(all.get(slot, "/groups?limit=1000")["items"], groups);
        let agents = &all.get(slot, "/agents?limit=1000")["items"];
        assert_eq!(agents.as_array().map(Vec::len), Some(AGENTS));
    }
    undisturbed(&runtime.block_on(crowd.stop()));
}

/// Ends the writers, also when the test fails: nobody would wait for them otherwise.
struct Over<'a>(&'a Writes);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::Relaxed);
    }
}
