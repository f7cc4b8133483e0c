//! Configurations through the real router.

use http::Method;
use serde_json::{Value, json};

use crate::api::testing::{Ask, Site};

const YAML: &str = "receivers:\n  otlp: {}\n# a comment\n";

fn post<'a>(site: &'a Site, name: &str) -> Ask<'a> {
    site.write(Method::POST, &format!("/configurations/{name}/versions"))
}

#[tokio::test]
async fn raw_yaml_becomes_one_nameless_file_kept_as_given() {
    let site = Site::new();
    let answer = post(&site, "edge")
        .raw("text/yaml; charset=utf-8", YAML)
        .send()
        .await;
    let version = answer.ok(201);
    let hash = version["hash"].as_str().unwrap();
    assert_eq!(hash.len(), 64);
    assert_eq!(
        version,
        json!({
            "name": "edge",
            "version": 1,
            "hash": hash,
            "files": [{"name": "", "content_type": "text/yaml", "size": YAML.len()}],
            "comment": "",
            "created_at": "2023-11-14T22:13:20.000Z",
            "created_by": "operator",
        })
    );
    let whole = site.get("/configurations/edge/versions/1").await.ok(200);
    assert_eq!(whole["files"][0]["body"], YAML);
    assert_eq!(whole["hash"], hash);
    let newest = site
        .get("/configurations/edge/versions/newest")
        .await
        .ok(200);
    assert_eq!(newest, whole);
}

#[tokio::test]
async fn files_in_json_keep_their_bytes_and_text_stays_text() {
    let site = Site::new();
    let body = json!({
        "files": [
            {"name": "b.bin", "content_type": "application/octet-stream", "body_base64": "/wA="},
            {"name": "a.yaml", "body": "x: ä\n"},
        ],
        "comment": "first",
    });
    let version = post(&site, "multi").json(&body).send().await.ok(201);
    assert_eq!(version["comment"], "first");
    let whole = site.get("/configurations/multi/versions/1").await.ok(200);
    assert_eq!(
        whole["files"],
        json!([
            {"name": "a.yaml", "content_type": "text/yaml", "size": 6, "body": "x: ä\n"},
            {"name": "b.bin", "content_type": "application/octet-stream", "size": 2, "body_base64": "/wA="},
        ])
    );
}

#[tokio::test]
async fn the_same_bytes_again_answer_the_version_that_has_them() {
    let site = Site::new();
    site.version("edge", "a: 1\n").await;
    let second = site.version("edge", "a: 2\n").await;
    assert_eq!(second["version"], 2);
    let again = post(&site, "edge")
        .raw("text/yaml", "a: 1\n")
        .send()
        .await
        .ok(200);
    assert_eq!(again["version"], 1);
    let shown = site.get("/configurations/edge").await.ok(200);
    assert_eq!(shown["newest"], 2);
    let numbers: Vec<&Value> = shown["versions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|version| &version["version"])
        .collect();
    assert_eq!(numbers, [2, 1]);
    let put = site
        .write(Method::PUT, "/configurations/other")
        .raw("text/yaml", "a: 1\n")
        .send()
        .await;
    assert_eq!(put.ok(201)["hash"], again["hash"]);
}

#[tokio::test]
async fn a_replayed_key_answers_what_the_first_answered() {
    let site = Site::new();
    let ask = |body: &'static str| {
        post(&site, "edge")
            .header("idempotency-key", "k1")
            .raw("text/yaml", body)
            .send()
    };
    let first = ask("a: 1\n").await;
    assert_eq!(first.status, 201);
    site.version("edge", "a: 2\n").await;
    let second = ask("a: 1\n").await;
    assert_eq!((second.status, second.json()), (first.status, first.json()));
    ask("a: 3\n").await.problem(409, "idempotency_key_reused");
}

#[tokio::test]
async fn broken_yaml_is_refused_with_its_place_and_other_types_are_not_read() {
    let site = Site::new();
    let problem = post(&site, "edge")
        .raw("text/yaml", "a: 1\nb: 2\nc: d: e\n")
        .send()
        .await
        .problem(422, "invalid_yaml");
    let place = &problem["errors"][0];
    assert_eq!(place["pointer"], "/files/0/body");
    assert_eq!(place["line"], 3);
    assert!(place["column"].as_u64().unwrap() >= 1);
    let problem = post(&site, "edge")
        .raw("text/yaml", &b"a: 1\nb: \xff"[..])
        .send()
        .await
        .problem(422, "invalid_yaml");
    assert_eq!(
        (
            &problem["errors"][0]["line"],
            &problem["errors"][0]["column"]
        ),
        (&2.into(), &4.into())
    );
    let other =
        json!({"files": [{"name": "x", "content_type": "text/plain", "body": "b: [\nc: }"}]});
    post(&site, "edge").json(&other).send().await.ok(201);
    let tabs = "a:\n  b: 1\n\n---\nc: ${env:X:-y}\nd: !!binary aGk=\n? {x: 1}\n: 2\n";
    post(&site, "edge")
        .raw("application/yaml", tabs)
        .send()
        .await
        .ok(201);
}

#[tokio::test]
async fn emptiness_must_be_meant() {
    let site = Site::new();
    let none = json!({"files": []});
    let empty = json!({"files": [{"name": "", "body": ""}]});
    for body in [&none, &empty] {
        post(&site, "stop")
            .json(body)
            .send()
            .await
            .problem(422, "empty_configuration");
        let mut meant = body.clone();
        meant["allow_empty"] = json!(true);
        post(&site, "stop").json(&meant).send().await.ok(201);
    }
    post(&site, "stop")
        .raw("text/yaml", "")
        .send()
        .await
        .problem(422, "empty_configuration");
    let answer = site
        .write(
            Method::POST,
            "/configurations/stop/versions?allow_empty=true",
        )
        .raw("text/yaml", "")
        .send()
        .await;
    assert!(answer.status.is_success());
}

#[tokio::test]
async fn a_mebibyte_is_taken_and_a_byte_more_is_not() {
    let site = Site::new();
    let largest = format!("a: {}\n", "x".repeat(1024 * 1024 - 4));
    assert_eq!(largest.len(), 1024 * 1024);
    post(&site, "big")
        .raw("text/yaml", largest.clone())
        .send()
        .await
        .ok(201);
    let whole = site.get("/configurations/big/versions/1").await.ok(200);
    assert_eq!(whole["files"][0]["body"], largest);
    let larger = format!("{largest} ");
    post(&site, "big")
        .raw("text/yaml", larger)
        .send()
        .await
        .problem(413, "payload_too_large");
}

#[tokio::test]
async fn odd_names_files_and_types_are_refused() {
    let site = Site::new();
    for name in ["Edge", "-x", "a%2Fb", &"x".repeat(64)] {
        post(&site, name)
            .raw("text/yaml", YAML)
            .send()
            .await
            .problem(422, "validation_failed");
    }
    for files in [
        json!([{"name": "a", "body": "1"}, {"name": "a", "body": "2"}]),
        json!([{"name": "a"}]),
        json!([{"name": "a", "body": "1", "body_base64": "MQ=="}]),
        json!([{"name": "a", "body_base64": "*"}]),
    ] {
        post(&site, "edge")
            .json(&json!({"files": files}))
            .send()
            .await
            .problem(422, "validation_failed");
    }
    post(&site, "edge")
        .raw("text/html", YAML)
        .send()
        .await
        .problem(415, "unsupported_media_type");
    let long = json!({"files": [{"name": "", "body": "a: 1"}], "comment": "x".repeat(513)});
    post(&site, "edge")
        .json(&long)
        .send()
        .await
        .problem(422, "validation_failed");
}

#[tokio::test]
async fn what_is_not_there_is_404_and_lists_are_paged() {
    let site = Site::new();
    site.get("/configurations/none")
        .await
        .problem(404, "configuration_not_found");
    for name in ["b", "a", "c"] {
        site.version(name, "a: 1\n").await;
    }
    site.get("/configurations/a/versions/2")
        .await
        .problem(404, "version_not_found");
    site.get("/configurations/a/versions/x")
        .await
        .problem(400, "invalid_parameter");
    let first = site.get("/configurations?limit=2").await.ok(200);
    let names = |list: &Value| -> Vec<String> {
        let items = list["items"].as_array().unwrap();
        items
            .iter()
            .map(|item| item["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names(&first), ["a", "b"]);
    assert_eq!(first["items"][0]["newest"], 1);
    let token = first["continue"].as_str().unwrap();
    let second = site
        .get(&format!("/configurations?limit=2&continue={token}"))
        .await
        .ok(200);
    assert_eq!(names(&second), ["c"]);
    assert_eq!(second["continue"], Value::Null);
    site.get(&format!("/groups?continue={token}"))
        .await
        .problem(400, "continue_invalid");
    site.version("a", "a: 2\n").await;
    let newest = site.get("/configurations/a?limit=1").await.ok(200);
    let token = newest["continue"].as_str().unwrap();
    let older = site
        .get(&format!("/configurations/a?limit=1&continue={token}"))
        .await
        .ok(200);
    assert_eq!(older["versions"][0]["version"], 1);
    site.get(&format!("/configurations/b?continue={token}"))
        .await
        .problem(400, "continue_invalid");
}

#[tokio::test]
async fn preconditions_hold_versions_back() {
    let site = Site::new();
    let with = |header: &'static str, value: &str, body: &'static str| {
        post(&site, "edge")
            .header(header, value)
            .raw("text/yaml", body)
            .send()
    };
    with("if-match", "*", YAML)
        .await
        .problem(412, "precondition_failed");
    with("if-match", "\"1\"", YAML)
        .await
        .problem(412, "precondition_failed");
    let first = with("if-none-match", "*", YAML).await;
    first.ok(201);
    assert_eq!(first.header("etag"), "\"1\"");
    assert_eq!(
        site.get("/configurations/edge").await.header("etag"),
        "\"1\""
    );
    for body in [YAML, "a: 1\n"] {
        with("if-none-match", "*", body)
            .await
            .problem(412, "precondition_failed");
    }
    let second = with("if-match", "\"1\"", "a: 1\n").await;
    second.ok(201);
    assert_eq!(second.header("etag"), "\"2\"");
    with("if-match", "\"1\"", "a: 2\n")
        .await
        .problem(412, "precondition_failed");
    let put = |tag: &'static str| {
        let put = site.write(Method::PUT, "/configurations/edge");
        put.header("if-match", tag)
            .raw("text/yaml", "a: 2\n")
            .send()
    };
    put("\"1\"").await.problem(412, "precondition_failed");
    put("\"4294967296\"")
        .await
        .problem(412, "precondition_failed");
    put("2").await.problem(400, "invalid_parameter");
    assert_eq!(put("*").await.ok(201)["version"], 3);
    let old = with("if-match", "\"3\"", YAML).await;
    assert_eq!(old.ok(200)["version"], 1, "old bytes are the old version");
    assert_eq!(
        old.header("etag"),
        "\"3\"",
        "and the tag is that of the newest"
    );
}

#[tokio::test]
async fn differences_of_two_versions_are_shown_by_file() {
    let site = Site::new();
    let files = |body: &str| json!({"files": [{"name": "a.yaml", "body": body}, {"name": "b", "body": "x\n"}]});
    for body in ["password: one\n", "password: two\n"] {
        post(&site, "edge").json(&files(body)).send().await.ok(201);
    }
    let diff = site
        .get("/configurations/edge/diff?from=1&to=2")
        .await
        .ok(200);
    assert_eq!(
        diff,
        json!({
            "name": "edge",
            "from": 1,
            "to": 2,
            "files": [
                {
                    "name": "a.yaml",
                    "change": "changed",
                    "diff": "--- edge@1/a.yaml\n+++ edge@2/a.yaml\n@@ -1 +1 @@\n-password: one\n+password: two\n",
                    "omitted": null,
                    "from_content_type": "text/yaml",
                    "to_content_type": "text/yaml",
                },
                {
                    "name": "b",
                    "change": "same",
                    "diff": "",
                    "omitted": null,
                    "from_content_type": "text/yaml",
                    "to_content_type": "text/yaml",
                },
            ],
        }),
        "as given, as a version is shown"
    );
    let same = site
        .get("/configurations/edge/diff?from=newest&to=2")
        .await
        .ok(200);
    assert_eq!(
        (&same["from"], &same["files"][0]["change"]),
        (&json!(2), &json!("same"))
    );
    for (query, pointer) in [
        ("", "/query/from"),
        ("?from=1", "/query/to"),
        ("?from=x&to=1", "/query/from"),
        ("?from=1&to=-1", "/query/to"),
    ] {
        let problem = site.get(&format!("/configurations/edge/diff{query}")).await;
        let problem = problem.problem(400, "invalid_parameter");
        assert_eq!(problem["errors"][0]["pointer"], pointer);
    }
    site.get("/configurations/edge/diff?from=1&to=3")
        .await
        .problem(404, "version_not_found");
    site.get("/configurations/none/diff?from=1&to=2")
        .await
        .problem(404, "configuration_not_found");
}
