//! What the files of reported bodies hold: protobuf as the agents sent it, read for people.

use std::io;

use ampora_proto::{attributes, wire};
use bytes::Bytes;
use prost::Message;
use serde_json::{Value, json};

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

/// Package statuses as JSON, by name; how far a download has got is left out.
///
/// # Errors
/// Fails when the body is none.
pub fn packages(body: Vec<u8>) -> io::Result<Value> {
    let list = wire::PackageStatuses::decode(Bytes::from(body)).map_err(io::Error::other)?;
    let packages = list.packages.iter().map(|(name, package)| {
        json!({
            "name": name,
            "version": package.agent_has_version,
            "offered_version": package.server_offered_version,
            "status": package_status(package.status),
            "error": package.error_message,
        })
    });
    Ok(json!({
        "offered_hash": hex::encode(&list.server_provided_all_packages_hash),
        "error": list.error_message,
        "packages": packages.collect::<Vec<_>>(),
    }))
}

/// The word for the status of a package.
fn package_status(number: i32) -> &'static str {
    use wire::PackageStatusEnum as Status;
    match Status::try_from(number) {
        Ok(Status::Installed) => "installed",
        Ok(Status::InstallPending) => "install_pending",
        Ok(Status::Installing) => "installing",
        Ok(Status::InstallFailed) => "install_failed",
        Ok(Status::Downloading) => "downloading",
        Err(_) => "unknown",
    }
}
