//! From what an agent says to what the fleet remembers: wire messages become deciding fields, and the
//! bodies behind them become files. A record stays under its limit whatever an agent sends.

use std::sync::Arc;

use ampora_proto::attributes::{self, Attribute};
use ampora_proto::session::Report;
use ampora_proto::wire;
use ampora_raft::ids::InstanceUid;
use ampora_raft::records::{
    AgentUpdate, ConfigReport, ConfigStatus, Description, Health, Label, PackageAggregate,
};
use bytes::Bytes;
use prost::Message;

use super::bodies::ReportedBodies;

/// Texts that ride along with deciding fields (design §4).
const TEXT_BYTES_MAX: usize = 512;

/// Opaque hashes of agents: SHA-512 is the longest in use.
const HASH_BYTES_MAX: usize = 64;

/// All labels of a record together: half of its 4 KiB, the rest is for four texts and the hashes.
const LABELS_BYTES_MAX: usize = 2048;

/// What a report changes, with the bodies put away. `wall_ms` stamps a health that `apply` finds changed.
pub fn update(
    uid: InstanceUid,
    report: Report,
    bodies: &ReportedBodies,
    wall_ms: u64,
) -> AgentUpdate {
    let components = report.available_components;
    AgentUpdate {
        description: report
            .description
            .map(|description| Arc::new(self::description(uid, &description))),
        capabilities: report.capabilities,
        health: report.health.map(|tree| health(&tree, bodies, wall_ms)),
        config: report.remote_config_status.map(config_report),
        sent_hash: None,
        effective: report
            .effective_config
            .map(|config| bodies.put(config.encode_to_vec().into())),
        components_hash: components
            .as_ref()
            .filter(|list| !list.hash.is_empty())
            .map(|list| clip_bytes(&list.hash)),
        components: components
            .filter(|list| !list.components.is_empty())
            .map(|list| bodies.put(list.encode_to_vec().into())),
        packages: report.package_statuses.map(|statuses| packages(&statuses)),
    }
}

/// The description as selectors and people see it, cut to what a record may hold: identifying attributes
/// and short ones stay, and the cut is said.
pub fn description(uid: InstanceUid, reported: &wire::AgentDescription) -> Description {
    let attributes = attributes::merged(reported);
    let identity = attributes::identity(&attributes, uid);
    let mut labels = Vec::new();
    let mut bytes = 0;
    let mut truncated = false;
    for Attribute { key, text, scalar } in attributes {
        let size = key.len() + text.len() + 8;
        if text.len() > TEXT_BYTES_MAX || bytes + size > LABELS_BYTES_MAX {
            truncated = true;
            continue;
        }
        bytes += size;
        labels.push(Label {
            key: key.into(),
            value: text.into(),
            scalar,
        });
    }
    Description {
        name: clip(&identity.name),
        agent_type: clip(&identity.agent_type),
        agent_version: clip(&identity.agent_version),
        labels,
        truncated,
    }
}

fn health(tree: &wire::ComponentHealth, bodies: &ReportedBodies, wall_ms: u64) -> Health {
    Health {
        healthy: tree.healthy,
        status: clip(&tree.status),
        last_error: clip(&tree.last_error),
        since_ms: wall_ms,
        body: Some(bodies.put(Bytes::from(tree.encode_to_vec()))),
    }
}

/// A status number that this version does not know is kept as unset (C-314).
fn config_report(status: wire::RemoteConfigStatus) -> ConfigReport {
    ConfigReport {
        hash: clip_bytes(&status.last_remote_config_hash),
        status: match wire::RemoteConfigStatuses::try_from(status.status) {
            Ok(wire::RemoteConfigStatuses::Applied) => ConfigStatus::Applied,
            Ok(wire::RemoteConfigStatuses::Applying) => ConfigStatus::Applying,
            Ok(wire::RemoteConfigStatuses::Failed) => ConfigStatus::Failed,
            Ok(wire::RemoteConfigStatuses::Unset) | Err(_) => ConfigStatus::Unset,
        },
        error: clip(&status.error_message),
    }
}

fn packages(statuses: &wire::PackageStatuses) -> PackageAggregate {
    let mut sum = PackageAggregate {
        offered_hash: clip_bytes(&statuses.server_provided_all_packages_hash),
        installed: 0,
        pending: 0,
        failed: 0,
    };
    for package in statuses.packages.values() {
        match wire::PackageStatusEnum::try_from(package.status) {
            Ok(wire::PackageStatusEnum::Installed) => sum.installed += 1,
            Ok(wire::PackageStatusEnum::InstallFailed) => sum.failed += 1,
            Ok(
                wire::PackageStatusEnum::InstallPending
                | wire::PackageStatusEnum::Installing
                | wire::PackageStatusEnum::Downloading,
            )
            | Err(_) => sum.pending += 1,
        }
    }
    sum
}

/// The first 512 bytes, cut between characters.
pub fn clip(text: &str) -> Arc<str> {
    let mut end = text.len().min(TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].into()
}

fn clip_bytes(hash: &[u8]) -> Vec<u8> {
    hash[..hash.len().min(HASH_BYTES_MAX)].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters() {
        let text = "é".repeat(400);
        let cut = clip(&text);
        assert!(cut.len() <= TEXT_BYTES_MAX && text.starts_with(&*cut));
        assert_eq!(&*clip("short"), "short");
    }
}
