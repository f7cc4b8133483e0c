//! What agents say: small makers of wire messages.

use std::collections::BTreeMap;

use ampora_proto::wire::any_value::Value;
use ampora_proto::wire::{
    AgentConfigFile, AgentConfigMap, AgentDescription, AgentDisconnect, AgentToServer, AnyValue,
    ComponentHealth, EffectiveConfig, KeyValue, RemoteConfigStatus, RemoteConfigStatuses,
};
use ampora_proto::{identity, wire};
use bytes::Bytes;
use uuid::Uuid;

/// What a collector under a supervisor announces, as far as this suite needs it: status, remote configuration,
/// effective configuration, restart, health and status of the remote configuration.
pub(crate) const CAPABILITIES: u64 = 0x1C07;

/// A uid that nobody else has.
pub(crate) fn uid() -> Uuid {
    identity::uuid_v7(1_800_000_000_000, ampora::entropy::bytes())
}

/// A name that nobody else has, fit for labels, groups and configurations.
pub(crate) fn name() -> String {
    let bytes: [u8; 6] = ampora::entropy::bytes();
    format!("c{}", hex::encode(bytes))
}

/// An attribute.
pub(crate) fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
    }
}

/// A text attribute.
pub(crate) fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

/// A description: a collector, and these labels.
pub(crate) fn description(labels: &[(&str, &str)]) -> AgentDescription {
    AgentDescription {
        identifying_attributes: vec![text("service.name", "conformance")],
        non_identifying_attributes: labels.iter().map(|(key, value)| text(key, value)).collect(),
    }
}

/// Health.
pub(crate) fn health(healthy: bool, status: &str) -> ComponentHealth {
    ComponentHealth {
        healthy,
        status: status.to_owned(),
        ..ComponentHealth::default()
    }
}

/// An effective configuration: names and bodies.
pub(crate) fn effective(files: &[(&str, &[u8])]) -> EffectiveConfig {
    let file = |body: &[u8]| AgentConfigFile {
        body: Bytes::copy_from_slice(body),
        content_type: "text/yaml".to_owned(),
        ..AgentConfigFile::default()
    };
    let files = files
        .iter()
        .map(|(name, body)| ((*name).to_owned(), file(body)));
    EffectiveConfig {
        config_map: Some(AgentConfigMap {
            config_map: files.collect::<BTreeMap<_, _>>(),
        }),
    }
}

/// The word on a remote configuration.
pub(crate) fn status(hash: &[u8], status: RemoteConfigStatuses, error: &str) -> RemoteConfigStatus {
    RemoteConfigStatus {
        last_remote_config_hash: Bytes::copy_from_slice(hash),
        status: status.into(),
        error_message: error.to_owned(),
    }
}

/// A message with nothing but a uid and a number.
pub(crate) fn bare(uid: Uuid, sequence_num: u64) -> AgentToServer {
    AgentToServer {
        instance_uid: Bytes::copy_from_slice(uid.as_bytes()),
        sequence_num,
        ..AgentToServer::default()
    }
}

/// Goodbye.
pub(crate) fn goodbye(message: &mut AgentToServer) {
    message.agent_disconnect = Some(AgentDisconnect {});
}

/// A length-delimited field of any number.
pub(crate) fn field(number: u32, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    prost::encoding::encode_key(number, prost::encoding::WireType::LengthDelimited, &mut out);
    prost::encoding::encode_varint(bytes.len() as u64, &mut out);
    out.extend_from_slice(bytes);
    out
}

/// The kind of an error reply; `None` when it is no error.
pub(crate) fn error(message: &wire::ServerToAgent) -> Option<wire::ServerErrorResponseType> {
    message
        .error_response
        .as_ref()
        .map(wire::ServerErrorResponse::r#type)
}

/// Whether a reply refuses a malformed message.
pub(crate) fn is_bad_request(message: &wire::ServerToAgent) -> bool {
    error(message) == Some(wire::ServerErrorResponseType::BadRequest)
}

/// Whether a message asks for the full state.
pub(crate) fn asks_full_state(message: &wire::ServerToAgent) -> bool {
    message.flags & 0x1 != 0
}

/// Whether a message asks for the components.
pub(crate) fn asks_components(message: &wire::ServerToAgent) -> bool {
    message.flags & 0x2 != 0
}
