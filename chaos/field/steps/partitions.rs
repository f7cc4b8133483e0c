//! The leader cut off from both others, in both directions and in one; then a network that loses packets.

use std::time::Duration;

use anyhow::Context;
use reqwest::Method;
use serde_json::json;
use tokio::task::JoinSet;

use crate::crowds::{self, WITNESS, WITNESSES};
use crate::dispatches::{self, Pace, percentile};
use crate::ground::{Ground, SOON};
use crate::lab::{self, Way};
use crate::operator::Answer;
use crate::report::note;
use crate::steps::paces;
use crate::wait::{Since, seconds, until};

/// Restarts a second all the while.
const PER_SECOND: u32 = 20;

/// Before the cut, so that some are under way at that moment.
const BEFORE: Duration = Duration::from_secs(2);

/// New agents that come to the old leader past its lease.
const LATE: usize = 5;

/// What a node says when its lease has ended.
const LAPSED: &str = "no quorum renews this node";

/// Between two writes that are tried.
const BETWEEN_WRITES: Duration = Duration::from_millis(100);

/// How long the old leader is looked at without a lease.
const LAPSED_FOR: Duration = Duration::from_secs(5);

/// What is cut.
#[derive(Clone, Copy)]
struct Cut {
    name: &'static str,
    sends: bool,
    hears: bool,
}

const CUTS: [Cut; 3] = [
    Cut {
        name: "the leader cut off, both ways",
        sends: false,
        hears: false,
    },
    Cut {
        name: "the leader sends and hears nobody",
        sends: true,
        hears: false,
    },
    Cut {
        name: "the leader hears and reaches nobody",
        sends: false,
        hears: true,
    },
];

impl Cut {
    fn ways(self, leader: u64, others: &[u64]) -> Vec<Way> {
        let out = others.iter().map(|other| (leader, *other));
        let back = others.iter().map(|other| (*other, leader));
        let out = out.filter(|_| !self.sends);
        out.chain(back.filter(|_| !self.hears)).collect()
    }
}

/// What a small crowd has seen.
#[derive(Clone, Copy)]
struct Counts {
    replies: u64,
    offers: u64,
    lost: u64,
}

/// Each of them.
pub(crate) async fn all(ground: &mut Ground) -> anyhow::Result<()> {
    for slot in ground.slots() {
        let crowd = crowds::witnesses(slot, WITNESSES, slot).await?;
        ground.witnesses.push((slot, crowd));
    }
    ground.one_cluster(SOON).await?;
    assign(ground, 1, "first: 1\n").await?;
    for (turn, cut) in CUTS.into_iter().enumerate() {
        partition(ground, turn, cut).await?;
    }
    Ok(())
}

/// Gives the witnesses a configuration.
async fn assign(ground: &Ground, slot: u64, text: &str) -> anyhow::Result<()> {
    let files = json!([{"name": "", "content_type": "text/yaml", "body": text}]);
    let form = json!({"files": files});
    let path = "/configurations/witness/versions";
    let ask = |method, path, form| async move {
        let answer = ground.operator.ask(slot, method, path, Some(form)).await;
        anyhow::ensure!(answer.is_success(), "{answer:?}");
        Ok(answer.body)
    };
    let made = ask(Method::POST, path, &form).await?;
    let form = json!({
        "selector": WITNESS,
        "configuration": {"name": "witness", "version": made["version"]},
        "pace": "all-at-once",
    });
    ask(Method::PUT, "/groups/witness", &form).await.map(drop)
}

/// What the witnesses of a node have seen, those who came late left out.
fn witnessed(ground: &Ground, slot: u64) -> Counts {
    let mut theirs = ground.witnesses.iter().filter(|(of, _)| *of == slot);
    let summary = theirs.next().map(|(_, crowd)| crowd.summary());
    summary.map_or(
        Counts {
            replies: 0,
            offers: 0,
            lost: 0,
        },
        |summary| Counts {
            replies: summary.replies,
            offers: summary.offers_applied,
            lost: summary.connections_lost,
        },
    )
}

async fn partition(ground: &mut Ground, turn: usize, cut: Cut) -> anyhow::Result<()> {
    let leader = ground.leader().await?;
    let others = ground.others(leader);
    let majority = *others.first().context("another node")?;
    note(&format!("{}; node {leader} leads", cut.name));
    ground.shown();
    let lost = ground.total(|crowd| crowd.connections_lost);
    let renamed = ground.total(|crowd| crowd.renamed);
    let lapses = lapses(ground, leader)?;
    let slots = ground.slots();
    let pace = Pace::begin(&ground.operator, &ground.targets, &slots, PER_SECOND);
    tokio::time::sleep(BEFORE).await;

    lab::cut(&cut.ways(leader, &others))?;
    let began = Since::now();
    written(ground, cut, majority, turn, began).await?;
    let knows = until("the lease of the old leader ends", SOON, async || {
        let now = self::lapses(ground, leader).ok()?;
        (now > lapses).then(|| began.elapsed())
    })
    .await?;
    ground.report.figure(
        &format!("{}: until its lease has ended", cut.name),
        &seconds(knows),
    );
    let late = meanwhile(ground, turn, cut, leader, majority).await?;

    lab::heal()?;
    let healing = Since::now();
    let whole = ground.one_cluster(SOON).await?;
    until("offers to those who waited", SOON, async || {
        let newcomers = ground.witnesses.last()?.1.summary();
        let theirs = witnessed(ground, leader).offers;
        let all = newcomers.offers_applied >= LATE as u64 && theirs > late.offers;
        all.then_some(())
    })
    .await?;
    ground.report.figure(
        &format!("{}, healed: until all is one cluster with every agent owned; until the offers that waited are out", cut.name),
        &format!("{}; {}", seconds(whole), seconds(healing.elapsed())),
    );
    let asked = pace.stop().await?;
    let ends = dispatches::ends(&ground.operator, majority, &asked.accepted).await;
    let sent = ends.sent_without(leader);
    ground.report.figure(
        &format!("{}: restarts of agents of the others, before, meanwhile and after: from accepted to marked as sent, p50, p99, the last", cut.name),
        &format!(
            "{} ms, {} ms, {} ms of {}",
            percentile(&sent, 50),
            percentile(&sent, 99),
            percentile(&sent, 100),
            sent.len()
        ),
    );
    paces::counted(ground, cut.name, &asked, &ends).await?;
    let shown = ground.shown();
    let (lost, renamed) = (
        ground.total(|crowd| crowd.connections_lost) - lost,
        ground.total(|crowd| crowd.renamed) - renamed,
    );
    let agents = ground.agents();
    ground.report.must(
        &format!("{}, from before to after: agents; connections lost; uids changed; shown as disconnected, as stale, at most", cut.name),
        &format!("{agents}; {lost}; {renamed}; {}, {}", shown.disconnected, shown.stale),
        "0, 0, 0 disconnected",
        lost == 0 && renamed == 0 && shown.disconnected == 0,
    );
    Ok(())
}

fn lapses(ground: &Ground, slot: u64) -> anyhow::Result<usize> {
    Ok(ground.node(slot)?.log().matches(LAPSED).count())
}

/// Until the majority accepts a write, of those that are tried all the while; and what the first was answered, which is
/// on its way when the leader goes.
async fn written(
    ground: &mut Ground,
    cut: Cut,
    majority: u64,
    turn: usize,
    began: Since,
) -> anyhow::Result<()> {
    let mut calls = JoinSet::new();
    let mut tick = tokio::time::interval(BETWEEN_WRITES);
    let (mut accepted, mut first) = (None, None);
    let mut tries = 0;
    while accepted.is_none() || first.is_none() {
        tokio::select! {
            _ = tick.tick(), if accepted.is_none() => {
                let (operator, group) = (ground.operator.clone(), format!("cut-{turn}-{tries}"));
                let number = tries;
                tries += 1;
                calls.spawn(async move { (number, operator.write(majority, &group).await) });
            }
            Some(Ok((number, answer))) = calls.join_next() => {
                if answer.is_success() {
                    accepted.get_or_insert(began.elapsed());
                }
                if number == 0 {
                    first = Some((answer, began.elapsed()));
                }
            }
        }
        anyhow::ensure!(began.elapsed() < SOON, "no write is accepted");
    }
    let took = accepted.context("a write")?;
    ground.report.aimed(
        &format!("{}: until the majority accepts a write", cut.name),
        &seconds(took),
        "≤ 2 s",
        took <= Duration::from_secs(2),
    );
    let (first, after) = first.context("an answer")?;
    ground.report.figure(
        &format!(
            "{}: what a change that was asked for at that moment was answered",
            cut.name
        ),
        &format!("{}, after {}", words(&first), seconds(after)),
    );
    Ok(())
}

/// What the old leader does and does not do past its lease.
async fn meanwhile(
    ground: &mut Ground,
    turn: usize,
    cut: Cut,
    leader: u64,
    majority: u64,
) -> anyhow::Result<Counts> {
    let other = ground.others(leader);
    let before = witnessed(ground, leader);
    let theirs: u64 = other
        .iter()
        .map(|slot| witnessed(ground, *slot).offers)
        .sum();
    let late = crowds::witnesses(leader, LATE, 100 + turn as u64).await?;
    ground.witnesses.push((leader, late));
    assign(ground, majority, &format!("turn: {turn}\n")).await?;
    let refused = ground.operator.write(leader, "never").await;
    let read = ground.operator.get(leader, "/groups").await;
    tokio::time::sleep(LAPSED_FOR).await;
    let after = witnessed(ground, leader);
    let now: u64 = other
        .iter()
        .map(|slot| witnessed(ground, *slot).offers)
        .sum();
    let newcomers = ground.witnesses.last().map(|(_, crowd)| crowd.summary());
    let newcomers = newcomers.context("those who came late")?;
    let is_stale = read.headers.contains_key("ampora-stale");
    ground.report.must(
        &format!(
            "{}: the old leader refuses a change; marks a read stale",
            cut.name
        ),
        &format!("{}; {is_stale}", words(&refused)),
        "503, retryable, without effect; true",
        refused.status == 503 && refused.body["may_have_taken_effect"] == "no" && is_stale,
    );
    let replies = after.replies - before.replies;
    let offers = after.offers - before.offers + newcomers.offers_applied;
    ground.report.must(
        &format!("{}: in the {} s past its lease the old leader acknowledged so many messages of {WITNESSES} agents, of {LATE} that came then; offered to them; lost connections", cut.name, LAPSED_FOR.as_secs()),
        &format!("{replies}, {}; {offers}; {}", newcomers.replies, after.lost - before.lost),
        "≥ 4 each, > 0; 0; 0",
        replies >= 4 * WITNESSES as u64 && newcomers.replies > 0 && offers == 0 && after.lost == before.lost,
    );
    let wanted = (WITNESSES * other.len()) as u64;
    ground.report.must(
        &format!(
            "{}: the others offered what was assigned meanwhile to so many of their {wanted}",
            cut.name
        ),
        &format!("{}", now - theirs),
        "all",
        now - theirs == wanted,
    );
    Ok(after)
}

fn words(answer: &Answer) -> String {
    let text = |name: &str| answer.body[name].as_str().unwrap_or("nothing").to_owned();
    format!("{} {} ({})", answer.status, text("code"), text("detail"))
}

/// Every packet between nodes may be lost.
pub(crate) async fn loss(ground: &mut Ground) -> anyhow::Result<()> {
    note("a network that loses packets");
    let length = Duration::from_secs(30);
    let slots = ground.slots();
    let pairs = slots
        .iter()
        .flat_map(|from| slots.iter().map(move |to| (*from, *to)));
    let ways: Vec<Way> = pairs.filter(|(from, to)| from != to).collect();
    ground.shown();
    let term = ground.operator.cluster(1).await.context("an answer")?.term;
    let lost = ground.total(|crowd| crowd.connections_lost);
    let pace = Pace::begin(&ground.operator, &ground.targets, &slots, PER_SECOND);
    lab::lose_some(&ways)?;
    let began = Since::now();
    let (mut writes, mut tries) = (0, 0);
    while began.elapsed() < length {
        let group = format!("lossy-{tries}");
        tries += 1;
        writes += usize::from(ground.operator.write(1, &group).await.is_success());
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    lab::heal()?;
    let whole = ground.one_cluster(SOON).await?;
    let asked = pace.stop().await?;
    let ends = dispatches::ends(&ground.operator, 1, &asked.accepted).await;
    let terms = ground.operator.cluster(1).await.context("an answer")?.term - term;
    let name = format!(
        "{} % of packets between nodes lost for half a minute",
        lab::LOST_PER_CENT
    );
    ground.report.figure(
        &format!("{name}: writes accepted of those tried; terms gone through; healed: until all is one cluster"),
        &format!("{writes} of {tries}; {terms}; {}", seconds(whole)),
    );
    paces::counted(ground, &name, &asked, &ends).await?;
    let shown = ground.shown();
    let lost = ground.total(|crowd| crowd.connections_lost) - lost;
    ground.report.must(
        &format!("{name}: agents' connections lost; shown as disconnected, as stale, at most"),
        &format!("{lost}; {}, {}", shown.disconnected, shown.stale),
        "0; 0 disconnected",
        lost == 0 && shown.disconnected == 0,
    );
    Ok(())
}
