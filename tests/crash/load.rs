//! Clients that change everything that can be changed, and remember what they were told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::process::{Api, answer};

/// A body by the numbers that it is made from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Body {
    seed: u64,
    bytes: usize,
}

impl Body {
    /// Mostly small, sometimes up to 1 MiB.
    fn random(dice: &mut StdRng) -> Self {
        let bytes = match dice.random_range(0..100) {
            0..70 => dice.random_range(100..4_000),
            70..92 => dice.random_range(4_000..60_000),
            92..98 => dice.random_range(60_000..400_000),
            _ => 1024 * 1024,
        };
        let seed = dice.random();
        Self { seed, bytes }
    }

    /// YAML of exactly that size: one text of letters.
    pub(crate) fn text(self) -> Vec<u8> {
        let mut dice = StdRng::seed_from_u64(self.seed);
        let head = format!("seed: {}\ntext: ", self.seed);
        let mut text = head.into_bytes();
        while text.len() < self.bytes {
            let word: u64 = dice.random();
            text.extend_from_slice(format!("w{word:x}").as_bytes());
        }
        text.truncate(self.bytes);
        text
    }
}

/// What one client was told, and what it does not know.
#[derive(Default)]
pub(crate) struct Told {
    /// Versions by configuration and number.
    pub(crate) versions: BTreeMap<(String, u64), (Body, String)>,
    /// Groups by name: the last priority that was acknowledged, and the last that was asked for.
    pub(crate) groups: BTreeMap<String, (i64, i64)>,
    /// Dispatches by idempotency key.
    pub(crate) dispatches: BTreeMap<String, String>,
    /// A dispatch that was asked for and not answered.
    pub(crate) open: Option<String>,
    next: u64,
    uploads: u64,
    priority: i64,
}

/// Versions per configuration: fewer than the fleet keeps, so that all that were acknowledged are still there.
const VERSIONS_EACH: u64 = 40;

/// One client; its names are its own.
pub(crate) struct Client {
    pub(crate) name: usize,
    pub(crate) told: Told,
    dice: StdRng,
}

impl Client {
    pub(crate) fn new(name: usize, seed: u64) -> Self {
        Self {
            name,
            told: Told::default(),
            dice: StdRng::seed_from_u64(seed),
        }
    }

    /// Changes one thing after the other until `stop` or until nobody answers.
    pub(crate) async fn run(&mut self, api: &Api, round: usize, stop: Arc<AtomicBool>) {
        while !stop.load(Ordering::Relaxed) {
            let answered = match self.dice.random_range(0..10) {
                0..6 => self.version(api, round).await,
                6..9 => self.group(api).await,
                _ => self.dispatch(api).await,
            };
            if answered.is_none() {
                return;
            }
        }
    }

    async fn version(&mut self, api: &Api, round: usize) -> Option<()> {
        let body = Body::random(&mut self.dice);
        let name = format!(
            "c{}-{}-{round}",
            self.name,
            self.told.uploads / VERSIONS_EACH
        );
        self.told.uploads += 1;
        let response = api.version(&name, body.text()).send().await.ok()?;
        let (status, made) = whole(response).await?;
        assert_eq!(status, StatusCode::CREATED, "{made}");
        let number = made["version"].as_u64().expect("a number");
        let hash = made["hash"].as_str().expect("a hash").to_owned();
        let before = self.told.versions.insert((name, number), (body, hash));
        assert!(before.is_none(), "a number was given twice");
        Some(())
    }

    async fn group(&mut self, api: &Api) -> Option<()> {
        let name = format!("g{}-{}", self.name, self.dice.random_range(0..5));
        self.told.priority += 1;
        let priority = self.told.priority;
        let known = self.told.groups.entry(name.clone()).or_insert((0, 0));
        known.1 = priority;
        let response = api
            .ask(Method::PUT, &format!("/api/v1/groups/{name}"))
            .json(&json!({"selector": "env=prod", "priority": priority}))
            .send()
            .await
            .ok()?;
        let (status, made) = whole(response).await?;
        assert!(status.is_success(), "{status} {made}");
        known.0 = priority;
        Some(())
    }

    async fn dispatch(&mut self, api: &Api) -> Option<()> {
        self.told.next += 1;
        let key = format!("d{}-{}", self.name, self.told.next);
        self.told.open = Some(key.clone());
        let id = dispatched(api, &key).await?;
        self.told.dispatches.insert(key, id);
        self.told.open = None;
        Some(())
    }

    /// Asks again for what was not answered: the same key makes no second one.
    pub(crate) async fn retry(&mut self, api: &Api) {
        if let Some(key) = self.told.open.take() {
            let id = dispatched(api, &key).await.expect("it answers");
            self.told.dispatches.insert(key, id);
        }
    }
}

/// Nobody matches: it is done at once and stays.
async fn dispatched(api: &Api, key: &str) -> Option<String> {
    let response = api
        .ask(Method::POST, "/api/v1/dispatches")
        .header("idempotency-key", key)
        .json(&json!({"action": {"restart": {}}, "target": {"selector": "env=none"}}))
        .send()
        .await
        .ok()?;
    let (status, made) = whole(response).await?;
    assert_eq!(status, StatusCode::ACCEPTED, "{made}");
    made["id"].as_str().map(str::to_owned)
}

/// An answer that came whole: a killed process sends halves.
async fn whole(response: reqwest::Response) -> Option<(StatusCode, Value)> {
    let status = response.status();
    let bytes = response.bytes().await.ok()?;
    Some((status, serde_json::from_slice(&bytes).ok()?))
}

/// Checks everything that a client was told since `round`.
pub(crate) async fn verify(api: &Api, told: &Told, round: usize) {
    let since = format!("-{round}");
    for ((name, number), (body, hash)) in &told.versions {
        if round == 0 || name.ends_with(&since) {
            let path = format!("/api/v1/configurations/{name}/versions/{number}");
            let (status, found) = api.get(&path).await;
            assert_eq!(status, StatusCode::OK, "lost {name} {number}");
            assert_eq!(found["hash"].as_str(), Some(&**hash));
            let bytes = found["files"][0]["body"].as_str().expect("text").as_bytes();
            assert!(bytes == body.text(), "{name} {number} has other bytes");
        }
    }
    for (name, (acknowledged, asked)) in &told.groups {
        let (status, found) = api.get(&format!("/api/v1/groups/{name}")).await;
        if *acknowledged > 0 || status != StatusCode::NOT_FOUND {
            assert_eq!(status, StatusCode::OK, "lost {name}");
            let priority = found["priority"].as_i64().expect("a number");
            assert!(
                (*acknowledged..=*asked).contains(&priority),
                "{name}: {priority}"
            );
        }
    }
    for (key, id) in &told.dispatches {
        let (status, _) = api.get(&format!("/api/v1/dispatches/{id}")).await;
        assert_eq!(status, StatusCode::OK, "lost dispatch {id} of {key}");
    }
}

/// All dispatches that the node knows.
pub(crate) async fn count_dispatches(api: &Api) -> usize {
    let (mut count, mut next) = (0, None::<String>);
    loop {
        let mut request = api.ask(Method::GET, "/api/v1/dispatches?limit=1000");
        if let Some(next) = &next {
            request = request.query(&[("continue", next)]);
        }
        let (status, page) = answer(request.send().await.expect("it answers")).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        count += page["items"].as_array().map_or(0, Vec::len);
        match page["continue"].as_str() {
            Some(more) => next = Some(more.to_owned()),
            None => return count,
        }
    }
}
