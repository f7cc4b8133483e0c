//! Agents as they were, through the real router.

use ampora_raft::ids::{Fence, NodeId};
use ampora_storage::history::event::StreamId;
use ampora_storage::history::query::Position;

use super::*;
use crate::api::testing::{Site, WALL_MS};

const UID: InstanceUid = InstanceUid::from_u128(77);

fn item(seq: u64, node: u64, fence: u64, kind: EventKind, body: &Value) -> Item {
    Item {
        position: Position {
            at_ms: WALL_MS + seq,
            stream: StreamId(node.into()),
            seq,
        },
        node: NodeId(node),
        fence: Fence(fence),
        kind,
        body: body.to_string(),
    }
}

fn site() -> Site {
    use EventKind::{Connected, Description, Disconnected, Health};
    let site = Site::new();
    let described =
        json!({"name": "a", "agent_type": "t", "agent_version": "1", "labels": {"env": "prod"}});
    let items = vec![
        item(1, 1, 1, Connected, &json!({"transport": "websocket"})),
        item(2, 1, 1, Description, &described),
        item(3, 1, 1, Health, &json!({"healthy": true})),
        item(5, 2, 2, Connected, &json!({"transport": "http"})),
        // the clock of the node before goes ahead
        item(6, 1, 1, Disconnected, &json!({"reason": "moved"})),
        item(9, 2, 2, Disconnected, &json!({"reason": "goodbye"})),
    ];
    site.happened(UID, items);
    site.happened(
        InstanceUid::from_u128(78),
        vec![item(1, 1, 1, Health, &json!({}))],
    );
    site
}

impl Site {
    async fn then(&self, ms: u64, rest: &str) -> Value {
        let at = rfc3339(WALL_MS + ms);
        let path = format!("/agents?at={at}{rest}");
        self.get(&path).await.ok(200)
    }
}

#[tokio::test]
async fn an_agent_is_told_as_it_was() {
    let site = site();
    let agent = site.then(3, "&limit=1").await["items"][0].take();
    let expected = json!({
        "instance_uid": UID, "name": "a", "agent_type": "t", "agent_version": "1", "state": "connected",
        "transport": "websocket", "owner_node": 1, "labels": {"env": "prod"}, "health": {"healthy": true},
        "config_status": null, "effective_config": null, "packages": null,
        "last_change": rfc3339(WALL_MS + 3),
    });
    assert_eq!(agent, expected);
}

#[tokio::test]
async fn ownership_orders_what_clocks_do_not() {
    let site = site();
    let moved = site.then(6, "&limit=1").await["items"][0].take();
    assert_eq!(
        (&moved["state"], &moved["owner_node"]),
        (&json!("connected"), &json!(2))
    );
    let gone = site.then(9, "&limit=1").await["items"][0].take();
    assert_eq!(
        (&gone["state"], &gone["owner_node"]),
        (&json!("disconnected"), &Value::Null)
    );
}

#[tokio::test]
async fn pages_follow_each_other() {
    let site = site();
    let first = site.then(9, "&limit=1").await;
    let next = first["continue"].as_str().expect("more");
    let second = site.then(9, &format!("&limit=1&continue={next}")).await;
    assert_eq!(second["items"][0]["state"], "disconnected");
    assert_eq!(second["continue"], Value::Null);
    assert_eq!(site.then(0, "").await["items"], json!([]));
}

#[tokio::test]
async fn what_cannot_be_asked_of_the_past_is_refused() {
    let site = site();
    for (query, place) in [
        ("at=2023-11-14T22:13:20Z&q=a", "/query/q"),
        ("at=2023-11-14T22:13:20Z&selector=a", "/query/selector"),
        ("at=2023-11-14T22:13:20Z&state=stale", "/query/state"),
        ("at=2023-11-14T22:13:20Z&group=g", "/query/group"),
    ] {
        let answer = site.get(&format!("/agents?{query}")).await;
        let problem = answer.problem(409, "history_unsupported");
        assert_eq!(problem["errors"][0]["pointer"], place, "{query}");
    }
    let answer = site.get("/agents?at=then").await;
    answer.problem(400, "invalid_parameter");
}
