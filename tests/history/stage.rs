//! Nodes that keep history, as the tests of this suite ask them.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::cluster::{Cluster, SOON};
use crate::postgres::PASSWORD;
use crate::support::eventually;

/// What an operator does takes no longer than this, whatever becomes of Postgres: on a machine that does much else. Who
/// waited for Postgres would wait for 12 or 15 seconds.
const ORDINARY: Duration = Duration::from_secs(8);

/// How often something may be done until it was done in that time: a busy machine stands still at times.
const TRIES: usize = 3;

/// The setting that leads a node to a database.
pub(crate) fn setting(url: &str) -> String {
    format!("postgres.url={url}")
}

/// What Postgres answers in its trouble to those who read.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answers {
    All,
    Nothing,
    /// Whoever comes at the right moment is answered.
    Perhaps,
}

impl Cluster {
    /// What readiness says of history: its word, and the reason. A node that has started is always ready.
    pub(crate) fn standing(&self, slot: u64) -> (String, String) {
        let url = format!("{}/health/ready", self.node(slot).admin_url);
        let (status, report) = eventually("the start is over", SOON, || {
            let (status, report) = self.fetch(&url);
            (report["status"] != "starting").then_some((status, report))
        });
        assert_eq!(status, 200, "{report}");
        let part = &report["parts"]["history"];
        let text = |field: &str| part[field].as_str().unwrap_or_default().to_owned();
        (text("status"), text("reason"))
    }

    /// Waits until history is in trouble for a reason that has one of these texts.
    pub(crate) fn degraded(&self, slot: u64, reasons: &[&str]) -> String {
        let mut last = Shown(Default::default());
        let reason = eventually("history is degraded for that reason", 2 * SOON, || {
            last.0 = self.standing(slot);
            let (word, reason) = &last.0;
            let is_it = word == "degraded" && reasons.iter().any(|text| reason.contains(text));
            is_it.then(|| reason.clone())
        });
        let status = self.run(slot, &["status"]);
        assert!(status.contains("degraded"), "{status}");
        for text in [&reason, &status] {
            assert!(!text.contains(PASSWORD), "a password is shown: {text}");
        }
        reason
    }

    /// Waits until history goes where it should.
    pub(crate) fn goes(&self, slot: u64) {
        let mut last = Shown(Default::default());
        eventually("history goes", 2 * SOON, || {
            last.0 = self.standing(slot);
            (last.0.0 == "ok").then_some(())
        });
    }

    /// That nothing that a node has ever said has a password in it.
    pub(crate) fn tells_no_password(&self, slot: u64) {
        let log = self.node(slot).log();
        let line = log.lines().find(|line| line.contains(PASSWORD));
        assert_eq!(line, None);
    }

    /// Uids of so many agents, once all of them are served.
    pub(crate) fn agents(&self, slot: u64, count: usize) -> Vec<String> {
        eventually("all are served", SOON, || {
            let uids = self.named_agents(slot);
            (uids.len() == count).then_some(uids)
        })
    }

    /// Uids of all agents that are connected and have said who they are.
    fn named_agents(&self, slot: u64) -> Vec<String> {
        let mut uids = Vec::new();
        let mut path = "/agents?state=connected&limit=1000".to_owned();
        loop {
            let page = self.get(slot, &path);
            let items = page["items"].as_array().expect("items").iter();
            let named = items.filter(|agent| !agent["name"].is_null());
            uids.extend(
                named.map(|agent| agent["instance_uid"].as_str().expect("a uid").to_owned()),
            );
            let Some(next) = page["continue"].as_str() else {
                return uids;
            };
            path = format!("/agents?state=connected&limit=1000&continue={next}");
        }
    }

    /// A page of an agent's history.
    pub(crate) fn page(&self, slot: u64, uid: &str, query: &str) -> Value {
        self.get(slot, &format!("/agents/{uid}/history?{query}"))
    }

    /// An operator makes a group and has an agent restarted, in ordinary time; or the agent gets a configuration in
    /// that time afterwards, as it is to be restarted once.
    pub(crate) fn goes_on(&self, slot: u64, uid: &str) {
        let mut took = vec![timed(|| self.restarts(slot, uid))];
        while took.last() >= Some(&ORDINARY) {
            assert!(took.len() < TRIES, "a change took {took:?} each");
            let number = took.len();
            took.push(timed(|| self.configures(slot, uid, number)));
        }
    }

    fn restarts(&self, slot: u64, uid: &str) {
        self.put(slot, &format!("meanwhile-{}", &uid[28..]));
        let form = json!({"action": {"restart": {}}, "target": {"agent": uid}});
        let (status, accepted) = self.change(slot, Method::POST, "/dispatches", &form);
        assert_eq!(status, 202, "{accepted}");
        let path = format!("/dispatches/{}", accepted["id"].as_str().expect("an id"));
        self.until(slot, &path, "the restart", |shown| {
            (shown["counts"]["succeeded"] == 1).then_some(())
        });
    }

    fn configures(&self, slot: u64, uid: &str, number: usize) {
        let (name, of_it) = (&uid[28..], format!("service.instance.id={uid}"));
        let text = format!("again: {number}\n");
        let hash = self.assign_to(slot, &format!("again-{name}"), &of_it, &text);
        let path = format!("/agents/{uid}");
        self.until(slot, &path, "it runs what it should", |shown| {
            let config = &shown["config"];
            (config["reported_hash"] == hash && config["status"] == "applied").then_some(())
        });
    }

    /// What an agent's history says of what it did last, whatever becomes of Postgres: it is told, and called whole only
    /// where Postgres answers.
    pub(crate) fn tells_the_last(&self, slot: u64, uid: &str, answers: Answers) {
        let path = format!("/agents/{uid}/history?limit=5");
        // what it said before may be where nobody answers; it says something every second
        eventually("it is told", SOON, || {
            let (status, page) = self.try_ask(slot, Method::GET, &path, None);
            assert_eq!(status, 200, "{page}");
            match answers {
                Answers::All => assert_eq!(page["complete"], true, "{page}"),
                Answers::Nothing => assert_eq!(page["complete"], false, "{page}"),
                Answers::Perhaps => {}
            }
            page["items"][0]["at"].as_str().map(drop)
        });
    }
}

fn timed(work: impl FnOnce()) -> Duration {
    let began = Instant::now();
    work();
    began.elapsed()
}

/// What was seen last; a test that fails shows it.
pub(crate) struct Shown<T: Debug>(pub(crate) T);

impl<T: Debug> Drop for Shown<T> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let text = format!("seen last: {:?}\n", self.0);
            drop(std::io::Write::write_all(
                &mut std::io::stderr(),
                text.as_bytes(),
            ));
        }
    }
}
