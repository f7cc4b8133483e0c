//! Tokens of both kinds through the real router.

use ampora_raft::records::Role;
use http::Method;
use serde_json::{Value, json};

use crate::api::testing::{Answer, Ask, Site};

impl Site {
    fn as_admin(&self, method: Method, path: &str) -> Ask<'_> {
        self.ask(method, &format!("/api/v1{path}")).role("admin")
    }

    async fn make(&self, path: &str, form: Value) -> Answer {
        self.as_admin(Method::POST, path).json(&form).send().await
    }

    async fn with_token(&self, token: &Value) -> Answer {
        let header = format!("Bearer {}", token.as_str().expect("a text"));
        let asked = self.ask(Method::GET, "/api/v1/agents");
        asked.header("authorization", &header).send().await
    }
}

#[tokio::test]
async fn a_token_is_shown_once_and_works_until_it_is_revoked() {
    let site = Site::new();
    let form = json!({"name": "ci bot", "role": "viewer", "ttl_seconds": 60});
    let made = site.make("/tokens", form).await.ok(201);
    assert!(
        made["token"]
            .as_str()
            .is_some_and(|text| text.starts_with("amp_") && text.len() == 47)
    );
    assert_eq!(made["expires_at"], "2023-11-14T22:14:20.000Z");
    assert_eq!(made["created_by"], "admin");
    site.with_token(&made["token"]).await.ok(200);
    let listed = site.as_admin(Method::GET, "/tokens").send().await;
    let text = String::from_utf8(listed.body.to_vec()).expect("text");
    assert!(!text.contains("amp_") && !text.contains("hash"), "{text}");
    let items = listed.ok(200)["items"].as_array().cloned().expect("items");
    let found = items.iter().find(|item| item["id"] == made["id"]);
    assert_eq!(found.expect("listed")["role"], "viewer");
    let path = format!("/tokens/{}", made["id"].as_str().expect("an id"));
    let revoked = site.as_admin(Method::DELETE, &path).send().await;
    assert_eq!(revoked.status, 204);
    site.with_token(&made["token"])
        .await
        .problem(401, "unauthenticated");
    let again = site.as_admin(Method::DELETE, &path).send().await;
    again.problem(404, "token_not_found");
}

#[tokio::test]
async fn a_repeated_call_answers_without_the_secret() {
    let site = Site::new();
    for (path, form) in [
        ("/tokens", json!({"name": "a", "role": "operator"})),
        (
            "/enrollment-tokens",
            json!({"name": "a", "uses": 2, "labels": {"env": "x"}}),
        ),
    ] {
        let ask = || {
            let asked = site.as_admin(Method::POST, path).json(&form);
            asked.header("idempotency-key", path).send()
        };
        let (mut first, second) = (ask().await.ok(201), ask().await.ok(201));
        let secret = first.as_object_mut().expect("an object").remove("token");
        assert!(secret.is_some_and(|text| text.is_string()));
        assert_eq!(first, second);
        let listed = site.as_admin(Method::GET, path).send().await.ok(200);
        let named = listed["items"].as_array().expect("items").iter();
        assert_eq!(named.filter(|item| item["name"] == "a").count(), 1);
    }
}

#[tokio::test]
async fn the_last_admin_token_stays() {
    let site = Site::new();
    let delete = |id: &str| {
        site.as_admin(Method::DELETE, &format!("/tokens/{id}"))
            .send()
    };
    delete("admin").await.problem(409, "last_admin_token");
    site.token("short", Role::Admin, Some(5_000));
    delete("admin").await.problem(409, "last_admin_token");
    site.token("other", Role::Admin, None);
    assert_eq!(delete("admin").await.status, 204);
    delete("other").await.problem(401, "unauthenticated");
}

#[tokio::test]
async fn what_makes_no_token_is_said_with_its_place() {
    let site = Site::new();
    let refused = |form: Value, pointer: &'static str| {
        let asked = site.make("/tokens", form);
        async move {
            let body = asked.await.problem(422, "validation_failed");
            assert_eq!(body["errors"][0]["pointer"], pointer, "{body}");
        }
    };
    for name in ["", " a", "a ", "node:1", "a\nb", "ä", &"a".repeat(64)] {
        refused(json!({"name": name, "role": "viewer"}), "/name").await;
    }
    refused(json!({"name": "a", "role": "root"}), "/role").await;
    for ttl in [0, 315_360_001] {
        refused(
            json!({"name": "a", "role": "viewer", "ttl_seconds": ttl}),
            "/ttl_seconds",
        )
        .await;
    }
    for form in [
        json!({"name": "a"}),
        json!({"name": "a", "role": "viewer", "more": 1}),
    ] {
        site.make("/tokens", form)
            .await
            .problem(422, "validation_failed");
    }
    for (form, pointer) in [
        (json!({"name": "a", "uses": 0}), "/uses"),
        (json!({"name": "a", "labels": {"": "x"}}), "/labels"),
        (json!({"name": "a", "labels": {"k": "a\u{7}"}}), "/labels"),
        (
            json!({"name": "a", "labels": {"k": "x".repeat(600)}}),
            "/labels",
        ),
    ] {
        let body = site.make("/enrollment-tokens", form).await;
        let body = body.problem(422, "validation_failed");
        assert_eq!(body["errors"][0]["pointer"], pointer, "{body}");
    }
}

#[tokio::test]
async fn an_enrollment_token_is_no_token_of_this_interface() {
    let site = Site::new();
    let made = site
        .make("/enrollment-tokens", json!({"name": "edge"}))
        .await
        .ok(201);
    assert_eq!(
        (&made["state"], &made["used"], &made["uses"]),
        (&json!("active"), &json!(0), &Value::Null)
    );
    site.with_token(&made["token"])
        .await
        .problem(401, "unauthenticated");
}

#[tokio::test]
async fn lists_are_paged_by_id() {
    let site = Site::new();
    for n in 0..5 {
        site.make("/enrollment-tokens", json!({"name": format!("t{n}")}))
            .await
            .ok(201);
    }
    let mut ids = Vec::new();
    let mut query = "?limit=2".to_owned();
    loop {
        let path = format!("/enrollment-tokens{query}");
        let page = site.as_admin(Method::GET, &path).send().await.ok(200);
        ids.extend(
            page["items"]
                .as_array()
                .expect("items")
                .iter()
                .map(|item| item["id"].clone()),
        );
        let Some(next) = page["continue"].as_str() else {
            break;
        };
        query = format!("?limit=2&continue={next}");
    }
    assert_eq!(ids.len(), 5);
    assert!(ids.is_sorted_by_key(|id| id.as_str().map(str::to_owned)));
}

#[tokio::test]
async fn whoever_guesses_is_told_to_wait_and_a_valid_token_is_not() {
    let site = Site::new();
    let guess = || {
        let asked = site.ask(Method::GET, "/api/v1/agents");
        asked.header("authorization", "Bearer amp_guess").send()
    };
    for _ in 0..60 {
        guess().await.problem(401, "unauthenticated");
    }
    let answer = guess().await;
    answer.problem(429, "too_many_attempts");
    assert_eq!(answer.header("retry-after"), "1");
    site.ask(Method::GET, "/nowhere")
        .header("authorization", "Bearer amp_guess")
        .send()
        .await
        .problem(429, "too_many_attempts");
    site.get("/agents").await.ok(200);
    // who shows nothing guesses nothing
    let nobody = site.ask(Method::GET, "/api/v1/agents").send().await;
    nobody.problem(401, "unauthenticated");
}
