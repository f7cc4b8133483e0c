//! Labels, forgetting and differences through the command line, and keys over a restart of the node.

use serde_json::{Value, json};

use crate::agent::CAPABLE;
use crate::fleet::{SOON, arrived};
use crate::support::{Node, eventually, start, start_in};
use crate::{has, json, line, run, run_with};

#[test]
fn labels_are_given_tried_and_taken_away() {
    let node = start(&[]);
    let uid = arrived(&node, 1, CAPABLE).uid();
    run_with(&node, &["configs", "put", "edge", "-"], "a: 1\n").ok();
    line(&node, "groups put edge --selector env=edge --config edge").ok();
    let said = line(&node, &format!("agents label {uid} team=core zone=a")).ok();
    has(&said, &["team=core, zone=a"]);
    let trial = line(&node, &format!("agents label {uid} env=edge --dry-run")).ok();
    has(&trial, &["would be offered another", "nothing was changed"]);
    let refused = line(
        &node,
        &format!("agents label {uid} env=edge --max-affected 0"),
    );
    has(&refused.failed(1), &["code: too_many_affected"]);
    let said = line(&node, &format!("agents label {uid} env=edge zone-")).ok();
    has(&said, &["env=edge, team=core, group edge"]);
    let agent = json(&node, &format!("agents show {uid}"));
    assert_eq!(
        agent["server_labels"],
        json!({"env": "edge", "team": "core"})
    );
    assert_eq!(agent["labels"]["env"], "prod");
    let shown = line(&node, &format!("agents show {uid}")).ok();
    has(&shown, &["server labels"]);
    let bad = run(&node, &["agents", "label", &uid, "a b=c"]).failed(1);
    has(&bad, &["code: validation_failed", "/a b"]);
    for words in ["", "team", "=x"] {
        line(&node, &format!("agents label {uid} {words}")).failed(2);
    }
}

#[test]
fn an_agent_is_forgotten_once_it_is_gone() {
    let node = start(&[]);
    let mut agent = arrived(&node, 1, CAPABLE);
    let forget = format!("agents forget {}", agent.uid());
    let refused = line(&node, &forget).failed(1);
    has(&refused, &["code: agent_connected", "is disconnected"]);
    let id = line(
        &node,
        &format!("agents restart {} --no-wait -o name", agent.uid()),
    );
    let id = id.ok();
    // its last message would take the restart along
    line(&node, &format!("dispatch cancel {id}")).ok();
    agent.leave();
    eventually("its goodbye", SOON, || {
        let shown = json(&node, &format!("agents show {}", agent.uid()));
        (shown["state"] == "disconnected").then_some(())
    });
    let order = format!("agents push {} --no-wait -o name", agent.uid());
    let id = line(&node, &order).ok();
    has(&line(&node, &forget).ok(), &[&agent.uid(), "forgotten"]);
    let dispatch = json(&node, &format!("dispatch show {id}"));
    assert_eq!(dispatch["deliveries"][0]["error"], "agent_forgotten");
    has(&line(&node, &forget).failed(1), &["code: agent_not_found"]);
    let back = arrived(&node, 1, CAPABLE);
    assert_eq!(back.uid(), agent.uid(), "it may come back");
}

#[test]
fn differences_are_shown_as_patches() {
    let node = start(&[]);
    for body in ["a: 1\nb: 2\n", "a: 1\nb: 3\n"] {
        run_with(&node, &["configs", "put", "edge", "-"], body).ok();
    }
    let patch = "--- edge@1\n+++ edge@2\n@@ -1,2 +1,2 @@\n a: 1\n-b: 2\n+b: 3\n";
    assert_eq!(line(&node, "configs diff edge 1 2").ok(), patch);
    assert_eq!(line(&node, "configs diff edge 1 newest").ok(), patch);
    assert_eq!(line(&node, "configs diff edge 2 2").ok(), "");
    let answer = json(&node, "configs diff edge 2 1");
    assert_eq!(answer["files"][0]["change"], "changed");
    has(
        &line(&node, "configs diff edge 1 9").failed(1),
        &["code: version_not_found"],
    );
    line(&node, "configs diff edge 1 x").failed(2);
}

/// A call with a key, as a script makes it; its status and answer.
fn keyed(node: &Node, method: &str, path: &str, key: &str, body: &Value) -> (u16, Value) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let method = method.parse().expect("a method");
        let url = format!("{}/api/v1{path}", node.admin_url);
        let call = reqwest::Client::new().request(method, url);
        let call = call.bearer_auth(&node.token).header("idempotency-key", key);
        let response = call.json(body).send().await.expect("an answer");
        let status = response.status().as_u16();
        (status, response.json().await.unwrap_or(Value::Null))
    })
}

#[test]
fn a_repeated_key_answers_the_same_over_restarts_of_the_node() {
    let home = tempfile::tempdir().expect("a directory");
    let mut node = start_in(home.path(), &[]);
    let uid = arrived(&node, 1, CAPABLE).uid();
    let order = json!({"action": {"restart": {}}, "target": {"agent": uid}});
    let group = json!({"selector": "*"});
    let other = json!({"selector": "env=prod"});
    let (status, first) = keyed(&node, "POST", "/dispatches", "order", &order);
    assert_eq!(status, 202);
    let (status, made) = keyed(&node, "PUT", "/groups/g", "group", &group);
    assert_eq!(status, 201);
    for kills in [true, false] {
        if kills {
            node.kill();
        } else {
            assert!(node.stop().success());
        }
        node = start_in(home.path(), &[]);
        let (status, again) = keyed(&node, "POST", "/dispatches", "order", &order);
        assert_eq!((status, &again["id"]), (202, &first["id"]));
        let (status, again) = keyed(&node, "PUT", "/groups/g", "group", &group);
        assert_eq!((status, &again["revision"]), (201, &made["revision"]));
        let (status, refused) = keyed(&node, "PUT", "/groups/g", "group", &other);
        assert_eq!(
            (status, &refused["code"]),
            (409, &json!("idempotency_key_reused"))
        );
        let dispatches = json(&node, "dispatch list");
        assert_eq!(
            dispatches["items"].as_array().map(Vec::len),
            Some(1),
            "{dispatches}"
        );
    }
}
