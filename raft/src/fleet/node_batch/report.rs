//! A report: deciding fields of an agent that the node owns. Values equal to those known change nothing.

use std::sync::Arc;

use super::super::Fleet;
use super::super::blame::Failure;
use super::super::context::Context;
use super::super::limits::{DETAIL_BYTES_MAX, OPAQUE_HASH_BYTES_MAX};
use super::super::sizes::record_bytes;
use super::Owner;
use crate::effect::Effect;
use crate::ids::{ConfigHash, InstanceUid};
use crate::outcome::OpOutcome;
use crate::records::{AgentRecord, AgentUpdate, ConfigReport, ConfigState, ConfigStatus, Health};

impl Fleet {
    pub(super) fn report(
        &mut self,
        cx: &mut Context<'_>,
        owner: Owner,
        uid: InstanceUid,
        update: &AgentUpdate,
    ) -> OpOutcome {
        let Some(known) = self.agents.get(&uid) else {
            return OpOutcome::NotOwner;
        };
        if !owner.owns(known) {
            return OpOutcome::NotOwner;
        }
        let mut agent = (**known).clone();
        take_update(&mut agent, update, cx.wall_ms);
        agent.home = owner.node;
        if agent == **known {
            return OpOutcome::Done;
        }
        if !within_limits(&agent) {
            return OpOutcome::TooLarge;
        }
        let placement = agent.description != known.description;
        agent.last_change_ms = cx.wall_ms;
        let failure = Failure::of(known, &agent);
        self.put_agent(cx, agent);
        cx.effect(Effect::AgentChanged { uid, placement });
        if let Some(failure) = failure {
            self.blame(cx, uid, &failure);
        }
        OpOutcome::Done
    }
}

fn take_update(agent: &mut AgentRecord, update: &AgentUpdate, wall_ms: u64) {
    if let Some(description) = &update.description {
        agent.description = Arc::clone(description);
    }
    if let Some(capabilities) = update.capabilities.filter(|bits| *bits != 0) {
        agent.capabilities = capabilities;
    }
    if let Some(health) = &update.health {
        agent.health = Some(take_health(agent.health.as_ref(), health, wall_ms));
    }
    if let Some(report) = &update.config {
        take_config(&mut agent.config, report);
    }
    if let Some(hash) = update.sent_hash {
        agent.config.sent_hash = Some(hash);
    }
    if let Some(effective) = update.effective {
        agent.effective = Some(effective);
    }
    if let Some(hash) = &update.components_hash
        && agent.components_hash.as_ref() != Some(hash)
    {
        agent.components_hash = Some(hash.clone());
        agent.components = None;
    }
    if let Some(components) = update.components {
        agent.components = Some(components);
    }
    if let Some(packages) = &update.packages {
        agent.packages = Some(packages.clone());
    }
    if let Some(names) = &update.custom_capabilities {
        agent.custom_capabilities.clone_from(names);
    }
}

/// The healthy bit has its age from the entry that turned it.
fn take_health(known: Option<&Health>, given: &Health, wall_ms: u64) -> Health {
    let since_ms = match known {
        Some(known) if known.healthy == given.healthy => known.since_ms,
        Some(_) | None => wall_ms,
    };
    Health {
        since_ms,
        ..given.clone()
    }
}

/// A failure is remembered with its text until the same hash is applied or another one fails; a report
/// about another hash, as a rollback sends, leaves it. Hashes that are not ours cannot be blamed.
fn take_config(config: &mut ConfigState, report: &ConfigReport) {
    config.reported_hash = (!report.hash.is_empty()).then(|| report.hash.clone());
    config.status = report.status;
    let Ok(hash) = <[u8; 32]>::try_from(report.hash.as_slice()) else {
        return;
    };
    let hash = ConfigHash(hash);
    match report.status {
        ConfigStatus::Failed => {
            config.failed_hash = Some(hash);
            config.error = Arc::clone(&report.error);
        }
        ConfigStatus::Applied if config.failed_hash == Some(hash) => {
            config.failed_hash = None;
            config.error = Arc::default();
        }
        ConfigStatus::Applied | ConfigStatus::Applying | ConfigStatus::Unset => {}
    }
}

fn within_limits(agent: &AgentRecord) -> bool {
    let opaque = [
        agent.config.reported_hash.as_ref(),
        agent.components_hash.as_ref(),
        agent
            .packages
            .as_ref()
            .map(|packages| &packages.offered_hash),
    ];
    let health = agent.health.as_ref();
    let texts = [
        health.map(|health| &health.status),
        health.map(|health| &health.last_error),
        Some(&agent.config.error),
    ];
    opaque
        .into_iter()
        .flatten()
        .all(|hash| hash.len() <= OPAQUE_HASH_BYTES_MAX)
        && texts
            .into_iter()
            .flatten()
            .all(|text| text.len() <= DETAIL_BYTES_MAX)
        && record_bytes(agent) <= AgentRecord::BYTES_MAX
}
