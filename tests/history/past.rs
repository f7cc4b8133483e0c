//! The fleet as it was.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Value, json};

use crate::agent::Agent;
use crate::cluster::{Cluster, SOON};
use crate::postgres::{Server, Version};
use crate::stage::setting;
use crate::support::eventually;
use crate::tables::Tables;

/// The time of the server, which is that of the node.
const NOW: &str =
    "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')";

/// The fleet at a time, as the command prints it.
fn at(all: &Cluster, time: &str) -> BTreeMap<String, Value> {
    let text = all.run(1, &["agents", "list", "--at", time, "-o", "json"]);
    let list: Value = serde_json::from_str(&text).expect("JSON");
    let items = list["items"].as_array().expect("a list").iter();
    items
        .map(|agent| {
            (
                agent["instance_uid"].as_str().expect("a uid").to_owned(),
                agent.clone(),
            )
        })
        .collect()
}

#[test]
fn is_told_after_everything_changed() {
    let server = Server::shared(Version::Newest);
    let database = server.database();
    let tables = Tables {
        server,
        database: &database,
    };
    let all = Cluster::one_with(&[&setting(&database.url)]);
    let before = tables.sql(NOW);
    let mut first = Agent::connected("one", all.node(1).opamp_addr);
    first.hello();
    tables.until("health", 1);
    let well = tables.sql(NOW);
    first.ails("ill");
    first.is_now("two");
    let mut second = Agent::connected("one", all.node(1).opamp_addr);
    second.hello();
    tables.until("health", 3);
    tables.until("description", 3);
    // the table of the newest follows after a while, and says whom there is to ask for
    eventually("both are known", SOON, || {
        (tables.number("SELECT count(*) FROM agent_latest") == 2).then_some(())
    });
    let ill = tables.sql(NOW);
    let (one, two) = (first.uid.to_string(), second.uid.to_string());
    drop(first);
    eventually("that it left is known", SOON, || {
        let left = "SELECT count(*) FROM agent_latest WHERE state ? 'disconnected'";
        (tables.number(left) == 1).then_some(())
    });
    let gone = tables.sql(NOW);
    let (status, _) = all.try_ask(1, Method::DELETE, &format!("/agents/{one}"), None);
    assert!(matches!(status, 200 | 204), "{status}");

    assert_eq!(at(&all, &before), BTreeMap::new());
    let then = at(&all, &well);
    assert_eq!(then.keys().collect::<Vec<_>>(), [&one]);
    let agent = &then[&one];
    let seen = (
        &agent["state"],
        &agent["health"]["healthy"],
        &agent["labels"]["conf"],
    );
    assert_eq!(
        seen,
        (&json!("connected"), &json!(true), &json!("one")),
        "{agent}"
    );
    assert_eq!(agent["owner_node"], 1);
    let then = at(&all, &ill);
    assert_eq!(then.len(), 2);
    let agent = &then[&one];
    let seen = (
        &agent["state"],
        &agent["health"]["healthy"],
        &agent["labels"]["conf"],
    );
    assert_eq!(
        seen,
        (&json!("connected"), &json!(false), &json!("two")),
        "{agent}"
    );
    let then = at(&all, &gone);
    assert_eq!(then[&one]["state"], "disconnected");
    assert_eq!(then[&two]["state"], "connected");
    let wide = all.run(1, &["agents", "list", "--at", &ill]);
    assert!(wide.contains(&one) && wide.contains("connected"), "{wide}");
}

#[test]
fn is_not_told_without_postgres() {
    let all = Cluster::of_one();
    let path = "/agents?at=2026-01-01T00:00:00Z";
    let (status, answer) = all.try_ask(1, Method::GET, path, None);
    assert_eq!(
        (status, &answer["code"]),
        (409, &json!("history_unsupported"))
    );
    let said = all.fails(1, &["agents", "list", "--at", "2026-01-01T00:00:00Z"]);
    assert!(said.contains("postgres.url"), "{said}");
    for (path, refused) in [
        ("/agents?at=yesterday", 400),
        ("/agents?at=2026-01-01T00:00:00Z&q=x", 409),
    ] {
        let (status, answer) = all.try_ask(1, Method::GET, path, None);
        assert_eq!(status, refused, "{answer}");
    }
}
