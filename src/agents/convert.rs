//! From what an agent says to what the fleet remembers: wire messages become deciding fields, and the
//! bodies behind them become files. A record stays under its limit whatever an agent sends.

use std::sync::Arc;

use ampora_proto::attributes::{self, Attribute};
use ampora_proto::session::Report;
use ampora_proto::wire;
use ampora_raft::fleet::sizes::{SERVER_LABELS_ROOM, label_bytes};
use ampora_raft::ids::{BodyHash, InstanceUid};
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

/// Custom capabilities of a record, and the bytes of a name: reverse domain names are short.
const CUSTOM_CAPABILITIES_MAX: usize = 4;
const CUSTOM_CAPABILITY_BYTES_MAX: usize = 64;

/// A host name may have 253 bytes; types, versions and words for health are short.
const NAME_BYTES_MAX: usize = 256;
const TYPE_BYTES_MAX: usize = 128;
const WORD_BYTES_MAX: usize = 64;

/// All labels of a record together: what of its 4 KiB the rest can never need, labels of operators included.
const LABELS_BYTES_MAX: usize = 1552 - SERVER_LABELS_ROOM;

/// The bodies of a report as they were put away.
#[derive(Debug, Default)]
pub struct Encoded {
    /// `ComponentHealth`.
    pub health: Option<Bytes>,
    /// `EffectiveConfig`.
    pub effective: Option<Bytes>,
}

/// What a report changes, with the bodies put away. `wall_ms` stamps a health that `apply` finds changed.
pub fn update(
    uid: InstanceUid,
    report: &Report,
    bodies: &ReportedBodies,
    wall_ms: u64,
) -> (AgentUpdate, Encoded) {
    let encoded = Encoded {
        health: report.health.as_ref().map(encode),
        effective: report.effective_config.as_ref().map(encode),
    };
    let health_body = encoded.health.clone().map(|body| bodies.put(body));
    let components = report.available_components.as_ref();
    let update = AgentUpdate {
        description: report
            .description
            .as_ref()
            .map(|description| Arc::new(self::description(uid, description))),
        capabilities: report.capabilities,
        health: report
            .health
            .as_ref()
            .map(|tree| health(tree, health_body, wall_ms)),
        config: report.remote_config_status.as_ref().map(config_report),
        sent_hash: None,
        effective: encoded.effective.clone().map(|body| bodies.put(body)),
        components_hash: components
            .filter(|list| !list.hash.is_empty())
            .map(|list| clip_bytes(&list.hash)),
        components: components
            .filter(|list| !list.components.is_empty())
            .map(|list| bodies.put(encode(list))),
        packages: report.package_statuses.as_ref().map(packages),
        custom_capabilities: report.custom_capabilities.as_ref().map(custom_capabilities),
    };
    (update, encoded)
}

fn encode(message: &impl Message) -> Bytes {
    message.encode_to_vec().into()
}

/// Names that are too long or too many are left out: a message for them is refused, as for a name that the
/// agent never said.
fn custom_capabilities(said: &wire::CustomCapabilities) -> Vec<Arc<str>> {
    let fits = said
        .capabilities
        .iter()
        .filter(|name| name.len() <= CUSTOM_CAPABILITY_BYTES_MAX);
    let first = fits.take(CUSTOM_CAPABILITIES_MAX);
    first.map(|name| Arc::from(name.as_str())).collect()
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
        let size = label_bytes(&key, &text);
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
        name: clip_to(&identity.name, NAME_BYTES_MAX),
        agent_type: clip_to(&identity.agent_type, TYPE_BYTES_MAX),
        agent_version: clip_to(&identity.agent_version, WORD_BYTES_MAX),
        labels,
        truncated,
    }
}

fn health(tree: &wire::ComponentHealth, body: Option<BodyHash>, wall_ms: u64) -> Health {
    Health {
        healthy: tree.healthy,
        status: clip_to(&tree.status, 2 * WORD_BYTES_MAX),
        last_error: clip(&tree.last_error),
        since_ms: wall_ms,
        body,
    }
}

/// A status number that this version does not know is kept as unset (C-314).
fn config_report(status: &wire::RemoteConfigStatus) -> ConfigReport {
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
    clip_to(text, TEXT_BYTES_MAX)
}

fn clip_to(text: &str, bytes_max: usize) -> Arc<str> {
    let mut end = text.len().min(bytes_max);
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

    /// An agent that says as much as it can of everything.
    fn verbose() -> Report {
        let text = || "x".repeat(5_000);
        let string = |key: String| wire::KeyValue {
            key,
            value: Some(wire::AnyValue {
                value: Some(wire::any_value::Value::StringValue("v".repeat(90))),
            }),
        };
        let mut attributes: Vec<_> = (0..200).map(|n| string(format!("key.{n}"))).collect();
        for key in ["host.name", "service.name", "service.version"] {
            let mut attribute = string(key.to_owned());
            attribute.value = Some(wire::AnyValue {
                value: Some(wire::any_value::Value::StringValue(text())),
            });
            attributes.push(attribute);
        }
        Report {
            description: Some(wire::AgentDescription {
                identifying_attributes: attributes,
                ..Default::default()
            }),
            capabilities: Some(u64::MAX),
            health: Some(wire::ComponentHealth {
                last_error: text(),
                status: text(),
                ..Default::default()
            }),
            effective_config: Some(wire::EffectiveConfig::default()),
            remote_config_status: Some(wire::RemoteConfigStatus {
                last_remote_config_hash: vec![1; 5_000].into(),
                status: wire::RemoteConfigStatuses::Failed.into(),
                error_message: text(),
            }),
            package_statuses: Some(wire::PackageStatuses {
                server_provided_all_packages_hash: vec![1; 5_000].into(),
                ..Default::default()
            }),
            custom_capabilities: Some(wire::CustomCapabilities {
                capabilities: (0..100).map(|n| format!("{n:064}")).collect(),
            }),
            available_components: Some(wire::AvailableComponents {
                hash: vec![1; 5_000].into(),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    #[test]
    fn whatever_an_agent_says_its_record_is_taken() {
        use ampora_raft::fleet::limits::SERVER_LABELS_MAX;
        use ampora_raft::fleet::sizes::record_bytes;
        use ampora_raft::records::{AgentRecord, ConfigState};
        let dir = tempfile::tempdir().expect("a directory");
        let files = ampora_storage::bodies::Bodies::open(dir.path()).expect("opens");
        let bodies = ReportedBodies::start(files).expect("starts");
        let uid = InstanceUid::from_u128(1);
        let (update, _) = update(uid, &verbose(), &bodies, u64::MAX);
        let label = |n: usize| (format!("{n:02}").into(), "v".repeat(14).into());
        let server_labels: Vec<_> = (0..SERVER_LABELS_MAX).map(label).collect();
        let config = update.config.expect("a status");
        let record = AgentRecord {
            uid,
            description: update.description.expect("a description"),
            server_labels,
            capabilities: u64::MAX,
            health: update.health,
            config: ConfigState {
                reported_hash: Some(config.hash),
                status: config.status,
                error: config.error,
                ..ConfigState::default()
            },
            effective: update.effective,
            components_hash: update.components_hash,
            components: None,
            packages: update.packages,
            home: ampora_raft::ids::NodeId(u64::MAX),
            session: None,
            released: None,
            first_seen_ms: u64::MAX,
            last_change_ms: u64::MAX,
            custom_capabilities: update.custom_capabilities.expect("a list"),
        };
        let bytes = record_bytes(&record);
        assert!(bytes <= AgentRecord::BYTES_MAX, "{bytes} bytes");
        assert!(bytes > AgentRecord::BYTES_MAX * 9 / 10, "{bytes} bytes");
        assert!(record.description.truncated);
    }
}
