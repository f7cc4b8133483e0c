//! A cluster of real processes: each has a directory and a loopback address of its own, and is asked as people
//! and scripts do. A suite takes it in beside `support`, and `net` with it.

mod changes;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::net::Net;
use crate::support::{self, Node, eventually};

/// What should be there in a moment is there by then on the busiest machine.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// What one call may take: a proposal waits ten seconds for its outcome.
const CALL_WITHIN: Duration = Duration::from_secs(25);

/// The node of each id; ids follow the order of joining.
pub(crate) struct Cluster {
    // before the directory: what they wrote is shown when a test fails
    nodes: BTreeMap<u64, Node>,
    home: TempDir,
    /// What each was started with beyond its addresses: the same flags for ever.
    flags: BTreeMap<u64, Vec<String>>,
    /// Settings of every node.
    settings: Vec<String>,
    /// What lies between the nodes, when it can be cut.
    net: Option<Net>,
    runtime: tokio::runtime::Runtime,
    client: reqwest::Client,
}

/// What was seen last; a test that fails shows it.
struct Last(Value);

impl Drop for Last {
    fn drop(&mut self) {
        if std::thread::panicking() {
            drop(writeln!(std::io::stderr(), "seen last: {:#}", self.0));
        }
    }
}

/// Where a node was.
pub(crate) struct Place {
    slot: u64,
    sets: [String; 2],
}

/// Role and liveness of each node.
pub(crate) fn roles(shown: &Value) -> BTreeMap<u64, (String, bool)> {
    let nodes = shown["nodes"].as_array().into_iter().flatten();
    let roles = nodes.filter_map(|node| {
        let role = node["role"].as_str()?.to_owned();
        Some((node["id"].as_u64()?, (role, node["live"].as_bool()?)))
    });
    roles.collect()
}

impl Cluster {
    /// One node, alone.
    pub(crate) fn of_one() -> Self {
        Self::one(&[], None)
    }

    /// Three that vote.
    pub(crate) fn of_three() -> Self {
        Self::of_one().three()
    }

    /// One node, with settings that every later one has too.
    pub(crate) fn one_with(settings: &[&str]) -> Self {
        Self::one(settings, None)
    }

    /// Three that vote, with settings.
    pub(crate) fn three_with(settings: &[&str]) -> Self {
        Self::one(settings, None).three()
    }

    /// Three that vote, and a net between them that can be cut.
    pub(crate) fn three_on_a_net(settings: &[&str]) -> Self {
        Self::one(settings, Some(Net::between(&[1, 2, 3]))).three()
    }

    fn one(settings: &[&str], net: Option<Net>) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let mut all = Self {
            home: tempfile::tempdir().expect("a directory"),
            nodes: BTreeMap::new(),
            flags: BTreeMap::new(),
            settings: settings.iter().map(|set| (*set).to_owned()).collect(),
            net,
            runtime: { runtime }.enable_all().build().expect("a runtime"),
            client: reqwest::Client::builder()
                .no_proxy()
                .timeout(CALL_WITHIN)
                // nodes close what is idle for longer
                .pool_idle_timeout(Duration::from_secs(5))
                .build()
                .expect("a client"),
        };
        all.start(1, &[]);
        all
    }

    fn three(mut self) -> Self {
        self.join_two();
        self
    }

    /// Two more join, and vote with the first.
    pub(crate) fn join_two(&mut self) {
        let token = self.token(1, &json!({"uses": 2}));
        let join = format!("cluster.join={token}");
        self.start(2, &["--set", &join]);
        self.start(3, &["--set", &join]);
        // while they change, the voter of before is needed as well, and nobody may kill it
        eventually("the voters have changed", SOON, || {
            self.node(1)
                .log()
                .contains("Vote({NodeId(1), NodeId(2), NodeId(3)})")
                .then_some(())
        });
        self.three_voters(1);
    }

    pub(crate) fn home_of(&self, slot: u64) -> PathBuf {
        let home = self.home.path().join(slot.to_string());
        std::fs::create_dir_all(&home).expect("a directory");
        home
    }

    fn args(&self, slot: u64, flags: &[String]) -> Vec<String> {
        let doors = ["opamp", "admin", "peer"];
        let doors = doors.map(|door| format!("{door}.listen=127.0.0.{slot}:0"));
        let net = self.net.as_ref().map(|net| net.settings(slot));
        let sets = doors.into_iter().chain(net.into_iter().flatten());
        let sets = sets.chain(self.settings.iter().cloned());
        let sets = sets.flat_map(|set| ["--set".to_owned(), set]);
        sets.chain(flags.iter().cloned()).collect()
    }

    /// What lies between the nodes.
    pub(crate) fn net(&self) -> &Net {
        self.net.as_ref().expect("a cluster on a net")
    }

    /// All that a node is started with that had these flags.
    pub(crate) fn args_of(&self, slot: u64) -> Vec<String> {
        self.args(slot, &self.flags[&slot])
    }

    /// All that a node is started with, from here on.
    pub(crate) fn args_with(&mut self, slot: u64, flags: &[&str]) -> Vec<String> {
        let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        self.flags.insert(slot, flags);
        self.args_of(slot)
    }

    /// Takes in a node that was started elsewhere.
    pub(crate) fn take(&mut self, slot: u64, node: Node) {
        self.nodes.insert(slot, node);
    }

    /// What a page of a door answers, whoever asks; 0 when nobody answers.
    pub(crate) fn fetch(&self, url: &str) -> (u16, Value) {
        self.runtime.block_on(async {
            let Ok(answer) = self.client.get(url).send().await else {
                return (0, Value::Null);
            };
            let status = answer.status().as_u16();
            (status, answer.json().await.unwrap_or_default())
        })
    }

    /// Starts a node and waits until it serves.
    pub(crate) fn start(&mut self, slot: u64, flags: &[&str]) {
        self.args_with(slot, flags);
        self.start_again(slot);
    }

    /// Starts a node with the flags that it had.
    pub(crate) fn start_again(&mut self, slot: u64) {
        let args = self.args_of(slot);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let node = support::start_in(&self.home_of(slot), &args);
        self.nodes.insert(slot, node);
    }

    /// Kills a node; what is answered says how to start it again where it was.
    pub(crate) fn kill_in_place(&mut self, slot: u64) -> Place {
        let node = self.node(slot);
        let admin = node.admin_url.trim_start_matches("http://");
        let place = Place {
            slot,
            sets: [
                format!("opamp.listen={}", node.opamp_addr),
                format!("admin.listen={admin}"),
            ],
        };
        self.kill(slot);
        place
    }

    /// Starts a node again at the addresses that it had.
    pub(crate) fn start_in_place(&mut self, place: &Place) {
        let flags = self.flags.get_mut(&place.slot).expect("it ran");
        for set in &place.sets {
            flags.extend(["--set".to_owned(), set.clone()]);
        }
        self.start_again(place.slot);
    }

    /// Starts a node that does not come up, and answers how it ended and what it said.
    pub(crate) fn refused(&mut self, slot: u64, flags: &[&str]) -> (ExitStatus, String) {
        let home = self.home_of(slot);
        let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let output = support::ampora(&home)
            .args(["serve", "--data-dir", "data"])
            .args(self.args(slot, &flags))
            .output()
            .expect("the binary runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status, said)
    }

    pub(crate) fn node(&self, slot: u64) -> &Node {
        &self.nodes[&slot]
    }

    pub(crate) fn kill(&mut self, slot: u64) {
        self.nodes.remove(&slot).expect("it runs").kill();
    }

    pub(crate) fn stop(&mut self, slot: u64) {
        let ended = self.nodes.remove(&slot).expect("it runs").stop();
        assert!(ended.success(), "{ended}");
    }

    /// Waits until a node has ended by itself.
    pub(crate) fn ended(&mut self, slot: u64) -> (ExitStatus, String) {
        let mut node = self.nodes.remove(&slot).expect("it runs");
        let status = node.ended();
        (status, node.log())
    }

    /// Where it is asked at this moment: one that started again by itself has other ports.
    fn url(&self, slot: u64) -> String {
        let file = self.node(slot).data_dir().join("node.json");
        let running = std::fs::read(file).unwrap_or_default();
        let running: Value = serde_json::from_slice(&running).unwrap_or_default();
        let address = running["admin_address"].as_str();
        address.map_or_else(
            || self.node(slot).admin_url.clone(),
            |address| format!("http://{address}"),
        )
    }

    /// The status, 0 when there was no answer, and the body.
    pub(crate) fn try_ask(
        &self,
        slot: u64,
        method: Method,
        path: &str,
        form: Option<&Value>,
    ) -> (u16, Value) {
        let (status, _, answer) = self.try_ask_whole(slot, method, path, form);
        (status, answer)
    }

    /// The same with the headers of the answer.
    pub(crate) fn try_ask_whole(
        &self,
        slot: u64,
        method: Method,
        path: &str,
        form: Option<&Value>,
    ) -> (u16, HeaderMap, Value) {
        self.send(self.request(slot, method, path, form))
    }

    fn request(
        &self,
        slot: u64,
        method: Method,
        path: &str,
        form: Option<&Value>,
    ) -> RequestBuilder {
        let url = format!("{}/api/v1{path}", self.url(slot));
        let request = self.client.request(method, url);
        let request = request.bearer_auth(&self.node(slot).token);
        match form {
            Some(form) => request.json(form),
            None => request,
        }
    }

    fn send(&self, request: RequestBuilder) -> (u16, HeaderMap, Value) {
        self.runtime.block_on(async {
            let Ok(answer) = request.send().await else {
                return (0, HeaderMap::new(), Value::Null);
            };
            let status = answer.status().as_u16();
            let headers = answer.headers().clone();
            (status, headers, answer.json().await.unwrap_or_default())
        })
    }

    /// The value of a metric of a node, labels included in the name; 0 while it is not there.
    pub(crate) fn metric(&self, slot: u64, name: &str) -> f64 {
        let url = format!("{}/metrics", self.url(slot));
        let text = self.runtime.block_on(async {
            let answer = self.client.get(url).send().await.expect("an answer");
            answer.text().await.expect("text")
        });
        let line = text.lines().find_map(|line| {
            let rest = line.strip_prefix(name)?;
            rest.strip_prefix(' ')
        });
        line.map_or(0.0, |value| value.parse().expect("a number"))
    }

    pub(crate) fn get(&self, slot: u64, path: &str) -> Value {
        let (status, answer) = self.try_ask(slot, Method::GET, path, None);
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }

    pub(crate) fn post(&self, slot: u64, path: &str, form: &Value) -> (u16, Value) {
        self.try_ask(slot, Method::POST, path, Some(form))
    }

    /// Asks with a key that makes it safe to repeat.
    pub(crate) fn keyed(
        &self,
        slot: u64,
        method: Method,
        path: &str,
        form: Option<&Value>,
        key: &str,
    ) -> (u16, Value) {
        let request = self.request(slot, method, path, form);
        let (status, _, answer) = self.send(request.header("idempotency-key", key));
        (status, answer)
    }

    /// Waits until an answer is as it should be.
    pub(crate) fn until(
        &self,
        slot: u64,
        path: &str,
        what: &str,
        look: impl FnMut(&Value) -> Option<()>,
    ) {
        self.until_within(SOON, slot, path, what, look);
    }

    pub(crate) fn until_within(
        &self,
        within: Duration,
        slot: u64,
        path: &str,
        what: &str,
        mut look: impl FnMut(&Value) -> Option<()>,
    ) {
        let mut last = Last(Value::Null);
        eventually(what, within, || {
            let (status, answer) = self.try_ask(slot, Method::GET, path, None);
            let found = (status == 200).then(|| look(&answer)).flatten();
            last.0 = answer;
            found
        });
    }

    /// Waits until three nodes vote and live.
    pub(crate) fn three_voters(&self, slot: u64) {
        self.until(slot, "/cluster", "three vote and live", |shown| {
            let roles = roles(shown);
            let votes = roles
                .values()
                .filter(|(role, live)| role == "voter" && *live);
            (votes.count() == 3 && shown["quorum"] == true).then_some(())
        });
    }

    /// Who leads, once somebody does.
    pub(crate) fn leader(&self, slot: u64) -> u64 {
        let mut leader = None;
        self.until(slot, "/cluster", "somebody leads", |shown| {
            leader = shown["leader_id"].as_u64();
            leader.map(drop)
        });
        leader.expect("found")
    }

    /// A running node that is not this one.
    pub(crate) fn other(&self, than: u64) -> u64 {
        let mut slots = self.nodes.keys().copied();
        slots.find(|slot| *slot != than).expect("another node")
    }

    /// The text of a fresh join token.
    pub(crate) fn token(&self, slot: u64, form: &Value) -> String {
        let (status, made) = self.post(slot, "/cluster/join-tokens", form);
        assert_eq!(status, 201, "{made}");
        made["token"].as_str().expect("a text").to_owned()
    }

    fn command(&self, slot: u64, args: &[&str]) -> (bool, String, String) {
        let output = self
            .node(slot)
            .ampora()
            .args(args)
            .args(["--url", &self.url(slot), "--token", &self.node(slot).token])
            .output()
            .expect("the binary runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (
            output.status.success(),
            text(&output.stdout),
            text(&output.stderr),
        )
    }

    /// Runs a command that succeeds, and answers what it printed.
    pub(crate) fn run(&self, slot: u64, args: &[&str]) -> String {
        let (well, said, wrong) = self.command(slot, args);
        assert!(well, "{args:?}: {wrong}");
        said
    }

    /// Runs a command that fails, and answers what it complained of.
    pub(crate) fn fails(&self, slot: u64, args: &[&str]) -> String {
        let (well, said, wrong) = self.command(slot, args);
        assert!(!well, "{args:?}: {said}");
        wrong
    }
}
