//! Whether a value has the shape that a schema of the document tells: the part of JSON Schema that the document uses,
//! and stricter in one thing: a field that the document does not know is a fault of the document.

use http::HeaderMap;
use serde_json::Value;

/// The operation of the document that a request belongs to, when it is one of its paths and methods.
pub(crate) fn operation<'a>(document: &'a Value, method: &str, path: &str) -> Option<&'a Value> {
    let given: Vec<&str> = path.split('?').next()?.split('/').collect();
    let paths = document["paths"].as_object()?;
    let is_it = |template: &str| {
        let parts: Vec<&str> = template.split('/').collect();
        let fits = |(part, given): (&&str, &&str)| {
            part == given || (part.starts_with('{') && !given.is_empty())
        };
        parts.len() == given.len() && parts.iter().zip(&given).all(fits)
    };
    // fixed parts before parameters, as the router does
    let mut found: Vec<_> = paths.iter().filter(|(path, _)| is_it(path)).collect();
    found.sort_by_key(|(path, _)| path.matches('{').count());
    let (_, item) = found.first()?;
    item.get(method.to_ascii_lowercase())
}

/// Checks an answer against what the document tells of its operation; says where it differs first.
pub(crate) fn check_answer(
    document: &Value,
    operation: &Value,
    status: u16,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<(), String> {
    let answer = &operation["responses"][status.to_string()];
    if answer.is_null() {
        return Err(format!("{status} is not in the document"));
    }
    for (name, header) in answer["headers"].as_object().into_iter().flatten() {
        if header["required"] == true && !headers.contains_key(name.as_str()) {
            return Err(format!("the header {name} is missing"));
        }
    }
    let Some(contents) = answer["content"].as_object() else {
        return if body.is_empty() {
            Ok(())
        } else {
            Err("no body is in the document".to_owned())
        };
    };
    let media = headers
        .get("content-type")
        .and_then(|media| media.to_str().ok());
    let media = media
        .and_then(|media| media.split(';').next())
        .unwrap_or_default();
    let content = contents
        .get(media)
        .ok_or_else(|| format!("{media:?} is not in the document"))?;
    if !media.ends_with("json") {
        return Ok(());
    }
    let body: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let codes = answer["x-codes"].as_array();
    if codes.is_some_and(|codes| !codes.contains(&body["code"])) {
        return Err(format!("{} is not in the document", body["code"]));
    }
    check(document, &content["schema"], &body)
}

/// Checks `value` against `schema`, whose references are looked up in `document`; says where it differs first.
fn check(document: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    at(document, schema, value, "$")
}

fn at(document: &Value, schema: &Value, value: &Value, place: &str) -> Result<(), String> {
    if let Some(reference) = schema["$ref"].as_str() {
        let pointer = reference.trim_start_matches('#');
        let found = document.pointer(pointer);
        let found = found.ok_or_else(|| format!("{place}: {reference} leads nowhere"))?;
        return at(document, found, value, place);
    }
    if let Some(either) = schema["oneOf"].as_array() {
        let tried: Vec<_> = either
            .iter()
            .map(|one| at(document, one, value, place))
            .collect();
        if tried.iter().filter(|one| one.is_ok()).count() == 1 {
            return Ok(());
        }
        return Err(format!("{place}: {value} is not one of {tried:?}"));
    }
    if !has_type(&schema["type"], value) {
        return Err(format!("{place}: {value} is no {}", schema["type"]));
    }
    if schema["enum"]
        .as_array()
        .is_some_and(|all| !all.contains(value))
    {
        return Err(format!("{place}: {value} is none of {}", schema["enum"]));
    }
    if let Some(items) = value.as_array() {
        for (number, item) in items.iter().enumerate() {
            at(
                document,
                &schema["items"],
                item,
                &format!("{place}[{number}]"),
            )?;
        }
    }
    object(document, schema, value, place)
}

fn object(document: &Value, schema: &Value, value: &Value, place: &str) -> Result<(), String> {
    let (Some(fields), false) = (value.as_object(), schema["type"].is_null()) else {
        return Ok(());
    };
    for name in schema["required"].as_array().into_iter().flatten() {
        if !fields.contains_key(name.as_str().unwrap_or_default()) {
            return Err(format!("{place}: {name} is missing"));
        }
    }
    for (name, field) in fields {
        let own = schema["properties"].get(name);
        let known = own.unwrap_or(&schema["additionalProperties"]);
        if known.is_null() || known == false {
            return Err(format!("{place}: {name} is not in the document"));
        }
        at(document, known, field, &format!("{place}.{name}"))?;
    }
    Ok(())
}

fn has_type(types: &Value, value: &Value) -> bool {
    if let Some(types) = types.as_array() {
        return types.iter().any(|one| has_type(one, value));
    }
    match types.as_str() {
        None => types.is_null(),
        Some("null") => value.is_null(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_u64() || value.is_i64(),
        Some("number") => value.is_number(),
        Some("string") => value.is_string(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        Some(_) => false,
    }
}
