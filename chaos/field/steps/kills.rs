//! kill -9: of a node that owns a third, and of the leader.

use std::time::Duration;

use anyhow::{Context, ensure};

use crate::dispatches;
use crate::ground::{Ground, SOON};
use crate::report::note;
use crate::wait::{Since, seconds, until};

/// Agents of the dead node that are sent a restart each.
const ASKED: usize = 20;

/// Leaders that are killed.
const LEADERS: usize = 3;

/// How long clients wait before they come again, at most, with the first try: 1.5 s in these agents.
const RECONNECT: Duration = Duration::from_millis(1500);

/// A node that owns a third and does not lead.
pub(crate) async fn owner(ground: &mut Ground) -> anyhow::Result<()> {
    let leader = ground.leader().await?;
    let victim = *ground.others(leader).last().context("a follower")?;
    let other = *ground.others(victim).first().context("another node")?;
    note(&format!("kill -9 of node {victim}; node {leader} leads"));
    let all = ground.agents();
    let owned = owned_by(ground, other, victim).await?;
    let moved = some_of(ground, other, victim).await?;
    let restarts = ground.total(|crowd| crowd.restarts);
    ground.shown();
    ground.kill(victim)?;
    let began = Since::now();
    ground
        .until_seen(other, "the others own every agent", |seen| {
            seen.owned_without(victim) == all
        })
        .await?;
    let took = began.elapsed();
    let mut ids = Vec::new();
    for uid in &moved {
        let answer = dispatches::restart(&ground.operator, other, uid).await;
        ensure!(answer.is_success(), "{answer:?}");
        let id = answer.body["id"].as_str().context("an id")?;
        ids.push(id.to_owned());
    }
    until("restarts that are sent", SOON, async || {
        let ends = dispatches::ends(&ground.operator, other, &ids).await;
        (ends.succeeded == ids.len()).then_some(())
    })
    .await?;
    let again = ground.total(|crowd| crowd.restarts) - restarts;
    ground.report.aimed(
        &format!("kill -9 of a node that owns {owned} and does not lead: until all are owned by the others; until {ASKED} of them have done a restart that was asked for then"),
        &format!("{}; {} ({again})", seconds(took), seconds(began.elapsed())),
        "time to reconnect + 1 s",
        took <= RECONNECT + Duration::from_secs(1),
    );
    let shown = ground.shown();
    ground.start_again(victim).await?;
    not_disconnected(ground, "that kill", shown.disconnected, shown.stale);
    Ok(())
}

async fn owned_by(ground: &Ground, ask: u64, owner: u64) -> anyhow::Result<usize> {
    let seen = ground.operator.cluster(ask).await.context("an answer")?;
    let node = seen.nodes.iter().find(|node| node.id == owner);
    Ok(node.context("a node")?.sessions)
}

/// Some agents of a node.
async fn some_of(ground: &Ground, ask: u64, owner: u64) -> anyhow::Result<Vec<String>> {
    let page = ground.operator.get(ask, "/agents?limit=1000").await.body;
    let items = page["items"].as_array().context("a page of agents")?;
    let theirs = items.iter().filter(|item| item["owner_node"] == owner);
    let uids = theirs.filter_map(|item| item["instance_uid"].as_str().map(str::to_owned));
    Ok(uids.take(ASKED).collect())
}

fn not_disconnected(ground: &mut Ground, when: &str, disconnected: u64, stale: u64) {
    ground.report.must(
        &format!("shown as disconnected, as stale, through {when}, at most"),
        &format!("{disconnected}, {stale}"),
        "0 disconnected",
        disconnected == 0,
    );
}

/// The leader, several times.
pub(crate) async fn leaders(ground: &mut Ground) -> anyhow::Result<()> {
    let (mut writes, mut owned) = (Vec::new(), Vec::new());
    ground.shown();
    for turn in 0..LEADERS {
        let leader = ground.leader().await?;
        let others = ground.others(leader);
        let other = others[turn % others.len()];
        note(&format!("kill -9 of node {leader}, which leads"));
        let all = ground.agents();
        ground.kill(leader)?;
        let began = Since::now();
        let group = format!("killed-{turn}");
        until("a write", SOON, async || {
            let answer = ground.operator.write(other, &group).await;
            answer.is_success().then_some(())
        })
        .await?;
        writes.push(began.elapsed());
        ground
            .until_seen(other, "the others own every agent", |seen| {
                seen.owned_without(leader) == all
            })
            .await?;
        owned.push(began.elapsed());
        ground.start_again(leader).await?;
    }
    let words = |times: &[Duration]| {
        let times: Vec<String> = times.iter().map(|time| seconds(*time)).collect();
        times.join(", ")
    };
    let reached = writes.iter().all(|took| *took <= Duration::from_secs(2));
    ground.report.aimed(
        "kill -9 of the leader: until another node has accepted a write; until its agents are owned by the others",
        &format!("{}; {}", words(&writes), words(&owned)),
        "write ≤ 2 s",
        reached,
    );
    let shown = ground.shown();
    not_disconnected(ground, "these kills", shown.disconnected, shown.stale);
    Ok(())
}
