//! What an agent reported besides its deciding fields: effective configuration, health tree, components.

use serde_json::{Map, Value};

use crate::cli::client::configs::files_text;
use crate::cli::client::output::View;
use crate::cli::client::text::{Look, age, cell, found, items, plain};

/// How an effective configuration is shown.
pub(super) const EFFECTIVE_CONFIG: View = View {
    text: |answer, _| format!("hash {}\n{}", cell(answer, "/hash"), files_text(answer)),
    names: |answer| {
        items(answer, "files")
            .iter()
            .map(|file| cell(file, "/name"))
            .collect()
    },
};

/// How health is shown.
pub(super) const HEALTH: View = View {
    text: |answer, look| {
        let mut text = String::new();
        health_lines("agent", answer, 0, look, &mut text);
        text
    },
    names: |answer| names(answer.get("components")),
};

/// How components are shown.
pub(super) const COMPONENTS: View = View {
    text: |answer, _| {
        let mut text = format!("hash {}\n", cell(answer, "/hash"));
        tree_lines(
            answer.get("components").unwrap_or(&Value::Null),
            0,
            &mut text,
        );
        text
    },
    names: |answer| names(answer.get("components")),
};

/// Levels of a tree that are shown; REST bounds them too.
const DEPTH_MAX: usize = 32;

fn names(components: Option<&Value>) -> Vec<String> {
    let components = components.and_then(Value::as_object);
    let keys = components.into_iter().flat_map(Map::keys);
    keys.map(|name| plain(name).into_owned()).collect()
}

/// A component with those inside it, indented.
fn health_lines(name: &str, health: &Value, depth: usize, look: &Look, text: &mut String) {
    let word = match health.get("healthy").and_then(Value::as_bool) {
        Some(true) => "healthy",
        Some(false) => "unhealthy",
        None => "-",
    };
    text.push_str(&format!("{:1$}{2} {word}", "", depth * 2, plain(name)));
    if let Some(status) = found(health, "/status") {
        text.push_str(&format!(", {status}"));
    }
    if found(health, "/status_time").is_some() {
        text.push_str(&format!(", {}", age(health, "/status_time", look.now_ms)));
    }
    if let Some(error) = found(health, "/last_error") {
        text.push_str(&format!(": {error}"));
    }
    text.push('\n');
    let inner = health.get("components").and_then(Value::as_object);
    for (name, health) in inner
        .into_iter()
        .flatten()
        .take_while(|_| depth < DEPTH_MAX)
    {
        health_lines(name, health, depth + 1, look, text);
    }
}

/// Names with their values, indented; what says nothing is left out.
fn tree_lines(value: &Value, depth: usize, text: &mut String) {
    let fields = value.as_object().into_iter().flatten();
    for (name, inner) in fields.take_while(|_| depth < DEPTH_MAX) {
        let indent = format!("{:1$}{2}", "", depth * 2, plain(name));
        match found(inner, "") {
            Some(scalar) => text.push_str(&format!("{indent}: {scalar}\n")),
            None if inner.is_object() => {
                text.push_str(&format!("{indent}\n"));
                tree_lines(inner, depth + 1, text);
            }
            None if inner.as_array().is_some_and(|list| !list.is_empty()) => {
                text.push_str(&format!("{indent}: {}\n", plain(&inner.to_string())));
            }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const LOOK: Look = Look {
        is_wide: false,
        now_ms: 60_000,
    };

    #[test]
    fn health_is_a_tree_with_its_errors() {
        let answer = json!({
            "healthy": true, "status": "StatusOK", "last_error": "", "status_time": "1970-01-01T00:00:50.000Z",
            "components": {"pipeline:traces": {"healthy": false, "status": "", "last_error": "refused", "components": {
                "exporter:otlp": {"healthy": false},
            }}},
        });
        assert_eq!(
            (HEALTH.text)(&answer, &LOOK),
            "agent healthy, StatusOK, 10s ago\n\
             \u{20} pipeline:traces unhealthy: refused\n\
             \u{20}   exporter:otlp unhealthy\n"
        );
        assert_eq!((HEALTH.names)(&answer), ["pipeline:traces"]);
    }

    #[test]
    fn components_are_a_tree_of_names() {
        let answer = json!({"hash": "h", "components": {
            "receivers": {"components": {"otlp": {"metadata": {"version": "1"}}, "nop": {}}},
        }});
        assert_eq!(
            (COMPONENTS.text)(&answer, &LOOK),
            "hash h\nreceivers\n  components\n    nop\n    otlp\n      metadata\n        version: 1\n"
        );
    }

    #[test]
    fn effective_configuration_is_shown_file_by_file() {
        let answer = json!({"hash": "h", "files": [{"name": "a.yaml", "content_type": "", "body": "a: 1\n"}]});
        assert_eq!(
            (EFFECTIVE_CONFIG.text)(&answer, &LOOK),
            "hash h\n\n# file a.yaml\na: 1\n"
        );
        assert_eq!((EFFECTIVE_CONFIG.names)(&answer), ["a.yaml"]);
    }
}
