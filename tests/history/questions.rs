//! What is asked of history, of all stores: where it is kept makes no difference to whoever asks.

use ampora_proto::wire::{AgentToServer, ComponentHealth};
use reqwest::Method;
use serde_json::{Value, json};

use crate::agent::Agent;
use crate::cluster::{Cluster, SOON};
use crate::postgres::{Server, Version};
use crate::stage::{Shown, setting};
use crate::support::eventually;
use crate::tables::Tables;

impl Agent {
    /// Says that it is not well.
    pub(crate) fn ails(&mut self, error: &str) {
        let message = self.message();
        self.ask(&AgentToServer {
            health: Some(ComponentHealth {
                healthy: false,
                last_error: error.to_owned(),
                ..ComponentHealth::default()
            }),
            ..message
        });
    }
}

/// An agent that comes, gets a configuration, becomes ill, becomes another one, and goes; its uid.
fn life(all: &Cluster) -> String {
    let hash = all.assign(1, "asked", "first: 1\n");
    let mut agent = Agent::connected("asked", all.node(1).opamp_addr);
    agent.hello();
    agent.offered(1);
    agent.apply();
    agent.ails("no room, token=abcdefgh12345678");
    agent.is_now("else");
    let uid = agent.uid.to_string();
    all.until(1, &format!("/agents/{uid}"), "all was heard", |shown| {
        let runs = shown["config"]["reported_hash"] == hash.as_str();
        (runs && shown["labels"]["conf"] == "else" && shown["health"]["healthy"] == false)
            .then_some(())
    });
    drop(agent);
    eventually("it is gone, and history says so", SOON, || {
        let (status, page) = all.try_ask(1, Method::GET, &format!("/agents/{uid}/history"), None);
        (status == 200 && page["items"][0]["kind"] == "disconnected").then_some(())
    });
    told(all, &uid, &hash);
    uid
}

fn items(page: &Value) -> Vec<Value> {
    assert_eq!(page["complete"], true, "{page}");
    page["items"].as_array().expect("a list").clone()
}

/// The items of a kind.
fn of<'a>(all: &'a [Value], kind: &str) -> Vec<&'a Value> {
    all.iter().filter(|item| item["kind"] == kind).collect()
}

/// That everything is told, newest first, in the words of REST.
fn told(all: &Cluster, uid: &str, hash: &str) {
    let items = items(&all.page(1, uid, "limit=1000"));
    assert_eq!(items.last().expect("some")["kind"], "connected");
    assert_eq!(items[0]["body"]["reason"], "lost");
    let place = |item: &Value| (item["at"].to_string(), item["seq"].as_u64());
    assert!(
        items.windows(2).all(|two| place(&two[0]) > place(&two[1])),
        "newest first: {items:#?}"
    );
    for item in &items {
        assert_eq!(item["node"], 1, "{item}");
        assert!(item["body"].is_object(), "{item}");
    }
    let health = of(&items, "health");
    assert_eq!(health.len(), 2, "{health:?}");
    let ill = health[0]["body"].to_string();
    assert!(
        ill.contains("no room") && !ill.contains("abcdefgh12345678"),
        "{ill}"
    );
    let descriptions = of(&items, "description");
    assert_eq!(descriptions.len(), 2, "{descriptions:?}");
    assert_eq!(descriptions[0]["body"]["labels"]["conf"], "else");
    let applied = &of(&items, "config_status")[0]["body"];
    let said = (&applied["status"], &applied["hash"]);
    assert_eq!(said, (&json!("applied"), &json!(hash)), "{applied}");
    let effective = of(&items, "effective_config");
    assert_eq!(effective.len(), 2, "{effective:?}");
    assert!(effective[0]["body"]["hash"].is_string(), "{effective:?}");
}

/// Pages and filters tell the same in parts.
fn parts(all: &Cluster, uid: &str) {
    let whole = items(&all.page(1, uid, "limit=1000"));
    for limit in [1, 2, 3] {
        let mut walked = Vec::new();
        let mut next = String::new();
        loop {
            let page = all.page(1, uid, &format!("limit={limit}{next}"));
            walked.extend(items(&page));
            let Some(token) = page["continue"].as_str() else {
                break;
            };
            next = format!("&continue={token}");
        }
        assert_eq!(walked, whole, "pages of {limit}");
    }
    for kinds in [
        "health",
        "connected,disconnected",
        "packages",
        "config_status,health",
    ] {
        let asked: Vec<_> = kinds.split(',').collect();
        let some = whole
            .iter()
            .filter(|item| asked.contains(&item["kind"].as_str().expect("a word")));
        let some: Vec<_> = some.cloned().collect();
        assert_eq!(items(&all.page(1, uid, &format!("kind={kinds}"))), some);
    }
    let middle = whole[whole.len() / 2]["at"].as_str().expect("a time");
    let is_since = |item: &&Value| item["at"].as_str().expect("a time") >= middle;
    let (since, until): (Vec<_>, Vec<_>) = whole.iter().partition(is_since);
    let asked = |query: &str| items(&all.page(1, uid, query));
    assert!(asked(&format!("since={middle}")).iter().eq(since));
    assert!(asked(&format!("until={middle}")).iter().eq(until));
    let both = format!("since={middle}&until=9999-01-01T00:00:00Z&kind=disconnected");
    assert_eq!(asked(&both), whole[..1]);
}

/// Questions that make no sense.
fn refused(all: &Cluster, uid: &str) {
    let first = all.page(1, uid, "limit=1");
    let token = first["continue"].as_str().expect("more");
    let other = format!("kind=health&limit=1&continue={token}");
    for query in [
        "kind=nonsense",
        "kind=",
        "since=yesterday",
        "since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z",
        "since=2026-01-02T00:00:00Z&until=2026-01-02T00:00:00Z",
        "continue=nothing",
        "limit=0",
        "order=asc",
        &other,
    ] {
        let path = format!("/agents/{uid}/history?{query}");
        let (status, answer) = all.try_ask(1, Method::GET, &path, None);
        assert_eq!(status, 400, "{query}: {answer}");
    }
    let nobody = "/agents/01890000-0000-7000-8000-000000000000/history";
    let (status, answer) = all.try_ask(1, Method::GET, nobody, None);
    assert_eq!((status, &answer["code"]), (404, &json!("agent_not_found")));
}

/// The command tells it to people, and the agent may be forgotten.
fn forgotten(all: &Cluster, uid: &str) {
    let (status, answer) = all.try_ask(1, Method::DELETE, &format!("/agents/{uid}"), None);
    assert!(matches!(status, 200 | 204), "{answer}");
    let (status, _) = all.try_ask(1, Method::GET, &format!("/agents/{uid}"), None);
    assert_eq!(status, 404);
    let told = all.run(1, &["agents", "history", uid]);
    for word in [
        "disconnected",
        "health",
        "description",
        "config_status",
        "connected",
    ] {
        assert!(told.contains(word), "{word}: {told}");
    }
    let one = all.run(
        1,
        &["agents", "history", uid, "--kind", "health", "--limit", "1"],
    );
    assert_eq!(one.lines().count(), 2, "a head and a line: {one}");
}

fn suite(all: &Cluster, settle: impl FnOnce(&str)) {
    let uid = life(all);
    settle(&uid);
    parts(all, &uid);
    refused(all, &uid);
    forgotten(all, &uid);
    parts(all, &uid);
}

#[test]
fn are_answered_by_the_history_of_the_node() {
    suite(&Cluster::of_one(), |_| {});
}

fn by_postgres(version: Version) {
    let server = Server::shared(version);
    let database = server.database();
    let all = Cluster::one_with(&[&setting(&database.url)]);
    all.goes(1);
    let tables = Tables {
        server,
        database: &database,
    };
    suite(&all, |uid| {
        tables.until("disconnected", 1);
        let kept = items(&all.page(1, uid, "limit=1000")).len();
        let there = tables.whole();
        assert_eq!(there.len(), 1, "{there:?}");
        let rows = tables.number("SELECT count(*) FROM agent_status_history");
        assert_eq!(rows, kept as u64);
        // the node lets go of what Postgres has
        let mut seen = Shown((String::new(), 0.0));
        eventually("the spool is empty", 2 * SOON, || {
            seen.0 = (
                tables.sql("SELECT name FROM agent_latest"),
                all.metric(1, "ampora_history_spool_bytes"),
            );
            (seen.0.0 == uid && seen.0.1 < 1.0).then_some(())
        });
    });
    tables.counted(&all, 1);
}

#[test]
fn are_answered_by_the_oldest_postgres() {
    by_postgres(Version::Oldest);
}

#[test]
fn are_answered_by_the_newest_postgres() {
    by_postgres(Version::Newest);
}
