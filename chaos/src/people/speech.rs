//! What a simulated agent says, as bytes.

use std::collections::HashMap;

use ampora_proto::capabilities::agent as bits;
use ampora_proto::wire;
use bytes::Bytes;
use prost::Message;
use uuid::Uuid;

/// The custom messages that agents understand.
pub(super) const CAPABILITY: &str = "simulated";

const CAPABILITIES: u64 = bits::REPORTS_STATUS
    | bits::ACCEPTS_REMOTE_CONFIG
    | bits::REPORTS_REMOTE_CONFIG
    | bits::ACCEPTS_RESTART_COMMAND
    | bits::REPORTS_HEALTH
    | bits::REPORTS_HEARTBEAT;

/// What an agent knows of itself.
#[derive(Debug)]
pub(super) struct Speaker {
    pub(super) uid: Uuid,
    sequence: u64,
    round: u64,
    healthy: bool,
    applied: Bytes,
    status: wire::RemoteConfigStatuses,
    started_ns: u64,
}

fn text(key: &str, value: &str) -> wire::KeyValue {
    wire::KeyValue {
        key: key.to_owned(),
        value: Some(wire::AnyValue {
            value: Some(wire::any_value::Value::StringValue(value.to_owned())),
        }),
    }
}

fn framed(message: &wire::AgentToServer) -> Bytes {
    let mut out = vec![0];
    message.encode_raw(&mut out);
    out.into()
}

impl Speaker {
    pub(super) fn new(uid: Uuid) -> Self {
        Self {
            uid,
            sequence: 0,
            round: 1,
            healthy: true,
            applied: Bytes::new(),
            status: wire::RemoteConfigStatuses::Unset,
            started_ns: 1,
        }
    }

    /// The hash that it runs, if it runs what it was offered last.
    pub(super) fn applied(&self) -> &[u8] {
        &self.applied
    }

    /// How it said that it is.
    pub(super) fn is_healthy(&self) -> bool {
        self.healthy
    }

    fn message(&mut self) -> wire::AgentToServer {
        self.sequence += 1;
        wire::AgentToServer {
            instance_uid: Bytes::copy_from_slice(self.uid.as_bytes()),
            sequence_num: self.sequence,
            capabilities: CAPABILITIES,
            ..wire::AgentToServer::default()
        }
    }

    fn health(&self) -> wire::ComponentHealth {
        wire::ComponentHealth {
            healthy: self.healthy,
            start_time_unix_nano: self.started_ns,
            status: format!("round {}", self.round),
            status_time_unix_nano: self.round,
            component_health_map: HashMap::new().into_iter().collect(),
            ..wire::ComponentHealth::default()
        }
    }

    fn config_status(&self) -> wire::RemoteConfigStatus {
        wire::RemoteConfigStatus {
            last_remote_config_hash: self.applied.clone(),
            status: self.status.into(),
            error_message: String::new(),
        }
    }

    pub(super) fn everything(&mut self) -> Bytes {
        let description = wire::AgentDescription {
            identifying_attributes: vec![
                text("service.name", "simulated"),
                text("service.instance.id", &self.uid.to_string()),
            ],
            non_identifying_attributes: vec![text("os.type", "linux")],
        };
        let message = wire::AgentToServer {
            agent_description: Some(description),
            health: Some(self.health()),
            remote_config_status: Some(self.config_status()),
            custom_capabilities: Some(wire::CustomCapabilities {
                capabilities: vec![CAPABILITY.to_owned()],
            }),
            ..self.message()
        };
        framed(&message)
    }

    pub(super) fn heartbeat(&mut self) -> Bytes {
        framed(&self.message())
    }

    /// Its health changes.
    pub(super) fn turns(&mut self) -> Bytes {
        self.round += 1;
        self.healthy = !self.healthy;
        let message = wire::AgentToServer {
            health: Some(self.health()),
            ..self.message()
        };
        framed(&message)
    }

    /// It restarts: unhealthy, then healthy since later.
    pub(super) fn restarts(&mut self) -> Vec<Bytes> {
        self.started_ns += 1;
        self.healthy = true;
        vec![self.turns(), self.turns()]
    }

    /// It was offered a configuration.
    pub(super) fn offered(&mut self, hash: Bytes, fails: bool) -> Vec<Bytes> {
        self.applied = hash;
        let mut said = Vec::new();
        let end = if fails {
            wire::RemoteConfigStatuses::Failed
        } else {
            wire::RemoteConfigStatuses::Applied
        };
        for status in [wire::RemoteConfigStatuses::Applying, end] {
            self.status = status;
            let message = wire::AgentToServer {
                remote_config_status: Some(self.config_status()),
                ..self.message()
            };
            said.push(framed(&message));
        }
        said
    }
}
