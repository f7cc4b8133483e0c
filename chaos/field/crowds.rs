//! The agents: a crowd over all nodes, and small ones that know one node alone and tell how it treats them.

use std::time::Duration;

use ampora::simulate::{Crowd, Plan, Profile};

use crate::lab;

/// Agents that know one node alone.
pub(crate) const WITNESSES: usize = 20;

/// What sets witnesses apart from the crowd.
pub(crate) const WITNESS: &str = "role=witness";

/// Seeds of crowds do not overlap: agents with the same number and seed are the same agents.
const CROWD_SEED: u64 = 1;

fn plan(slots: &[u64], agents: usize, rate: u32, role: &str, seed: u64) -> anyhow::Result<Plan> {
    let mut urls = Vec::new();
    for slot in slots {
        urls.push(format!("ws://{}:4320/v1/opamp", lab::address(*slot)).parse()?);
    }
    Ok(Plan {
        urls,
        agents,
        per_socket: 1,
        profile: Profile::Idle,
        connects_per_second: rate,
        heartbeat: Duration::from_secs(30),
        in_flight: 1,
        effective_bytes: 300,
        resume: true,
        labels: vec![("role".to_owned(), role.to_owned())],
        seed,
    })
}

/// Agents spread over these nodes, who go to the next one when theirs is gone.
pub(crate) async fn crowd(slots: &[u64], agents: usize, rate: u32) -> anyhow::Result<Crowd> {
    let plan = plan(slots, agents, rate, "crowd", CROWD_SEED)?;
    Ok(Crowd::start(plan).await?)
}

/// Agents of one node, who say something every second; each `seed` gives others.
pub(crate) async fn witnesses(slot: u64, agents: usize, seed: u64) -> anyhow::Result<Crowd> {
    let plan = Plan {
        heartbeat: Duration::from_secs(1),
        ..plan(&[slot], agents, 1000, "witness", CROWD_SEED + seed)?
    };
    Ok(Crowd::start(plan).await?)
}
