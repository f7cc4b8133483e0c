//! An agent as REST shows it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use ampora_proto::capabilities;
use ampora_proto::capabilities::agent::REPORTS_HEARTBEAT;
use ampora_raft::ids::{InstanceUid, NodeId};
use ampora_raft::records::{AgentRecord, ConfigStatus, ReleaseReason, Session, Transport};
use serde::Serialize;
use utoipa::ToSchema;

use super::state::{AgentState, Owner, Windows, agent_state, standing};
use crate::api::Api;
use crate::api::backend::{Heard, Now, View};
use crate::api::groups::WouldChange;
use crate::api::redact;
use crate::api::timestamp::rfc3339;

/// One agent.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Agent {
    #[schema(value_type = String, format = "uuid")]
    instance_uid: InstanceUid,
    name: Arc<str>,
    agent_type: Arc<str>,
    agent_version: Arc<str>,
    /// `connected`, `stale` or `disconnected`.
    state: &'static str,
    /// `websocket` or `http`.
    transport: Option<&'static str>,
    /// The node that owns its session.
    owner_node: Option<u64>,
    /// The growing proof of that ownership.
    fence: Option<u64>,
    /// What it reports of itself; identifying attributes win.
    labels: BTreeMap<Arc<str>, Arc<str>>,
    /// It reported more than a record has room for.
    labels_truncated: bool,
    /// Given by operators; they hide reported ones of the same key.
    server_labels: BTreeMap<Arc<str>, Arc<str>>,
    /// By the names of the specification; unknown ones as `bit16`.
    capabilities: Vec<String>,
    custom_capabilities: Vec<Arc<str>>,
    health: Option<Health>,
    config: Config,
    packages: Option<Packages>,
    /// The one that it belongs to.
    group: Option<Arc<str>>,
    first_seen: String,
    last_seen: String,
    /// Whether the owner itself said it.
    last_seen_exact: bool,
    last_change: String,
    /// True in answers that changed nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) dry_run: Option<bool>,
    /// In answers to `dry_run`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) would_change: Option<WouldChange>,
}

/// What an agent says of itself.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AgentHealth)]
struct Health {
    healthy: bool,
    status: Arc<str>,
    last_error: Arc<str>,
    since: String,
}

/// How an agent stands to what it should run.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AgentConfig)]
struct Config {
    /// What it should run: the `hash` of a version.
    desired_hash: Option<String>,
    desired: Option<DesiredVersion>,
    /// Its last word, whichever hash it concerns.
    reported_hash: Option<String>,
    /// `unset`, `applying`, `applied` or `failed`: its last word.
    status: &'static str,
    /// The last failure of the desired hash.
    error: Arc<str>,
    /// What `/effective-config` answers.
    effective_hash: Option<String>,
    /// It accepts remote configuration and has not confirmed the desired hash.
    drifted: bool,
    /// `none`, `no_capability`, `offline`, `applying`, `failed`, `quarantined` or `outside_window`.
    why: &'static str,
    /// What a person can do about it.
    hint: Cow<'static, str>,
}

/// A version by name and number.
#[derive(Debug, Serialize, ToSchema)]
struct DesiredVersion {
    name: Arc<str>,
    version: u32,
}

/// Packages in short.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AgentPackages)]
struct Packages {
    offered_hash: String,
    installed: u32,
    pending: u32,
    failed: u32,
}

/// What one answer about agents looks at: one view and one moment for all of them.
pub(crate) struct Lens<'a> {
    api: &'a Api,
    view: &'a View,
    now: Now,
    windows: Windows,
    here: NodeId,
    /// Whether this node serves agents, in an incarnation of its own.
    started: bool,
    /// What other nodes know of agents whose sessions they own.
    heard: BTreeMap<InstanceUid, Heard>,
}

impl<'a> Lens<'a> {
    /// Looks at a view at this moment.
    pub(crate) fn new(api: &'a Api, view: &'a View) -> Lens<'a> {
        Lens {
            api,
            view,
            now: api.backend.now(),
            windows: Windows {
                silence_ms: api.settings.heartbeat_window_ms,
                ttl_ms: api.settings.ownership_ttl_ms,
            },
            here: api.backend.status().node,
            started: api.backend.health().started,
            heard: BTreeMap::new(),
        }
    }

    /// Asks the nodes that own the sessions of these agents when they heard them last.
    pub(crate) async fn ask_owners(&mut self, records: &[Arc<AgentRecord>]) {
        let mut owners: BTreeMap<NodeId, Vec<InstanceUid>> = BTreeMap::new();
        for record in records {
            let session = self.view.fleet.valid_session(record);
            if let Some(session) = session.filter(|session| session.node != self.here) {
                owners.entry(session.node).or_default().push(record.uid);
            }
        }
        if !owners.is_empty() {
            self.heard = self.api.backend.heard(owners).await;
        }
    }

    /// Who owns the agent's session.
    fn owner(&self, record: &AgentRecord) -> Owner {
        let Some(session) = record.session else {
            return Owner::Nobody;
        };
        if !self.view.fleet.session_valid(record) {
            return Owner::Dead {
                gone_ms: self.gone_ms(session),
            };
        }
        if session.node == self.here {
            match self.api.backend.presence(record.uid) {
                // what the fleet shows is the incarnation of before: this one is not registered yet
                None if !self.started => Owner::Dead { gone_ms: 0 },
                presence => Owner::Here(presence),
            }
        } else {
            let speaks = session.transport == Transport::Http
                || record.capabilities & REPORTS_HEARTBEAT != 0;
            let heard = self.heard.get(&record.uid).filter(|_| speaks);
            Owner::Elsewhere {
                silent_ms: heard.map(|heard| heard.silent_ms),
            }
        }
    }

    /// How long the incarnation that owns a session is over.
    fn gone_ms(&self, session: Session) -> u64 {
        let fleet = &self.view.fleet;
        let Some(node) = fleet.node(session.node) else {
            // removed: nobody says since when
            return u64::MAX;
        };
        if node.epoch > session.epoch {
            // people's time, and the latest that it can be
            return self.now.wall_ms.saturating_sub(node.registered_ms);
        }
        let lost_ms = fleet.liveness(node.id).and_then(|known| known.lost_ms);
        lost_ms.map_or(0, |lost_ms| self.now.fleet_ms.saturating_sub(lost_ms))
    }

    /// The state of an agent.
    pub(crate) fn state(&self, record: &AgentRecord) -> AgentState {
        agent_state(record, self.owner(record), self.now, self.windows)
    }

    /// An agent as REST shows it.
    pub(crate) fn agent(&self, record: &AgentRecord) -> Agent {
        let owner = self.owner(record);
        let state = agent_state(record, owner, self.now, self.windows);
        let presence = match owner {
            Owner::Here(presence) => presence,
            Owner::Elsewhere { .. } | Owner::Dead { .. } | Owner::Nobody => None,
        };
        let valid = record
            .session
            .filter(|_| matches!(owner, Owner::Here(_) | Owner::Elsewhere { .. }));
        let transport = presence
            .map(|presence| presence.transport)
            .or(valid.map(|session| session.transport));
        let heard = self.heard.get(&record.uid).map(|heard| heard.last_seen_ms);
        let heard = presence.map(|presence| presence.last_seen_ms).or(heard);
        let (last_seen_ms, last_seen_exact) = match (heard, record.released) {
            (Some(heard_ms), _) => (heard_ms, true),
            (None, Some(released))
                if record.session.is_none() && released.reason != ReleaseReason::OwnerDied =>
            {
                (released.wall_ms, true)
            }
            _ => (record.last_change_ms, false),
        };
        let description = &record.description;
        Agent {
            instance_uid: record.uid,
            name: description.name.clone(),
            agent_type: description.agent_type.clone(),
            agent_version: description.agent_version.clone(),
            state: state.as_str(),
            transport: transport.map(transport_name),
            owner_node: valid.map(|session| session.node.0),
            fence: valid.map(|session| session.fence.0),
            labels: description
                .labels
                .iter()
                .map(|label| (label.key.clone(), label.value.clone()))
                .collect(),
            labels_truncated: description.truncated,
            server_labels: record.server_labels.iter().cloned().collect(),
            capabilities: capability_names(record.capabilities),
            custom_capabilities: record.custom_capabilities.clone(),
            health: record.health.as_ref().map(|health| Health {
                healthy: health.healthy,
                status: shown(&health.status),
                last_error: shown(&health.last_error),
                since: rfc3339(health.since_ms),
            }),
            config: self.config(record, state),
            packages: record.packages.as_ref().map(|packages| Packages {
                offered_hash: hex::encode(&packages.offered_hash),
                installed: packages.installed,
                pending: packages.pending,
                failed: packages.failed,
            }),
            group: self
                .view
                .fleet
                .desired(record)
                .group
                .map(|group| group.name.clone()),
            first_seen: rfc3339(record.first_seen_ms),
            last_seen: rfc3339(last_seen_ms),
            last_seen_exact,
            last_change: rfc3339(record.last_change_ms),
            dry_run: None,
            would_change: None,
        }
    }

    fn config(&self, record: &AgentRecord, state: AgentState) -> Config {
        let desired = self.view.fleet.desired(record);
        let version = desired.version.as_ref();
        let standing = standing(record, &desired, &self.view.fleet, state);
        let group = desired.group.as_ref().map_or("", |group| &*group.name);
        let said = shown(&record.config.error);
        let concerns_desired =
            version.is_none_or(|version| record.config.failed_hash == Some(version.hash));
        Config {
            desired_hash: version.map(|version| version.hash.to_string()),
            desired: version.map(|version| DesiredVersion {
                name: version.configuration.clone(),
                version: version.version,
            }),
            reported_hash: record.config.reported_hash.as_ref().map(hex::encode),
            status: status_name(record.config.status),
            error: if concerns_desired {
                Arc::clone(&said)
            } else {
                Arc::from("")
            },
            effective_hash: record.effective.map(|hash| hash.to_string()),
            drifted: standing.drifted,
            why: standing.why.as_str(),
            hint: standing.why.hint(&said, group),
        }
    }
}

/// The spec's names of capability bits.
fn capability_names(bits: u64) -> Vec<String> {
    capabilities::names(bits)
        .into_iter()
        .map(Cow::into_owned)
        .collect()
}

/// A text of the agent without the secrets that error messages carry.
fn shown(text: &Arc<str>) -> Arc<str> {
    match redact::text(text) {
        Cow::Borrowed(_) => Arc::clone(text),
        Cow::Owned(shown) => Arc::from(shown),
    }
}

/// The word for a transport.
pub(crate) fn transport_name(transport: Transport) -> &'static str {
    match transport {
        Transport::WebSocket => "websocket",
        Transport::Http => "http",
    }
}

/// The word for a configuration status.
pub(crate) fn status_name(status: ConfigStatus) -> &'static str {
    match status {
        ConfigStatus::Unset => "unset",
        ConfigStatus::Applied => "applied",
        ConfigStatus::Applying => "applying",
        ConfigStatus::Failed => "failed",
    }
}
