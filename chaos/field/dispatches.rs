//! Restarts that are asked for at a steady pace, and what became of each of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context;
use futures_util::{StreamExt, stream};
use reqwest::Method;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::operator::{Answer, Operator};
use crate::wait::Since;

/// Dispatches that are looked up at a time.
const LOOKS_AT_ONCE: usize = 8;

/// A restart that was sent has to be confirmed within 120 s, and the node that says so may just be another one.
const ENDS_WITHIN: Duration = Duration::from_secs(180);

/// Agents, each in its turn.
#[derive(Clone)]
pub(crate) struct Targets {
    uids: Arc<Vec<String>>,
    next: Arc<AtomicUsize>,
}

impl Targets {
    pub(crate) fn new(uids: Vec<String>) -> Self {
        Self {
            uids: Arc::new(uids),
            next: Arc::default(),
        }
    }

    fn next(&self) -> String {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let uid = self.uids.get(number % self.uids.len().max(1));
        uid.cloned().unwrap_or_default()
    }
}

/// What the calls were answered.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    /// Ids of dispatches.
    pub(crate) accepted: Vec<String>,
    /// Refused without effect, by code.
    pub(crate) refused: BTreeMap<String, usize>,
    /// Not answered, or answered that it may have taken effect.
    pub(crate) unknown: usize,
}

impl Asked {
    fn take(&mut self, answer: &Answer) {
        let text = |name: &str| answer.body[name].as_str().unwrap_or_default().to_owned();
        if answer.is_success() {
            self.accepted.push(text("id"));
        } else if answer.status != 0 && text("may_have_taken_effect") == "no" {
            *self.refused.entry(text("code")).or_default() += 1;
        } else {
            self.unknown += 1;
        }
    }

    /// In words.
    pub(crate) fn words(&self) -> String {
        let refused: usize = self.refused.values().sum();
        let (accepted, unknown) = (self.accepted.len(), self.unknown);
        format!("{accepted} accepted, {refused} refused, {unknown} not known")
    }
}

/// Asks one node to restart one agent.
pub(crate) async fn restart(operator: &Operator, slot: u64, uid: &str) -> Answer {
    let form = json!({"action": {"restart": {}}, "target": {"agent": uid}});
    operator
        .ask(slot, Method::POST, "/dispatches", Some(&form))
        .await
}

/// Calls that go on until they are stopped.
pub(crate) struct Pace {
    stop: watch::Sender<bool>,
    tasks: JoinSet<Asked>,
}

impl Pace {
    /// Begins to ask, through these nodes in turn.
    pub(crate) fn begin(
        operator: &Operator,
        targets: &Targets,
        slots: &[u64],
        per_second: u32,
    ) -> Self {
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let ask = ask(
            operator.clone(),
            targets.clone(),
            slots.to_vec(),
            Duration::from_secs(1) / per_second,
            stopped,
        );
        tasks.spawn(ask);
        Self { stop, tasks }
    }

    /// Asks no more, and waits for the answers.
    pub(crate) async fn stop(mut self) -> anyhow::Result<Asked> {
        self.stop.send_replace(true);
        let asked = self.tasks.join_next().await.context("a task")?;
        Ok(asked?)
    }
}

async fn ask(
    operator: Operator,
    targets: Targets,
    slots: Vec<u64>,
    period: Duration,
    mut stopped: watch::Receiver<bool>,
) -> Asked {
    let mut tick = tokio::time::interval(period);
    let mut calls = JoinSet::new();
    let mut asked = Asked::default();
    for slot in slots.into_iter().cycle() {
        tokio::select! {
            _ = tick.tick() => {}
            _ = stopped.wait_for(|stopped| *stopped) => break,
        }
        let (operator, uid) = (operator.clone(), targets.next());
        calls.spawn(async move { restart(&operator, slot, &uid).await });
        while let Some(Ok(answer)) = calls.try_join_next() {
            asked.take(&answer);
        }
    }
    while let Some(Ok(answer)) = calls.join_next().await {
        asked.take(&answer);
    }
    asked
}

/// What became of dispatches to one agent each.
#[derive(Debug, Default)]
pub(crate) struct Ends {
    pub(crate) succeeded: usize,
    /// By error.
    pub(crate) failed: BTreeMap<String, usize>,
    /// Not at their end, or not there.
    pub(crate) open: usize,
    /// Milliseconds from queued to marked as sent, in order, by the node that owns the agent.
    sent_ms: BTreeMap<u64, Vec<i128>>,
    /// Milliseconds from queued to the end, in order; of those that succeeded.
    pub(crate) ended_ms: Vec<i128>,
}

impl Ends {
    fn take(&mut self, dispatch: &Value) {
        let delivery = &dispatch["deliveries"][0];
        match delivery["state"].as_str().unwrap_or_default() {
            "succeeded" => {
                self.succeeded += 1;
                self.ended_ms.extend(between(delivery, "finished_at"));
            }
            "failed" | "expired" | "cancelled" => {
                let error = delivery["error"].as_str().unwrap_or("no error").to_owned();
                *self.failed.entry(error).or_default() += 1;
            }
            _ => self.open += 1,
        }
        let owner = delivery["owner_node"].as_u64().unwrap_or_default();
        let sent_ms = self.sent_ms.entry(owner).or_default();
        sent_ms.extend(between(delivery, "sent_at"));
    }

    /// Milliseconds from queued to marked as sent, in order, for agents that this node does not own.
    pub(crate) fn sent_without(&self, slot: u64) -> Vec<i128> {
        let others = self.sent_ms.iter().filter(|(owner, _)| **owner != slot);
        let mut sent: Vec<i128> = others.flat_map(|(_, sent)| sent).copied().collect();
        sent.sort_unstable();
        sent
    }

    /// In words.
    pub(crate) fn words(&self) -> String {
        let failed: Vec<String> = self
            .failed
            .iter()
            .map(|(error, count)| format!(", {count} failed ({error})"))
            .collect();
        let (succeeded, open) = (self.succeeded, self.open);
        format!(
            "{succeeded} succeeded{}, {open} without an end",
            failed.concat()
        )
    }
}

fn between(delivery: &Value, end: &str) -> Option<i128> {
    let at = |name: &str| OffsetDateTime::parse(delivery[name].as_str()?, &Rfc3339).ok();
    let length = at(end)? - at("queued_at")?;
    Some(length.whole_milliseconds())
}

/// The value that so many of a hundred do not exceed.
pub(crate) fn percentile(sorted: &[i128], of_hundred: usize) -> i128 {
    let index = (sorted.len() * of_hundred).div_ceil(100).max(1) - 1;
    sorted.get(index).copied().unwrap_or_default()
}

/// Waits until each of these has an end, and says which.
pub(crate) async fn ends(operator: &Operator, slot: u64, ids: &[String]) -> Ends {
    let began = Since::now();
    loop {
        let look = |id: &String| {
            let path = format!("/dispatches/{id}");
            async move { operator.get(slot, &path).await.body }
        };
        let looks: Vec<_> = ids.iter().map(look).collect();
        let mut ends = Ends::default();
        let mut found = stream::iter(looks).buffer_unordered(LOOKS_AT_ONCE);
        while let Some(dispatch) = found.next().await {
            ends.take(&dispatch);
        }
        if ends.open == 0 || began.elapsed() > ENDS_WITHIN {
            ends.ended_ms.sort_unstable();
            return ends;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// All dispatches that the fleet has, those among them that nobody was told of.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) succeeded: u64,
    /// Failed, expired or cancelled.
    pub(crate) failed: u64,
    pub(crate) open: u64,
}

impl Totals {
    async fn read(operator: &Operator, slot: u64) -> Option<Self> {
        let mut totals = Self::default();
        let mut further = String::new();
        loop {
            let path = format!("/dispatches?limit=1000{further}");
            let page = operator.get(slot, &path).await.body;
            for dispatch in page["items"].as_array()? {
                let count = |state: &str| dispatch["counts"][state].as_u64().unwrap_or_default();
                totals.succeeded += count("succeeded");
                totals.failed += count("failed") + count("expired") + count("cancelled");
                totals.open += count("queued") + count("sent");
            }
            match page["continue"].as_str() {
                Some(place) => further = format!("&continue={place}"),
                None => return Some(totals),
            }
        }
    }

    /// Waits until each has an end, and counts them.
    pub(crate) async fn of_fleet(operator: &Operator, slot: u64) -> anyhow::Result<Self> {
        let began = Since::now();
        loop {
            let totals = Self::read(operator, slot).await.context("dispatches")?;
            if totals.open == 0 || began.elapsed() > ENDS_WITHIN {
                return Ok(totals);
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}
