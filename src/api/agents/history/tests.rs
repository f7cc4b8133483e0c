//! History through the real router: pages, filters, and what cannot be asked.

use ampora_raft::ids::{Fence, InstanceUid, NodeId};

use super::*;
use crate::api::testing::{Site, WALL_MS};

/// An agent that nobody knows any more.
const GONE: InstanceUid = InstanceUid::from_u128(77);

fn item(seq: u64, kind: EventKind) -> Item {
    Item {
        position: Position {
            // two at a time share a moment
            at_ms: WALL_MS + seq / 2,
            stream: StreamId(9),
            seq,
        },
        node: NodeId(1),
        fence: Fence(1),
        kind,
        body: format!(r#"{{"n":{seq}}}"#),
    }
}

fn site() -> Site {
    let site = Site::new();
    let kinds = [EventKind::Health, EventKind::Connected];
    let items = (1..=6).map(|seq| item(seq, kinds[usize::from(seq % 3 == 0)]));
    site.happened(GONE, items.collect());
    site
}

impl Site {
    async fn past(&self, query: &str) -> Value {
        let path = format!("/agents/{GONE}/history?{query}");
        self.get(&path).await.ok(200)
    }
}

fn numbers(page: &Value) -> Vec<u64> {
    let items = page["items"].as_array().expect("items");
    items
        .iter()
        .map(|item| item["seq"].as_u64().expect("a number"))
        .collect()
}

#[tokio::test]
async fn an_item_says_when_where_and_what() {
    let page = site().past("limit=1").await;
    let expected = json!({
        "at": "2023-11-14T22:13:20.003Z", "node": 1, "seq": 6, "stream": format!("{:032x}", 9), "kind": "connected",
        "body": {"n": 6},
    });
    assert_eq!(page["items"], json!([expected]));
    assert_eq!(page["complete"], true);
    assert!(page["applied_index"].is_u64());
}

#[tokio::test]
async fn pages_follow_each_other_to_the_end() {
    let site = site();
    let mut seen = Vec::new();
    let mut query = "limit=4".to_owned();
    loop {
        let page = site.past(&query).await;
        seen.push(numbers(&page));
        let Some(next) = page["continue"].as_str() else {
            break;
        };
        query = format!("limit=4&continue={next}");
    }
    assert_eq!(seen, [vec![6, 5, 4, 3], vec![2, 1]]);
}

#[tokio::test]
async fn times_and_kinds_choose() {
    let site = site();
    let since = "since=2023-11-14T22:13:20.001Z&until=2023-11-14T22:13:20.003Z";
    assert_eq!(numbers(&site.past(since).await), [5, 4, 3, 2]);
    let health = format!("{since}&kind=health");
    assert_eq!(numbers(&site.past(&health).await), [5, 4, 2]);
    let both = format!("{since}&kind=health,connected");
    assert_eq!(numbers(&site.past(&both).await), [5, 4, 3, 2]);
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused_with_its_place() {
    let site = site();
    for (query, place) in [
        ("since=yesterday", "/query/since"),
        ("until=2023", "/query/until"),
        ("kind=death", "/query/kind"),
        ("kind=", "/query/kind"),
        ("limit=0", "/query/limit"),
        (
            "since=2023-11-14T22:13:20Z&until=2023-11-14T22:13:20Z",
            "/query/since",
        ),
    ] {
        let path = format!("/agents/{GONE}/history?{query}");
        let problem = site.get(&path).await.problem(400, "invalid_parameter");
        assert_eq!(problem["errors"][0]["pointer"], place, "{query}");
    }
    // of this agent, and of this question
    let next = site.past("limit=1").await["continue"]
        .as_str()
        .expect("more")
        .to_owned();
    for path in [
        format!("/agents/{GONE}/history?kind=health&continue={next}"),
        format!(
            "/agents/{}/history?continue={next}",
            InstanceUid::from_u128(78)
        ),
        format!("/agents/{GONE}/history?continue=x{next}"),
    ] {
        let answer = site.get(&path).await;
        answer.problem(400, "continue_invalid");
    }
}

#[tokio::test]
async fn an_agent_without_a_past_is_known_by_its_record() {
    let site = site();
    let uid = site.agent(1, &[]);
    let of = |uid| format!("/agents/{uid}/history");
    let page = site.get(&of(uid)).await.ok(200);
    assert_eq!(page["items"], json!([]));
    let nobody = InstanceUid::from_u128(79);
    let answer = site.get(&of(nobody)).await;
    answer.problem(404, "agent_not_found");
}

#[tokio::test]
async fn a_past_that_cannot_be_told_says_why() {
    let site = site();
    let path = format!("/agents/{GONE}/history");
    site.past_fails(HistoryError::Away("the database is away".to_owned()));
    let answer = site.get(&path).await;
    let problem = answer.problem(503, "history_unavailable");
    assert_eq!(problem["detail"], "the database is away");
    site.past_fails(HistoryError::Unsupported("no".to_owned()));
    let answer = site.get(&path).await;
    answer.problem(409, "history_unsupported");
}

#[tokio::test]
async fn nothing_of_a_kind_is_an_empty_page_where_something_else_is_known() {
    let page = site().past("kind=packages").await;
    assert_eq!(page["items"], json!([]));
    let nobody = InstanceUid::from_u128(78);
    let path = format!("/agents/{nobody}/history?kind=packages");
    site().get(&path).await.problem(404, "agent_not_found");
}
