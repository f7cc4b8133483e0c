//! Restarts at a hundred a second: how long they take to the socket, and what a node that joins does to that.

use std::time::Duration;

use anyhow::Context;

use crate::age::Ages;
use crate::dispatches::{self, Asked, Ends, Pace, Totals, percentile};
use crate::ground::{Ground, SOON};
use crate::report::note;
use crate::wait::{Since, seconds};

const PER_SECOND: u32 = 100;

/// How long is asked.
const LENGTH: Duration = Duration::from_secs(20);

/// Before and after the node that joins has done so.
const AROUND: Duration = Duration::from_secs(5);

/// Where the 99th percentile should be.
const AIM_MS: f64 = 50.0;

/// Through all nodes in turn.
pub(crate) async fn hundred_a_second(ground: &mut Ground) -> anyhow::Result<()> {
    note("restarts, a hundred a second");
    let slots = ground.slots();
    let before = Ages::until_now(&ground.operator, &slots).await;
    let pace = Pace::begin(&ground.operator, &ground.targets, &slots, PER_SECOND);
    tokio::time::sleep(LENGTH).await;
    let asked = pace.stop().await?;
    let ends = dispatches::ends(&ground.operator, 1, &asked.accepted).await;
    let ages = Ages::until_now(&ground.operator, &slots).await;
    said(ground, "100 restarts a second", &ages.since(&before));
    counted(ground, "100 restarts a second", &asked, &ends).await
}

/// A fourth node comes while restarts are asked for.
pub(crate) async fn learner(ground: &mut Ground) -> anyhow::Result<()> {
    note("a fourth node joins under 100 restarts a second");
    let slots = ground.slots();
    let first = Ages::until_now(&ground.operator, &slots).await;
    let pace = Pace::begin(&ground.operator, &ground.targets, &slots, PER_SECOND);
    tokio::time::sleep(AROUND).await;
    let before = Ages::until_now(&ground.operator, &slots).await;
    let began = Since::now();
    ground.start(4).await?;
    let serves = began.elapsed();
    let leader = ground.leader().await?;
    let learns = |node: &crate::operator::Member| {
        node.id == 4 && node.live && node.role == "learner" && node.lag == Some(0)
    };
    ground
        .until_seen(leader, "a learner that has everything", |seen| {
            seen.nodes.iter().any(learns)
        })
        .await?;
    let took = began.elapsed();
    let joined = Ages::until_now(&ground.operator, &slots).await;
    tokio::time::sleep(AROUND).await;
    let asked = pace.stop().await?;
    let last = Ages::until_now(&ground.operator, &slots).await;
    ground.report.figure(
        "a fourth node joins under 100 restarts a second: until it serves; until it has every entry, as a learner",
        &format!("{}; {}", seconds(serves), seconds(took)),
    );
    said(ground, "before it", &before.since(&first));
    said(ground, "while it joins", &joined.since(&before));
    said(ground, "after it", &last.since(&joined));
    let ends = dispatches::ends(&ground.operator, 4, &asked.accepted).await;
    counted(ground, "while a fourth node joins", &asked, &ends).await?;
    ground.one_cluster(SOON).await.map(drop)
}

fn said(ground: &mut Ground, when: &str, ages: &Ages) {
    let (half, most) = (ages.quantile_ms(0.5), ages.quantile_ms(0.99));
    ground.report.aimed(
        &format!("{when}: from accepted to the socket, p50 and p99"),
        &format!("{half:.0} ms and {most:.0} ms of {:.0}", ages.count()),
        "p99 ≤ 50 ms",
        most <= AIM_MS,
    );
}

/// That each dispatch has one end, those too whose call was not answered, and that agents did what the ends say.
pub(crate) async fn counted(
    ground: &mut Ground,
    when: &str,
    asked: &Asked,
    ends: &Ends,
) -> anyhow::Result<()> {
    let took = |of_hundred| percentile(&ends.ended_ms, of_hundred);
    ground.report.must(
        &format!(
            "{when}: restarts that were asked for; what became of them, from accepted to confirmed"
        ),
        &format!(
            "{}; {}, p50 {} ms, p99 {} ms",
            asked.words(),
            ends.words(),
            took(50),
            took(99)
        ),
        "an end each",
        ends.open == 0,
    );
    let slot = *ground.slots().last().context("a node")?;
    let totals = Totals::of_fleet(&ground.operator, slot).await?;
    let Totals {
        succeeded,
        failed,
        open,
    } = totals;
    let restarts = ground.restarts();
    ground.report.must(
        "all dispatches of the fleet so far: succeeded, failed, without an end; restarts that agents carried out",
        &format!("{succeeded}, {failed}, {open}; {restarts}"),
        "no restart twice",
        open == 0 && (succeeded..=succeeded + failed).contains(&restarts),
    );
    Ok(())
}
