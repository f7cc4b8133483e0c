//! Attributes, health and components as text and JSON for people and selectors. It knows what the wire types
//! hold and nothing of records or limits of the fleet.
//!
//! Everything here recurses at most as deep as the decoder lets a message nest, which is 100 levels.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use crate::InstanceUid;
use crate::wire::{self, any_value};

/// One attribute in the form that selectors and people use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// Its key.
    pub key: String,
    /// A scalar as text; bytes in base64, null, arrays and maps as JSON.
    pub text: String,
    /// Whether selectors see it.
    pub scalar: bool,
}

/// Name, type and version of an agent, by the contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// `host.name`, else `service.instance.id`, else the uid.
    pub name: String,
    /// `service.name`, or empty.
    pub agent_type: String,
    /// `service.version`, or empty.
    pub agent_version: String,
}

/// Both lists merged: identifying wins, then the last of a key (C-107), sorted by key.
pub fn merged(description: &wire::AgentDescription) -> Vec<Attribute> {
    let lists = [
        &description.non_identifying_attributes,
        &description.identifying_attributes,
    ];
    let by_key: BTreeMap<&str, Option<&wire::AnyValue>> = lists
        .into_iter()
        .flatten()
        .map(|pair| (pair.key.as_str(), pair.value.as_ref()))
        .collect();
    by_key
        .into_iter()
        .map(|(key, value)| {
            let (text, scalar) = text(value);
            Attribute {
                key: key.to_owned(),
                text,
                scalar,
            }
        })
        .collect()
}

/// Reads name, type and version from merged attributes; empty values count as absent.
pub fn identity(attributes: &[Attribute], uid: InstanceUid) -> Identity {
    let find = |key: &str| {
        let index = attributes
            .binary_search_by(|attribute| attribute.key.as_str().cmp(key))
            .ok()?;
        let attribute = attributes.get(index)?;
        (attribute.scalar && !attribute.text.is_empty()).then(|| attribute.text.clone())
    };
    Identity {
        name: find("host.name")
            .or_else(|| find("service.instance.id"))
            .unwrap_or_else(|| uid.to_string()),
        agent_type: find("service.name").unwrap_or_default(),
        agent_version: find("service.version").unwrap_or_default(),
    }
}

/// A fixed 64-bit hash of the merged attributes: two agents that share a uid differ in it (C-274).
pub fn fingerprint(attributes: &[Attribute]) -> u64 {
    let mut bytes = Vec::new();
    for attribute in attributes {
        for part in [&attribute.key, &attribute.text] {
            bytes.extend_from_slice(&part.len().to_le_bytes());
            bytes.extend_from_slice(part.as_bytes());
        }
    }
    crate::frame::digest(&bytes)
}

fn text(value: Option<&wire::AnyValue>) -> (String, bool) {
    use any_value::Value as Any;
    match value.and_then(|value| value.value.as_ref()) {
        Some(Any::StringValue(text)) => (text.clone(), true),
        Some(Any::BoolValue(value)) => (value.to_string(), true),
        Some(Any::IntValue(value)) => (value.to_string(), true),
        Some(Any::DoubleValue(value)) => (value.to_string(), true),
        Some(Any::ArrayValue(_) | Any::KvlistValue(_) | Any::BytesValue(_)) | None => {
            (json(value).to_string(), false)
        }
    }
}

/// The value as JSON: bytes in base64, numbers that JSON cannot write as text, of a key the last.
fn json(value: Option<&wire::AnyValue>) -> Value {
    use any_value::Value as Any;
    match value.and_then(|value| value.value.as_ref()) {
        None => Value::Null,
        Some(Any::StringValue(text)) => Value::from(text.as_str()),
        Some(Any::BoolValue(value)) => Value::from(*value),
        Some(Any::IntValue(value)) => Value::from(*value),
        Some(Any::DoubleValue(value)) => match serde_json::Number::from_f64(*value) {
            Some(number) => Value::Number(number),
            None => Value::from(value.to_string()),
        },
        Some(Any::BytesValue(bytes)) => Value::from(STANDARD.encode(bytes)),
        Some(Any::ArrayValue(list)) => list
            .values
            .iter()
            .map(|value| json(Some(value)))
            .collect::<Vec<_>>()
            .into(),
        Some(Any::KvlistValue(list)) => map_json(&list.values),
    }
}

fn map_json(list: &[wire::KeyValue]) -> Value {
    let pairs = list
        .iter()
        .map(|pair| (pair.key.clone(), json(pair.value.as_ref())));
    Value::Object(pairs.collect::<Map<_, _>>())
}

/// The health tree as `/agents/{uid}/health` shows it.
pub fn health_json(health: &wire::ComponentHealth) -> Value {
    let components: Map<_, _> = health
        .component_health_map
        .iter()
        .map(|(name, below)| (name.clone(), health_json(below)))
        .collect();
    let mut shown = json!({
        "healthy": health.healthy,
        "status": health.status,
        "last_error": health.last_error,
        "start_time": time_json(health.start_time_unix_nano),
        "status_time": time_json(health.status_time_unix_nano),
        "components": components,
    });
    if !health.attributes.is_empty() {
        shown["attributes"] = map_json(&health.attributes);
    }
    shown
}

/// The component list as `/agents/{uid}/components` shows it, the agent's hash in lower-case hex.
pub fn components_json(list: &wire::AvailableComponents) -> Value {
    let hash: String = list.hash.iter().map(|byte| format!("{byte:02x}")).collect();
    json!({ "hash": hash, "components": details_json(&list.components) })
}

fn details_json(components: &BTreeMap<String, wire::ComponentDetails>) -> Value {
    let pairs = components.iter().map(|(name, details)| {
        let mut shown = Map::new();
        if !details.metadata.is_empty() {
            shown.insert("metadata".to_owned(), map_json(&details.metadata));
        }
        if !details.sub_component_map.is_empty() {
            shown.insert(
                "components".to_owned(),
                details_json(&details.sub_component_map),
            );
        }
        (name.clone(), Value::Object(shown))
    });
    Value::Object(pairs.collect())
}

/// RFC 3339 in UTC with milliseconds; null for 0 (C-108). The 64 bits end in the year 2554.
fn time_json(unix_nano: u64) -> Value {
    if unix_nano == 0 {
        return Value::Null;
    }
    let Ok(at) = OffsetDateTime::from_unix_timestamp_nanos(i128::from(unix_nano)) else {
        return Value::Null;
    };
    let (year, month, day) = at.to_calendar_date();
    let (hour, minute, second, millisecond) = at.to_hms_milli();
    let month = u8::from(month);
    Value::from(format!(
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millisecond:03}Z"
    ))
}

#[cfg(test)]
mod tests;
