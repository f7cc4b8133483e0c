//! `GET /cluster/leases` and `GET /cluster/sessions`.

use ampora_raft::ids::{Epoch, NodeId};
use ampora_raft::outcome::Outcome;
use ampora_raft::proposal::Proposal;
use serde_json::{Value, json};

use crate::api::testing::Site;

fn acquire(name: &str, epoch: u64) -> Proposal {
    Proposal::AcquireLease {
        name: name.into(),
        node: NodeId(1),
        epoch: Epoch(epoch),
        lock_delay_ms: 10_000,
    }
}

#[tokio::test]
async fn leases_say_who_holds_them_and_for_how_long() {
    let site = Site::new();
    assert_eq!(
        site.get("/cluster/leases").await.ok(200)["items"],
        json!([])
    );
    let Outcome::Lease { fence } = site.apply(acquire("rollout", 1)) else {
        panic!("not granted");
    };
    let lease = site.get("/cluster/leases").await.ok(200)["items"][0].clone();
    assert_eq!(
        lease,
        json!({
            "epoch": 1,
            "expires_in_ms": null,
            "fence": fence.0,
            "held": true,
            "name": "rollout",
            "node_id": 1,
        })
    );
    site.apply(Proposal::Tick {
        ttl_ms: 10_000,
        renewals: vec![(NodeId(1), Epoch(1))],
    });
    let lease = site.get("/cluster/leases").await.ok(200)["items"][0].clone();
    assert_eq!(lease["expires_in_ms"], 10_000);
    site.apply(Proposal::LeaveNode {
        node: NodeId(1),
        epoch: Epoch(1),
    });
    assert_eq!(
        site.get("/cluster/leases").await.ok(200)["items"],
        json!([])
    );
}

#[tokio::test]
async fn sessions_are_paged_and_say_whether_they_are_valid() {
    let site = Site::new();
    let uids: Vec<_> = (1..=5).map(|n| site.agent(n, &[]).to_string()).collect();
    let first = site.get("/cluster/sessions?limit=3").await.ok(200);
    let of = |page: &Value| {
        let items = page["items"].as_array().expect("items").clone();
        items
            .into_iter()
            .map(|item| item["agent"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(of(&first), uids[..3]);
    let item = &first["items"][0];
    assert_eq!((&item["node_id"], &item["epoch"]), (&json!(1), &json!(1)));
    assert_eq!(
        (&item["node_name"], &item["valid"]),
        (&json!("node-one"), &json!(true))
    );
    let next = first["continue"].as_str().expect("more");
    let second = site
        .get(&format!("/cluster/sessions?limit=3&continue={next}"))
        .await
        .ok(200);
    assert_eq!(of(&second), uids[3..]);
    assert_eq!(second["continue"], Value::Null);
    let whole = site.get("/cluster/sessions?limit=5&node=1").await.ok(200);
    assert_eq!((of(&whole).len(), &whole["continue"]), (5, &Value::Null));
    let none = site.get("/cluster/sessions?node=2").await.ok(200);
    assert_eq!(of(&none).len(), 0);
    site.get("/cluster/sessions?node=x")
        .await
        .problem(400, "invalid_parameter");
    site.apply(Proposal::LeaveNode {
        node: NodeId(1),
        epoch: Epoch(1),
    });
    let void = site.get("/cluster/sessions").await.ok(200);
    assert_eq!(void["items"][0]["valid"], false);
}

#[tokio::test]
async fn agents_of_a_dead_node_are_expected_back_for_a_time() {
    let site = Site::new();
    let uid = site.agent(1, &[]);
    site.apply(Proposal::LeaveNode {
        node: NodeId(1),
        epoch: Epoch(1),
    });
    let path = format!("/agents/{uid}");
    assert_eq!(site.get(&path).await.ok(200)["state"], "stale");
    site.fleet_passes(39_999);
    assert_eq!(site.get(&path).await.ok(200)["state"], "stale");
    site.fleet_passes(1);
    assert_eq!(site.get(&path).await.ok(200)["state"], "disconnected");
}
