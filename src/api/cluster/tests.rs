//! The cluster through the real router.

use ampora_raft::ids::{Epoch, NodeId};
use ampora_raft::proposal::Proposal;
use http::Method;
use serde_json::{Value, json};

use crate::api::backend::{ClusterError, MemberStep};
use crate::api::testing::{Answer, Ask, Site};
use crate::node::cluster::token::JoinToken;

impl Site {
    fn admin(&self, method: Method, path: &str) -> Ask<'_> {
        self.ask(method, &format!("/api/v1/cluster{path}"))
            .role("admin")
    }

    async fn tell(&self, path: &str, form: Value) -> Answer {
        self.admin(Method::POST, path).json(&form).send().await
    }

    async fn remove(&self, id: u64) -> Answer {
        self.admin(Method::DELETE, &format!("/members/{id}"))
            .send()
            .await
    }

    /// The node has ended.
    fn dies(&self, id: u64) {
        let (node, epoch) = (NodeId(id), Epoch(1));
        self.apply(Proposal::LeaveNode { node, epoch });
    }
}

#[tokio::test]
async fn a_join_token_says_where_who_and_what_and_a_line_to_type() {
    let site = Site::new();
    let made = site
        .tell("/join-tokens", json!({"uses": 2, "ttl_seconds": 60}))
        .await
        .ok(201);
    let text = made["token"].as_str().expect("a text");
    let token = JoinToken::decode(text).expect("a token");
    assert_eq!(token.cluster, 0xa1);
    assert_eq!(
        (&*token.addresses[0], token.keys[0]),
        ("127.0.0.1:4322", [1; 32])
    );
    assert_eq!(made["expires_at"], "2023-11-14T22:14:20.000Z");
    let command = made["command"].as_str().expect("a line");
    assert!(
        command.starts_with("ampora serve --data-dir ampora-data-2 "),
        "{command}"
    );
    assert!(
        command.contains("--set peer.listen=127.0.0.1:4332 "),
        "{command}"
    );
    assert!(
        command.ends_with(&format!("--set cluster.join={text}")),
        "{command}"
    );
    let view = crate::api::backend::Backend::view(&*site.memory);
    let kept = view.fleet.join_tokens().next().expect("kept").clone();
    assert_eq!(
        (kept.hash, kept.uses, &*kept.created_by),
        (token.key().expect("a key").key_hash(), 2, "admin")
    );
}

#[tokio::test]
async fn a_repeated_call_makes_one_token_and_shows_its_text_once() {
    let site = Site::new();
    let ask = || {
        let asked = site.admin(Method::POST, "/join-tokens").json(&json!({}));
        asked.header("idempotency-key", "k")
    };
    let first = ask().send().await.ok(201);
    let again = ask().send().await.ok(201);
    assert_eq!(first["id"], again["id"]);
    assert!(
        first["token"].is_string() && again.get("token").is_none(),
        "{again}"
    );
    assert!(again.get("command").is_none(), "{again}");
}

#[tokio::test]
async fn join_tokens_have_bounds_and_need_an_open_door() {
    let site = Site::new();
    for form in [
        json!({"uses": 0}),
        json!({"uses": 65}),
        json!({"ttl_seconds": 0}),
        json!({"ttl_seconds": 2_592_001}),
    ] {
        site.tell("/join-tokens", form)
            .await
            .problem(422, "validation_failed");
    }
    site.refuse(ClusterError::Door("the port is taken".to_owned()));
    site.tell("/join-tokens", json!({}))
        .await
        .problem(409, "peer_door_closed");
}

#[tokio::test]
async fn nothing_of_it_is_for_operators() {
    let site = Site::new();
    for (method, path) in [
        (Method::POST, "/join-tokens"),
        (Method::POST, "/join"),
        (Method::POST, "/members"),
        (Method::DELETE, "/members/1"),
        (Method::POST, "/leader"),
        (Method::POST, "/feature-level"),
    ] {
        let answer = site.write(method, &format!("/cluster{path}")).send().await;
        answer.problem(403, "forbidden");
    }
}

#[tokio::test]
async fn what_would_lose_the_quorum_is_refused_with_the_arithmetic() {
    let site = Site::new();
    site.members(3, 0);
    site.dies(3);
    let refused = site.remove(2).await.problem(409, "quorum_would_be_lost");
    assert_eq!(
        refused["detail"],
        "3 voters, 2 live; removing node 2 leaves 2 voters of which 1 is live: quorum needs 2"
    );
    let demote = json!({"node_id": 2, "role": "learner"});
    let refused = site
        .tell("/members", demote)
        .await
        .problem(409, "quorum_would_be_lost");
    assert!(
        refused["detail"]
            .as_str()
            .expect("a text")
            .contains("demoting node 2"),
        "{refused}"
    );
    assert_eq!(site.steps(), []);
    let left = site.remove(3).await.ok(200);
    assert_eq!(left["voters"], json!([1, 2]));
}

#[tokio::test]
async fn a_removed_node_stops_voting_first_and_is_forgotten() {
    let site = Site::new();
    site.members(3, 0);
    let left = site.remove(3).await.ok(200);
    assert_eq!(
        left,
        json!({"leader_id": 1, "learners": [], "voters": [1, 2]})
    );
    assert_eq!(
        site.steps(),
        [MemberStep::Vote([NodeId(1), NodeId(2)].into())]
    );
    let shown = site.get("/cluster").await.ok(200);
    let names: Vec<&Value> = shown["nodes"]
        .as_array()
        .expect("nodes")
        .iter()
        .map(|node| &node["name"])
        .collect();
    assert_eq!(
        names,
        ["node-one", "node-2", ""],
        "it follows until the leader ends that"
    );
    site.remove(9).await.problem(404, "node_not_found");
}

#[tokio::test]
async fn a_leader_hands_over_before_it_stops_voting() {
    let site = Site::new();
    // a fleet whose upgrade is not finalized: one that can note it leaves it to the duty
    site.members_as_they_are(3, 0);
    site.tell("/members", json!({"node_id": 1, "role": "learner"}))
        .await
        .ok(200);
    let voters = [NodeId(2), NodeId(3)].into();
    assert_eq!(
        site.steps(),
        [MemberStep::Lead(None), MemberStep::Vote(voters)]
    );
    assert_eq!(site.noted("node.demote").await, 0);
}

#[tokio::test]
async fn the_number_of_voters_stays_odd() {
    let site = Site::new();
    site.members(1, 1);
    let promote = json!({"node_id": 2, "role": "voter"});
    let refused = site
        .tell("/members", promote)
        .await
        .problem(409, "voters_limit");
    assert!(
        refused["detail"]
            .as_str()
            .expect("a text")
            .starts_with("2 voters survive the loss of 0"),
        "{refused}"
    );
    site.members(2, 1);
    let promoted = site
        .tell("/members", json!({"node_id": 3, "role": "voter"}))
        .await
        .ok(200);
    assert_eq!(promoted["voters"], json!([1, 2, 3]));
    site.members(5, 2);
    let refused = site
        .tell("/members", json!({"node_id": 6, "role": "voter"}))
        .await;
    let refused = refused.problem(409, "voters_limit");
    assert_eq!(
        refused["detail"],
        "`cluster.voters` is 5, and there are 5 voters"
    );
    let wrong = site
        .tell("/members", json!({"node_id": 6, "role": "boss"}))
        .await;
    wrong.problem(422, "validation_failed");
}

#[tokio::test]
async fn only_a_live_voter_leads() {
    let site = Site::new();
    site.members(3, 1);
    site.dies(3);
    for id in [3, 4] {
        site.tell("/leader", json!({"node_id": id}))
            .await
            .problem(409, "quorum_would_be_lost");
    }
    site.tell("/leader", json!({"node_id": 9}))
        .await
        .problem(404, "node_not_found");
    let leads = site.tell("/leader", json!({"node_id": 2})).await.ok(200);
    assert_eq!(leads["leader_id"], 2);
    assert_eq!(site.steps(), [MemberStep::Lead(Some(NodeId(2)))]);
}

#[tokio::test]
async fn an_empty_node_that_runs_alone_moves_and_others_stay() {
    let site = Site::new();
    let made = site.tell("/join-tokens", json!({})).await.ok(201);
    let token = made["token"].clone();
    let wrong = site.tell("/join", json!({"token": "ampj_x"})).await;
    wrong.problem(422, "validation_failed");
    // the tokens of the roles are more than the one of a directory
    let form = json!({"peer_address": "h:1", "token": token});
    let refused = site
        .tell("/join", form.clone())
        .await
        .problem(409, "holds_data");
    assert!(
        refused["detail"]
            .as_str()
            .expect("a text")
            .contains("holds tokens"),
        "{refused}"
    );
    assert_eq!(site.moved(), None);
    let discard = json!({"peer_address": "h:1", "token": token, "discard": true});
    let answer = site.tell("/join", discard.clone()).await.ok(202);
    assert_eq!(answer["state"], "joining");
    assert_eq!(site.moved().expect("moved").0, "h:1");
    site.refuse(ClusterError::Refused(
        "the join token is used up".to_owned(),
    ));
    let refused = site
        .tell("/join", discard.clone())
        .await
        .problem(409, "join_refused");
    assert_eq!(refused["detail"], "the join token is used up");
    site.members(3, 0);
    site.tell("/join", discard)
        .await
        .problem(409, "already_member");
}

#[tokio::test]
async fn the_feature_level_only_rises_to_what_all_know() {
    let site = Site::new();
    site.members(2, 0);
    let level = site.tell("/feature-level", json!({})).await.ok(200)["feature_level"].clone();
    assert_eq!(level, ampora_raft::fleet::FEATURE_LEVEL);
    site.tell("/feature-level", json!({"level": 999}))
        .await
        .problem(409, "level_refused");
    site.tell("/feature-level", json!({"level": 1}))
        .await
        .problem(409, "level_refused");
}
