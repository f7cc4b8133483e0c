//! Snapshots through the real router, over a node in memory.

use std::time::Duration;

use ampora_raft::ids::NodeId;
use ampora_raft::rows::{Row, RowKey};
use ampora_storage::backup::Reader;
use http::Method;
use serde_json::{Value, json};

use crate::api::settings::{Limits, Settings};
use crate::api::testing::{Answer, Ask, Site, WALL_MS};

fn post(site: &Site) -> Ask<'_> {
    let path = "/api/v1/cluster/snapshots";
    site.ask(Method::POST, path).role("admin")
}

async fn take(site: &Site) -> Value {
    post(site).send().await.ok(201)
}

async fn get(site: &Site, id: &Value) -> Answer {
    let id = id.as_str().unwrap();
    let path = format!("/api/v1/cluster/snapshots/{id}");
    site.ask(Method::GET, &path).role("admin").send().await
}

fn rows(answer: &Answer) -> Vec<(RowKey, Row)> {
    assert_eq!(answer.status, 200);
    let mut reader = Reader::open(&*answer.body).expect("a backup");
    let mut rows = Vec::new();
    while let Some(chunk) = reader.rows().expect("whole") {
        rows.extend(chunk);
    }
    rows
}

#[tokio::test]
async fn a_snapshot_is_the_fleet_when_it_was_taken() {
    let site = Site::new();
    site.version("edge", "a: 1\n").await;
    site.agent(1, &[("env", "prod")]);
    let taken = post(&site).send().await;
    let shown = taken.ok(201);
    assert_eq!(
        taken.header("location"),
        format!(
            "/api/v1/cluster/snapshots/{}",
            shown["id"].as_str().unwrap()
        )
    );
    assert_eq!(shown["lineage"], format!("{:032x}", 0xa1));
    assert_eq!(
        (&shown["state"], &shown["agents"]),
        (&json!("ready"), &json!(1))
    );
    site.agent(2, &[]);
    site.version("edge", "a: 2\n").await;
    let read = get(&site, &shown["id"]).await;
    assert_eq!(read.header("content-type"), "application/octet-stream");
    let header = Reader::open(&*read.body)
        .expect("a backup")
        .header()
        .clone();
    assert_eq!(json!(header.applied_index), shown["applied_index"]);
    assert_eq!((header.node, header.created_ms), (NodeId(1), WALL_MS));
    let rows = rows(&read);
    let count = |is: fn(&RowKey) -> bool| rows.iter().filter(|(key, _)| is(key)).count();
    assert_eq!(count(|key| matches!(key, RowKey::Agent(_))), 1);
    assert_eq!(count(|key| matches!(key, RowKey::BodyMeta(_))), 1);
    assert_eq!(count(|key| matches!(key, RowKey::BodyPart(..))), 1);
    // the version, and the snapshot itself
    assert_eq!(count(|key| matches!(key, RowKey::Audit(_))), 2);
    // a copy is read as often as is wanted while it is held
    assert_eq!(self::rows(&get(&site, &shown["id"]).await), rows);
}

#[tokio::test]
async fn taking_and_reading_are_recorded_and_repeating_is_the_same() {
    let site = Site::new();
    let keyed = || post(&site).header("idempotency-key", "nightly").send();
    let first = keyed().await.ok(201);
    assert_eq!(keyed().await.ok(201), first);
    get(&site, &first["id"]).await;
    let audit = site.ask(Method::GET, "/api/v1/audit").role("admin");
    let audit = audit.send().await.ok(200);
    let said: Vec<_> = audit["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| (item["action"].clone(), item["target"].clone()))
        .collect();
    let of = |action: &str| (json!(action), first["id"].clone());
    assert_eq!(said, [of("snapshot.read"), of("snapshot.take")]);
}

#[tokio::test]
async fn few_are_held_and_not_for_long() {
    let site = Site::new();
    let [one, two, three] = [take(&site).await, take(&site).await, take(&site).await];
    get(&site, &one["id"])
        .await
        .problem(404, "snapshot_not_found");
    assert_eq!(get(&site, &two["id"]).await.status, 200);
    site.boot_passes(599_999);
    assert_eq!(get(&site, &three["id"]).await.status, 200);
    site.boot_passes(1);
    get(&site, &three["id"])
        .await
        .problem(404, "snapshot_not_found");
}

#[tokio::test]
async fn readers_are_few_and_bodies_that_mean_nothing_are_refused() {
    let site = Site::with(Settings {
        limits: Limits {
            snapshot_readers: 0,
            ..Limits::default()
        },
        ..Settings::default()
    });
    let taken = take(&site).await;
    let answer = get(&site, &taken["id"]).await;
    answer.problem(503, "overloaded");
    post(&site).json(&json!({})).send().await.ok(201);
    let answer = post(&site).json(&json!({"name": "x"})).send().await;
    answer.problem(422, "validation_failed");
}

/// A reader that went to sleep holds neither a copy nor a thread.
#[tokio::test]
async fn a_reader_that_takes_nothing_is_given_up() {
    let (pieces, mut made) = tokio::sync::mpsc::channel(1);
    let piece = || super::Piece::Bytes(bytes::Bytes::new());
    let stall = Duration::from_millis(10);
    super::hand_over(&pieces, piece(), stall).expect("room");
    let given_up = super::hand_over(&pieces, piece(), stall).expect_err("no room");
    assert!(given_up.to_string().contains("too long"), "{given_up}");
    assert!(made.recv().await.is_some());
    drop(made);
    let gone = super::hand_over(&pieces, piece(), stall).expect_err("gone");
    assert!(gone.to_string().contains("gone"), "{gone}");
}

/// What is not whole never looks as if it were: the answer breaks off.
#[tokio::test]
async fn a_body_that_left_meanwhile_breaks_the_answer() {
    let site = Site::new();
    site.version("edge", "a: 1\n").await;
    let taken = take(&site).await;
    site.forget_rows_beside_memory();
    let path = format!(
        "/api/v1/cluster/snapshots/{}",
        taken["id"].as_str().unwrap()
    );
    let broken = site
        .ask(Method::GET, &path)
        .role("admin")
        .send_whole()
        .await;
    assert!(broken.is_err());
}
