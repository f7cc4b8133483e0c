//! What operators ask of members through the real router: each change leaves its record, and a call that is repeated
//! changes nothing.

use ampora_raft::consensus::Progress;
use ampora_raft::ids::NodeId;
use http::Method;
use serde_json::{Value, json};

use crate::api::backend::{Backend, MemberStep};
use crate::api::testing::{Answer, Site};

impl Site {
    /// How many records there are of an action.
    pub(super) async fn noted(&self, action: &str) -> usize {
        self.records(action).await.len()
    }

    async fn records(&self, action: &str) -> Vec<Value> {
        let path = format!("/api/v1/audit?action={action}");
        let answer = self.ask(Method::GET, &path).role("admin").send().await;
        let records = answer.ok(200)["items"].clone();
        records.as_array().expect("a list").clone()
    }

    async fn keyed(&self, method: Method, path: &str, form: Option<Value>, key: &str) -> Answer {
        let asked = self.ask(method, &format!("/api/v1/cluster{path}"));
        let asked = asked.role("admin").header("idempotency-key", key);
        match form {
            Some(form) => asked.json(&form).send().await,
            None => asked.send().await,
        }
    }

    async fn role(&self, node: u64, role: &str, key: &str) -> Answer {
        let form = json!({"node_id": node, "role": role});
        self.keyed(Method::POST, "/members", Some(form), key).await
    }

    fn is_held(&self, node: u64) -> bool {
        self.memory.view().fleet.is_held_back(NodeId(node))
    }
}

#[tokio::test]
async fn a_role_leaves_its_record_once_however_often_it_is_asked_for() {
    let site = Site::new();
    site.members(3, 0);
    for _ in 0..2 {
        let left = site.role(3, "learner", "k1").await.ok(200);
        assert_eq!(
            (&left["voters"], &left["learners"]),
            (&json!([1, 2]), &json!([3]))
        );
    }
    let records = site.records("node.demote").await;
    assert_eq!(records.len(), 1);
    assert_eq!(
        (&records[0]["actor"], &records[0]["target"]),
        (&json!("admin"), &json!("3"))
    );
    assert_eq!(
        records[0]["before"],
        json!({"held": false, "role": "voter"})
    );
    assert_eq!(
        records[0]["after"],
        json!({"held": true, "role": "learner"})
    );
    assert!(site.is_held(3));
    let reused = site.role(2, "learner", "k1").await;
    reused.problem(409, "idempotency_key_reused");
    let back = site.role(3, "voter", "k2").await.ok(200);
    assert_eq!(back["voters"], json!([1, 2, 3]));
    assert_eq!(
        (site.noted("node.promote").await, site.is_held(3)),
        (1, false)
    );
    // what was answered long ago is not done again
    let steps = site.steps().len();
    let now = site.role(3, "learner", "k1").await.ok(200);
    assert_eq!(now["voters"], json!([1, 2, 3]));
    assert_eq!(
        (site.steps().len(), site.noted("node.demote").await),
        (steps, 1)
    );
}

#[tokio::test]
async fn a_removal_is_answered_again_although_the_node_is_gone() {
    let site = Site::new();
    site.members(3, 0);
    for _ in 0..2 {
        let left = site.keyed(Method::DELETE, "/members/3", None, "k").await;
        assert_eq!(left.ok(200)["voters"], json!([1, 2]));
    }
    assert_eq!(site.noted("node.remove").await, 1);
    assert_eq!(
        site.noted("node.demote").await,
        1,
        "it stopped voting first"
    );
    assert_eq!(site.steps().len(), 1);
    let other = site
        .keyed(Method::DELETE, "/members/3", None, "other")
        .await;
    other.problem(404, "node_not_found");
}

#[tokio::test]
async fn a_transfer_leaves_its_record_and_is_not_made_twice() {
    let site = Site::new();
    site.members(3, 0);
    let form = || Some(json!({"node_id": 2}));
    for _ in 0..2 {
        let leads = site
            .keyed(Method::POST, "/leader", form(), "k")
            .await
            .ok(200);
        assert_eq!(leads["leader_id"], 2);
    }
    assert_eq!(site.steps(), [MemberStep::Lead(Some(NodeId(2)))]);
    let records = site.records("leader.transfer").await;
    assert_eq!(records.len(), 1);
    assert_eq!(
        (&records[0]["before"], &records[0]["after"]),
        (&json!({"leader": 1}), &json!({"leader": 2}))
    );
    let back = json!({"node_id": 1});
    site.keyed(Method::POST, "/leader", Some(back), "back")
        .await
        .ok(200);
    let late = site
        .keyed(Method::POST, "/leader", form(), "k")
        .await
        .ok(200);
    assert_eq!(late["leader_id"], 1, "somebody asked for another one since");
    assert_eq!(site.steps().len(), 2);
}

#[tokio::test]
async fn who_was_held_back_may_be_let_go_before_it_can_vote() {
    let site = Site::new();
    site.members(1, 2);
    for (node, key) in [(2, "h2"), (3, "h3")] {
        let held = site.role(node, "learner", key).await.ok(200);
        assert_eq!(held["voters"], json!([1]));
        assert!(site.is_held(node));
    }
    let shown = site.get("/cluster").await.ok(200);
    let held = |node: usize| shown["nodes"][node]["held"].clone();
    assert_eq!(
        [held(0), held(1), held(2)],
        [json!(false), json!(true), json!(true)]
    );
    let soon = site.role(2, "voter", "p2").await.ok(202);
    assert_eq!((&soon["voters"], site.is_held(2)), (&json!([1]), false));
    let even = site.role(2, "voter", "again").await;
    even.problem(409, "voters_limit");
}

#[tokio::test]
async fn lag_is_what_the_leader_says() {
    let site = Site::new();
    site.members(3, 0);
    let unknown = site.get("/cluster").await.ok(200);
    let lags = |shown: &Value| [0, 1, 2].map(|node| shown["nodes"][node]["lag"].clone());
    assert_eq!(lags(&unknown), [json!(0), Value::Null, Value::Null]);
    let committed_index = unknown["applied_index"].as_u64().expect("a number") + 5;
    site.says(Progress {
        committed_index,
        reached: vec![
            (NodeId(2), committed_index),
            (NodeId(3), committed_index - 2),
        ],
    });
    let told = site.get("/cluster").await.ok(200);
    assert_eq!(lags(&told), [json!(5), json!(0), json!(2)]);
}
