//! That the document tells of every route and of nothing else, and that it is whole.

use std::collections::{BTreeMap, BTreeSet};

use http::Method;
use serde_json::Value;

use super::{document, operations};
use crate::api::auth::{Access, role_name};
use crate::api::router::routes;
use crate::api::testing::Site;

fn by_method(path: &'static str, method: &Method) -> (&'static str, String) {
    (path, method.as_str().to_ascii_lowercase())
}

#[test]
fn every_route_is_described_and_nothing_else_is() {
    let routes: BTreeSet<_> = routes()
        .iter()
        .map(|route| by_method(route.path, &route.method))
        .collect();
    let described: Vec<_> = operations()
        .iter()
        .map(|one| by_method(one.path, &one.method))
        .collect();
    let once: BTreeSet<_> = described.iter().cloned().collect();
    assert_eq!(once.len(), described.len(), "one is described twice");
    assert_eq!(routes, once);
}

#[test]
fn every_operation_has_the_role_of_its_route_or_is_one_of_the_open_ones() {
    let document = document();
    let mut open = BTreeSet::new();
    let mut seen = 0;
    for route in routes() {
        let method = route.method.as_str().to_ascii_lowercase();
        let operation = &document["paths"][route.path][&method];
        match route.access {
            Access::Open => {
                assert_eq!(operation["x-open"], true, "{}", route.path);
                assert_eq!(operation["security"], serde_json::json!([]));
                open.insert(route.path);
            }
            Access::Needs(role) => {
                assert_eq!(operation["x-role"], role_name(role), "{}", route.path);
                assert!(operation["security"][0]["bearer"].is_array());
                let text = operation["description"].as_str().unwrap();
                assert!(text.contains(role_name(role)), "{text}");
            }
        }
        seen += 1;
    }
    assert_eq!(each_operation(&document).len(), seen);
    let expected = [
        "/api/docs",
        "/api/v1/openapi.json",
        "/health/live",
        "/health/ready",
        "/health/startup",
        "/metrics",
    ];
    assert_eq!(open.into_iter().collect::<Vec<_>>(), expected);
}

/// Every operation with its path and method.
fn each_operation(document: &Value) -> Vec<(&String, &String, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    paths
        .iter()
        .flat_map(|(path, item)| {
            let item = item.as_object().unwrap();
            item.iter().map(move |(method, one)| (path, method, one))
        })
        .collect()
}

#[test]
fn every_operation_is_whole() {
    let document = document();
    let mut ids = BTreeMap::new();
    for (path, method, operation) in each_operation(&document) {
        let id = operation["operationId"].as_str().expect(path);
        assert!(ids.insert(id, path).is_none(), "{id} stands for two");
        for parameter in operation["parameters"].as_array().expect(path) {
            let text = parameter["description"].as_str();
            assert!(
                text.is_some_and(|text| !text.is_empty()),
                "{path} {parameter}"
            );
            assert!(parameter["schema"].is_object(), "{path} {parameter}");
        }
        let in_path: Vec<&str> = path
            .split('/')
            .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
            .collect();
        let parameters = operation["parameters"].as_array().unwrap();
        let described: Vec<&str> = parameters
            .iter()
            .filter(|one| one["in"] == "path")
            .map(|one| one["name"].as_str().unwrap())
            .collect();
        assert_eq!(in_path, described, "{path}");
        let tag = &operation["tags"][0];
        let tags = document["tags"].as_array().unwrap();
        assert!(tags.iter().any(|one| one["name"] == *tag), "{tag}");
        let answers = operation["responses"].as_object().unwrap();
        assert!(
            answers.keys().any(|status| status.starts_with('2')),
            "{path}"
        );
        let writes = ["put", "post", "delete"].contains(&method.as_str());
        let keyed = parameters
            .iter()
            .any(|one| one["name"] == "Idempotency-Key");
        assert_eq!(writes, keyed, "{method} {path}");
    }
}

#[test]
fn every_reference_leads_somewhere_and_every_schema_is_used() {
    let document = document();
    let mut used = BTreeSet::new();
    references(&document, &mut used);
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let known: BTreeSet<String> = schemas.keys().cloned().collect();
    assert_eq!(used, known);
}

fn references(value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(reference) = fields.get("$ref").and_then(Value::as_str) {
                let name = reference.strip_prefix("#/components/schemas/");
                into.insert(name.expect(reference).to_owned());
            }
            fields.values().for_each(|field| references(field, into));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, into)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[tokio::test]
async fn document_and_page_are_open_and_ask_nothing_of_another_host() {
    let site = Site::new();
    let answer = site.ask(Method::GET, "/api/v1/openapi.json").send().await;
    assert_eq!(answer.ok(200), document());
    let page = site.ask(Method::GET, "/api/docs").send().await;
    assert_eq!(page.status, 200);
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    let text = std::str::from_utf8(&page.body).unwrap();
    for elsewhere in ["http:", "https:", "src=", "@import", "url("] {
        assert!(!text.contains(elsewhere), "{elsewhere}");
    }
    let policy = page.header("content-security-policy");
    assert!(
        policy.starts_with("default-src 'none'; script-src 'sha256-"),
        "{policy}"
    );
}
