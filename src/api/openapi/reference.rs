//! The document in short, for `docs/rest.md`: a change of what is promised shows there.

use std::fmt::Write;

use serde_json::{Map, Value};

/// Every call with its role, parameters and answers, and every shape with its fields.
#[must_use]
pub fn reference() -> String {
    let document = super::document();
    let mut text = String::from("\n| call | role | parameters | answers |\n|---|---|---|---|\n");
    for (path, item) in fields(&document["paths"]) {
        for (method, operation) in fields(item) {
            let method = method.to_ascii_uppercase();
            let role = operation["x-role"].as_str().unwrap_or("open");
            let parameters = parameters(operation);
            let answers: Vec<&str> = fields(&operation["responses"])
                .map(|(status, _)| status.as_str())
                .collect();
            let answers = answers.join(" ");
            // writing to a string does not fail
            let _ = writeln!(
                text,
                "| {method} `{path}` | {role} | {parameters} | {answers} |"
            );
        }
    }
    text.push_str("\nA field with `?` may be left out.\n\n| shape | fields |\n|---|---|\n");
    for (name, schema) in fields(&document["components"]["schemas"]) {
        let _ = writeln!(text, "| {name} | {} |", shape(schema));
    }
    text.push('\n');
    text
}

fn fields(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

/// Parameters of query and headers, and media types of the body.
fn parameters(operation: &Value) -> String {
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    let named = parameters
        .filter(|one| one["in"] != "path")
        .filter_map(|one| one["name"].as_str());
    let bodies = fields(&operation["requestBody"]["content"]).map(|(media, _)| media.as_str());
    let words: Vec<String> = named
        .chain(bodies)
        .map(|word| format!("`{word}`"))
        .collect();
    words.join(" ")
}

fn shape(schema: &Value) -> String {
    let required = schema["required"].as_array();
    let is_required = |name: &str| {
        required.is_some_and(|required| required.iter().any(|one| one.as_str() == Some(name)))
    };
    let words: Vec<String> = fields(&schema["properties"])
        .map(|(name, field)| {
            let mark = if is_required(name) { "" } else { "?" };
            format!("`{name}{mark}` {}", kind(field))
        })
        .collect();
    if words.is_empty() {
        kind(schema)
    } else {
        words.join(", ")
    }
}

/// The type of a value in a word or two.
fn kind(schema: &Value) -> String {
    if let Some(reference) = schema["$ref"].as_str() {
        return reference.rsplit('/').next().unwrap_or_default().to_owned();
    }
    let either = schema["oneOf"].as_array().into_iter().flatten();
    let either: Vec<String> = either.map(kind).collect();
    if !either.is_empty() {
        return either.join(" or ");
    }
    let types = &schema["type"];
    let types = types.as_array().map_or_else(
        || vec![types.as_str().unwrap_or("any")],
        |types| types.iter().filter_map(Value::as_str).collect(),
    );
    let words: Vec<String> = types
        .into_iter()
        .map(|word| match word {
            "array" => format!("list of {}", kind(&schema["items"])),
            "object" if schema["additionalProperties"].is_object() => {
                format!("map to {}", kind(&schema["additionalProperties"]))
            }
            other => other.to_owned(),
        })
        .collect();
    words.join(" or ")
}
