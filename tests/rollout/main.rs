//! Changes of configuration as a fleet meets them: the real program, hundreds of simulated agents, and versions
//! that they do not stand.
#![expect(
    clippy::disallowed_methods,
    reason = "a test of a process looks at it from outside, by real time"
)]

mod fleet;
#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

use ampora::simulate::Profile;
use serde_json::json;

use fleet::{BAD, Fleet, GOOD};

/// As many as make a fleet of which the first window is a small part.
const AGENTS: usize = 400;
/// The first window.
const WINDOW: u64 = 10;
/// Long enough for a change that would go on to have gone on.
const LATER: Duration = Duration::from_secs(5);
/// Between two windows of a change.
const PAUSE: Duration = Duration::from_secs(2);
/// How often a busy machine may try to be quicker than that.
const CHANGES: u32 = 3;

#[tokio::test(flavor = "multi_thread")]
async fn a_good_version_doubles_and_a_refused_one_is_taken_back() {
    let fleet = Fleet::start(AGENTS, Profile::Refusing, &[]).await;
    let good = fleet.version(GOOD).await;
    fleet
        .put(&json!({"selector": "*", "configuration": {"name": "edge"}}))
        .await;
    let mut windows = Vec::new();
    fleet
        .until("everybody runs the good version", |group| {
            if let Some(window) = group["window"]["agents"].as_u64() {
                windows.push(window);
            }
            assert!(
                group["confirmed"].as_u64()
                    <= windows
                        .last()
                        .copied()
                        .or(Some(0))
                        .max(group["settled"].is_object().then_some(AGENTS as u64))
            );
            group["settled"] == good && group["confirmed"] == AGENTS
        })
        .await;
    windows.dedup();
    assert_eq!(windows.first(), Some(&WINDOW), "{windows:?}");
    assert!(
        windows
            .windows(2)
            .all(|two| two[0] < two[1] && two[1] <= 2 * two[0]),
        "{windows:?}"
    );

    fleet.version(BAD).await;
    fleet.put(&json!({"configuration": {"name": "edge"}})).await;
    fleet
        .until("it is quarantined and all are back", |group| {
            assert!(fleet.bad_offers() <= WINDOW, "{group}");
            group["quarantined"]["version"] == 2 && group["confirmed"] == AGENTS
        })
        .await;
    tokio::time::sleep(LATER).await;
    assert!((3..=WINDOW).contains(&fleet.bad_offers()));
    let group = fleet.group().await;
    assert_eq!(
        (&group["settled"], &group["confirmed"]),
        (&good, &json!(AGENTS))
    );
    let agent = fleet.agent().await;
    assert_eq!(agent["config"]["why"], "quarantined", "{agent}");
    assert_eq!(fleet.metric("ampora_config_quarantined").await, 1.0);

    let before = fleet.bad_offers();
    fleet.way("quarantine/lift").await;
    fleet
        .until("it failed again", |group| {
            assert!(fleet.bad_offers() <= before + WINDOW, "{group}");
            group["quarantined"]["version"] == 2 && group["confirmed"] == AGENTS
        })
        .await;
    assert!(fleet.bad_offers() >= before + 3, "offered again");
    let group = fleet.way("revert").await;
    assert_eq!((&group["next"], &group["settled"]), (&json!(null), &good));
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_that_turn_unhealthy_are_taken_back() {
    let fleet = Fleet::settled(AGENTS, Profile::Breaking, &[]).await;
    fleet.version(BAD).await;
    fleet
        .put(&json!({"configuration": {"name": "edge"}, "pace": "slow-start"}))
        .await;
    fleet
        .until("it is quarantined and all are back", |group| {
            assert!(fleet.bad_offers() <= WINDOW, "{group}");
            group["quarantined"]["version"] == 2 && group["confirmed"] == AGENTS
        })
        .await;
    tokio::time::sleep(LATER).await;
    assert!((3..=WINDOW).contains(&fleet.bad_offers()));
    assert_eq!(fleet.metric("ampora_agents_unhealthy").await, 0.0);
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_holds_a_change_and_a_revert_ends_it() {
    let keys = ["--set", "rollout.confirm_timeout_seconds=1"];
    let fleet = Fleet::settled(AGENTS, Profile::Silent, &keys).await;
    fleet.version(BAD).await;
    fleet
        .put(&json!({"configuration": {"name": "edge"}, "pace": "slow-start"}))
        .await;
    fleet
        .until("the first window is open", |_| fleet.bad_offers() == WINDOW)
        .await;
    tokio::time::sleep(LATER).await;
    let group = fleet.group().await;
    assert_eq!(group["window"]["agents"], WINDOW, "{group}");
    assert_eq!(fleet.bad_offers(), WINDOW);
    let offers = fleet.offers();
    fleet.way("revert").await;
    fleet
        .until(
            "those that had got it are offered the settled one",
            |group| fleet.offers() == offers + WINDOW && group["confirmed"] == AGENTS,
        )
        .await;
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_at_once_is_taken_back_too() {
    let fleet = Fleet::settled(AGENTS, Profile::Refusing, &[]).await;
    fleet.version(BAD).await;
    fleet
        .put(&json!({"configuration": {"name": "edge"}, "pace": "all-at-once"}))
        .await;
    fleet
        .until("it is quarantined and all are back", |group| {
            group["quarantined"]["version"] == 2 && group["confirmed"] == AGENTS
        })
        .await;
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_the_server_widens_nothing() {
    let keys = ["--set", "rollout.confirm_timeout_seconds=600"];
    let mut fleet = Fleet::settled(AGENTS, Profile::Silent, &keys).await;
    fleet.version(BAD).await;
    fleet
        .put(&json!({"configuration": {"name": "edge"}, "pace": "slow-start"}))
        .await;
    fleet
        .until("the first window is open", |_| fleet.bad_offers() == WINDOW)
        .await;
    fleet.restart(&keys).await;
    tokio::time::sleep(LATER).await;
    let group = fleet.group().await;
    assert_eq!(group["window"]["agents"], WINDOW, "{group}");
    assert_eq!(group["confirmed"], 0, "{group}");
    assert!(
        fleet.bad_offers() <= 2 * WINDOW,
        "the same ten, once more at most"
    );
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn few_agents_have_it_as_soon_as_they_confirm() {
    let fleet = Fleet::start(4, Profile::Idle, &[]).await;
    let mut took = Vec::new();
    // one look that is held up makes the rest after it long: a pause would be in each of them
    for number in 1..=CHANGES {
        let good = fleet.version(&format!("good: {number}\n")).await;
        let began = std::time::Instant::now();
        fleet
            .put(&json!({"selector": "*", "configuration": {"name": "edge"}}))
            .await;
        fleet
            .until("it is settled", |group| {
                group["settled"] == good && group["confirmed"] == 4
            })
            .await;
        took.push(began.elapsed());
        if took.last() < Some(&PAUSE) {
            fleet.stop().await;
            return;
        }
    }
    panic!("{took:?}: no pause for four agents");
}
