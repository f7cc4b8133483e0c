//! How large a record or operation is, by our own counting: an upper bound of its encoding.
//!
//! It never depends on a codec, because `apply` decides by it. Numbers count 9 bytes (the longest varint), texts and
//! byte strings their length and 9, options and tags 1, hashes and uids 33 and 17.

use crate::proposal::SessionOp;
use crate::records::{AgentRecord, AgentUpdate, Description, Health, PackageAggregate};

const NUMBER: usize = 9;
const HASH: usize = 33;
const UID: usize = 17;
const SESSION: usize = 3 * NUMBER + 2;
const RELEASED: usize = 3 * NUMBER + 3;

/// Bytes of an encoded record, at most.
pub fn record_bytes(agent: &AgentRecord) -> usize {
    let labels = agent
        .server_labels
        .iter()
        .map(|(key, value)| text(key) + text(value));
    let config = &agent.config;
    UID + description_bytes(&agent.description)
        + NUMBER
        + labels.sum::<usize>()
        + NUMBER
        + 1
        + agent.health.as_ref().map_or(0, health_bytes)
        + 1
        + config.reported_hash.as_deref().map_or(0, bytes)
        + 1
        + 2 * HASH
        + text(&config.error)
        + 3 * HASH
        + agent.components_hash.as_deref().map_or(0, bytes)
        + 1
        + agent.packages.as_ref().map_or(0, packages_bytes)
        + NUMBER
        + 1
        + SESSION
        + 1
        + RELEASED
        + 2 * NUMBER
}

/// Bytes of an encoded description, at most; an edge trims labels by it.
pub fn description_bytes(description: &Description) -> usize {
    let labels = description.labels.iter();
    text(&description.name)
        + text(&description.agent_type)
        + text(&description.agent_version)
        + NUMBER
        + labels
            .map(|label| text(&label.key) + text(&label.value) + 1)
            .sum::<usize>()
        + 1
}

/// Bytes of an encoded operation, at most; a batch holds
/// [`super::limits::ENTRY_BYTES_MAX`] of them.
pub fn op_bytes(op: &SessionOp) -> usize {
    match op {
        SessionOp::Claim { .. } => 1 + UID + 1 + NUMBER + 1,
        SessionOp::Release { .. } => 1 + UID + NUMBER + 1 + 1 + NUMBER,
        SessionOp::Report { update, .. } => 1 + UID + update_bytes(update),
        SessionOp::Rename { .. } => 1 + 2 * UID,
    }
}

fn update_bytes(update: &AgentUpdate) -> usize {
    let config = update.config.as_ref();
    9 + update.description.as_deref().map_or(0, description_bytes)
        + NUMBER
        + update.health.as_ref().map_or(0, health_bytes)
        + config.map_or(0, |report| bytes(&report.hash) + 1 + text(&report.error))
        + 3 * HASH
        + update.components_hash.as_deref().map_or(0, bytes)
        + update.packages.as_ref().map_or(0, packages_bytes)
}

fn health_bytes(health: &Health) -> usize {
    1 + text(&health.status) + text(&health.last_error) + NUMBER + HASH
}

fn packages_bytes(packages: &PackageAggregate) -> usize {
    bytes(&packages.offered_hash) + 3 * NUMBER
}

fn text(value: &str) -> usize {
    NUMBER + value.len()
}

fn bytes(value: &[u8]) -> usize {
    NUMBER + value.len()
}
