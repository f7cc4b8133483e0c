//! What the files of reported bodies hold: protobuf as the agents sent it, read for people.

use std::io;

use ampora_proto::{attributes, wire};
use bytes::Bytes;
use prost::Message;
use serde_json::Value;

/// The files of an effective configuration, by name.
///
/// # Errors
/// Fails when the body is none.
pub fn files(body: Vec<u8>) -> io::Result<Vec<(String, wire::AgentConfigFile)>> {
    let config = wire::EffectiveConfig::decode(Bytes::from(body)).map_err(io::Error::other)?;
    let files = config.config_map.unwrap_or_default().config_map;
    Ok(files.into_iter().collect())
}

/// A health tree as JSON.
///
/// # Errors
/// Fails when the body is none.
pub fn health(body: Vec<u8>) -> io::Result<Value> {
    let tree = wire::ComponentHealth::decode(Bytes::from(body)).map_err(io::Error::other)?;
    Ok(attributes::health_json(&tree))
}

/// The available components of a list as JSON, by kind; their hash is a field of the record.
///
/// # Errors
/// Fails when the body is none.
pub fn components(body: Vec<u8>) -> io::Result<Value> {
    let list = wire::AvailableComponents::decode(Bytes::from(body)).map_err(io::Error::other)?;
    Ok(attributes::components_json(&list)["components"].take())
}
