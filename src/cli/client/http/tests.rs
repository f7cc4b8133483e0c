//! What goes over the wire, against a door that answers each request with the next of a few prepared answers.

use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::config::Secret;
use crate::tasks::Tasks;

/// A door and what was asked there.
struct Scripted {
    url: Url,
    heard: Arc<Mutex<Vec<String>>>,
    _tasks: Tasks,
}

impl Scripted {
    /// Answers each connection with the next answer, then no more.
    async fn start(answers: Vec<String>) -> Scripted {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let tasks = Tasks::new();
        let log = heard.clone();
        tasks.spawn(async move {
            for answer in answers {
                let (mut socket, _) = listener.accept().await.unwrap();
                let mut request = Vec::new();
                while !is_whole(&request) {
                    assert!(socket.read_buf(&mut request).await.unwrap() > 0);
                }
                log.lock().push(String::from_utf8(request).unwrap());
                socket.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        Scripted {
            url: Url::parse(&format!("http://{address}/behind/")).unwrap(),
            heard,
            _tasks: tasks,
        }
    }

    fn client(&self, token: Token) -> Client {
        let url = self.url.clone();
        let reach = Reach {
            url,
            token,
            trust: trust::Trust::System,
            identity: None,
        };
        Client::new(reach).unwrap()
    }

    /// The value of a header in each request.
    fn headers(&self, name: &str) -> Vec<Option<String>> {
        let prefix = format!("{name}: ");
        let of = |request: &String| {
            let line = request.lines().find(|line| line.starts_with(&prefix))?;
            Some(line[prefix.len()..].to_owned())
        };
        self.heard.lock().iter().map(of).collect()
    }

    fn first_lines(&self) -> Vec<String> {
        let heard = self.heard.lock();
        let lines = heard.iter().filter_map(|request| request.lines().next());
        lines.map(str::to_owned).collect()
    }
}

/// Whether head and body have arrived.
fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let mut lengths = head
        .lines()
        .filter_map(|line| line.strip_prefix("content-length: "));
    body.len() >= lengths.next().map_or(0, |length| length.parse().unwrap())
}

fn answer(status: u16, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    )
}

fn ok(body: &Value) -> String {
    answer(200, "content-type: application/json\r\n", &body.to_string())
}

fn problem(status: u16, code: &str, retryable: bool, effect: &str) -> String {
    let headers = "content-type: application/problem+json\r\nretry-after: 0\r\n";
    let body = json!({
        "title": "t", "status": status, "code": code, "retryable": retryable, "may_have_taken_effect": effect,
    });
    answer(status, headers, &body.to_string())
}

fn found_token() -> Token {
    Token::Found {
        text: Secret::new("amp_x".to_owned()),
        from: "--token".to_owned(),
    }
}

fn code_of(ended: Result<Answer, ClientError>) -> String {
    match ended {
        Err(ClientError::Refused(problem)) => problem.code,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn change_keeps_its_key_over_repetitions_and_shows_the_token() {
    let again = || problem(503, "not_leader", true, "no");
    let unknown = problem(504, "outcome_unknown", true, "unknown");
    let node = Scripted::start(vec![again(), unknown, ok(&json!({"done": true}))]).await;
    let client = node.client(found_token());
    let call = Call::new(Method::PUT, &["groups", "a b/c"]).body(Body::Json(json!({"x": 1})));
    let answered = client.call(call.clone()).await.unwrap();
    assert_eq!(answered.body, json!({"done": true}));
    assert_eq!(
        node.first_lines(),
        ["PUT /behind/api/v1/groups/a%20b%2Fc HTTP/1.1"; 3]
    );
    let keys = node.headers("idempotency-key");
    assert!(
        keys[0].as_ref().is_some_and(|key| key.len() > 32),
        "{keys:?}"
    );
    assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
    let token = Some("Bearer amp_x".to_owned());
    assert_eq!(node.headers("authorization"), vec![token; 3]);

    let other = Scripted::start(vec![ok(&json!({}))]).await;
    other.client(found_token()).call(call).await.unwrap();
    assert_ne!(other.headers("idempotency-key")[0], keys[0]);
}

#[tokio::test]
async fn repetitions_end_and_need_the_word_of_the_node() {
    let again = || problem(503, "overloaded", true, "no");
    let node = Scripted::start(vec![again(), again(), again(), ok(&json!({}))]).await;
    let ended = node
        .client(found_token())
        .call(Call::get(&["agents"]))
        .await;
    assert_eq!(code_of(ended), "overloaded");
    assert_eq!(node.first_lines().len(), 3);
    assert_eq!(node.headers("idempotency-key"), [None, None, None]);

    for last in [
        problem(409, "lacks_capability", false, "no"),
        problem(500, "internal", false, "unknown"),
        problem(503, "done_already", true, "yes"),
    ] {
        let node = Scripted::start(vec![last, ok(&json!({}))]).await;
        let call = Call::new(Method::POST, &["dispatches"]);
        code_of(node.client(found_token()).call(call).await);
        assert_eq!(node.first_lines().len(), 1);
    }
}

fn page(items: &[u32], next: Option<&str>) -> String {
    ok(&json!({"items": items, "continue": next, "applied_index": 7}))
}

#[tokio::test]
async fn pages_are_merged_until_there_are_no_more_or_enough() {
    let pages = || vec![page(&[1, 2], Some("t1")), page(&[3], None)];
    let node = Scripted::start(pages()).await;
    let call = Call::get(&["agents"]).with("q", Some("a&b"));
    let client = node.client(found_token());
    let all = client.pages(call.clone(), "items", None).await.unwrap();
    assert_eq!(
        all,
        json!({"items": [1, 2, 3], "continue": null, "applied_index": 7})
    );
    assert_eq!(
        node.first_lines(),
        [
            "GET /behind/api/v1/agents?q=a%26b&limit=1000 HTTP/1.1",
            "GET /behind/api/v1/agents?q=a%26b&limit=1000&continue=t1 HTTP/1.1",
        ]
    );

    let node = Scripted::start(vec![page(&[1, 2], Some("t1")), page(&[3], Some("t2"))]).await;
    let client = node.client(found_token());
    let some = client.pages(call.clone(), "items", Some(3)).await.unwrap();
    assert_eq!(
        some,
        json!({"items": [1, 2, 3], "continue": "t2", "applied_index": 7})
    );
    assert!(node.first_lines()[1].contains("limit=1&continue=t1"));

    let node = Scripted::start(vec![ok(&json!({"other": []}))]).await;
    let ended = node.client(found_token()).pages(call, "items", None).await;
    assert!(
        matches!(ended, Err(ClientError::Foreign { .. })),
        "{ended:?}"
    );
}

#[tokio::test]
async fn missing_token_is_told_apart_from_a_refused_one() {
    let refused = || problem(401, "unauthenticated", false, "no");
    let node = Scripted::start(vec![refused(), refused()]).await;
    let looked = vec!["AMPORA_TOKEN is not set".to_owned()];
    let without = node.client(Token::Missing { looked });
    let error = without.call(Call::get(&["agents"])).await.unwrap_err();
    assert!(matches!(error, ClientError::NoToken { .. }), "{error}");
    assert!(
        error.to_string().contains("AMPORA_TOKEN is not set"),
        "{error}"
    );
    assert_eq!(node.headers("authorization"), [None]);
    let error = node
        .client(found_token())
        .call(Call::get(&["agents"]))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("the token from --token"),
        "{error}"
    );
}

#[tokio::test]
async fn answers_of_something_else_are_not_taken_for_a_nodes() {
    let elsewhere = "location: http://127.0.0.1:1/\r\n";
    for strange in [
        answer(200, "content-type: text/html\r\n", "<html>"),
        answer(404, "content-type: text/html\r\n", "<html>"),
        answer(404, "content-type: application/json\r\n", "{}"),
        answer(302, elsewhere, ""),
    ] {
        let node = Scripted::start(vec![strange]).await;
        let ended = node
            .client(found_token())
            .call(Call::get(&["agents"]))
            .await;
        assert!(
            matches!(ended, Err(ClientError::Foreign { .. })),
            "{ended:?}"
        );
    }
    let node = Scripted::start(vec![answer(204, "", "")]).await;
    let call = Call::new(Method::DELETE, &["groups", "g"]);
    assert_eq!(
        node.client(found_token()).call(call).await.unwrap().body,
        Value::Null
    );
}

#[tokio::test]
async fn probe_is_read_whatever_its_status_and_its_absence_noticed() {
    let report = json!({"status": "failed", "parts": {}});
    let media = "content-type: application/json\r\n";
    let answers = vec![
        answer(503, media, &report.to_string()),
        problem(404, "not_found", false, "no"),
    ];
    let node = Scripted::start(answers).await;
    let client = node.client(found_token());
    let probe = client.probe(&["health", "ready"]).await.unwrap().unwrap();
    assert_eq!((probe.status.as_u16(), probe.body), (503, report));
    assert!(client.probe(&["health", "ready"]).await.unwrap().is_none());
    assert_eq!(node.first_lines()[0], "GET /behind/health/ready HTTP/1.1");
}

#[tokio::test]
async fn closed_door_and_broken_answer_are_told_apart() {
    let node = Scripted::start(vec![
        "HTTP/1.1 200 X\r\ncontent-length: 9\r\n\r\n{".to_owned(),
    ])
    .await;
    let call = Call::new(Method::POST, &["dispatches"]);
    let error = node
        .client(found_token())
        .call(call.clone())
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            ClientError::Lost {
                is_change: true,
                ..
            }
        ),
        "{error}"
    );
    assert!(error.to_string().contains("may have been made"), "{error}");
    let error = node.client(found_token()).call(call).await.unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains("ampora serve"), "{error}");
}
