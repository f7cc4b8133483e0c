//! How long pages take, one after another on one connection.

use std::time::Duration;

use ampora_raft::ids::InstanceUid;
use ampora_storage::history::event::EventKind;
use ampora_storage::history::query::Query;
use ampora_storage::postgres::Connection;
use ampora_storage::postgres::days::DAY_MS;
use ampora_storage::postgres::read::{fleet_at, history};
use serde_json::{Value, json};

use crate::{Arguments, crowd, now_ms, start};

/// Questions of each sort.
const ASKED: u64 = 500;

/// Items and agents of a page.
const LIMIT: u16 = 100;

/// A fixed walk over numbers, so that runs ask the same.
fn walk(at: u64) -> u64 {
    at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20
}

fn spread(mut times: Vec<Duration>) -> Value {
    times.sort();
    let at =
        |share: usize| (times[(times.len() - 1) * share / 100].as_secs_f64() * 1e4).round() / 10.0;
    json!({"p50_ms": at(50), "p95_ms": at(95), "max_ms": at(100)})
}

async fn page(
    connection: &mut Connection,
    arguments: &Arguments,
    at: u64,
    kinds: &[EventKind],
    until_ms: Option<u64>,
) -> anyhow::Result<Duration> {
    let query = Query {
        agent: crowd::agent(walk(at) % arguments.agents),
        since_ms: None,
        until_ms,
        kinds: kinds.to_vec(),
        below: None,
        limit: LIMIT,
    };
    let begun = start();
    let items = history(connection, &query).await?;
    anyhow::ensure!(
        until_ms.is_some() || !items.is_empty(),
        "an agent without history"
    );
    Ok(begun.elapsed())
}

/// Pages of agents, newest, of one kind, and from some past time on, and pages of the fleet at past times.
pub(crate) async fn ask(
    connection: &mut Connection,
    arguments: &Arguments,
) -> anyhow::Result<Value> {
    let now_ms = now_ms()?;
    let past = |at: u64| now_ms - walk(at + 7) % (arguments.days * DAY_MS - 3_600_000);
    let mut times = [const { Vec::new() }; 4];
    for at in 0..ASKED {
        times[0].push(page(connection, arguments, at, &[], None).await?);
        let kind = [EventKind::Description];
        times[1].push(page(connection, arguments, at + ASKED, &kind, None).await?);
        let until = Some(past(at));
        times[2].push(page(connection, arguments, at + 2 * ASKED, &[], until).await?);
        let after = crowd::agent(walk(at) % arguments.agents);
        let begun = start();
        fleet_at(connection, past(at), Some(after), LIMIT).await?;
        times[3].push(begun.elapsed());
    }
    let begun = start();
    let (mut after, mut agents) = (None::<InstanceUid>, 0);
    loop {
        let (page, next) = fleet_at(connection, past(1), after, 1000).await?;
        agents += page.len();
        after = next;
        if after.is_none() {
            break;
        }
    }
    let whole = begun.elapsed().as_secs_f64();
    let [newest, kind, past, fleet] = times.map(spread);
    Ok(json!({
        "newest_page": newest, "page_of_a_kind": kind, "past_page": past, "fleet_page": fleet,
        "whole_fleet": {"agents": agents, "seconds": (whole * 100.0).round() / 100.0},
    }))
}
