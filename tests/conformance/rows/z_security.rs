//! Z. What is asked of a server that agents and operators need not trust blindly.

use ampora_proto::wire::RemoteConfigStatuses;
use ampora_proto::wire::ServerErrorResponseType::Unavailable;
use ampora_proto::wire::server_error_response::Details;
use serde_json::json;

use crate::agent::{Agent, BOTH};
use crate::http;
use crate::row::{Row, open, row};
use crate::say;
use crate::server::{self, Server};

pub(crate) const ROWS: &[Row] = &[
    row!(
        321,
        "recommended",
        "An agent may refuse, and its reason is shown.",
        c_321_refusal_is_shown
    ),
    open!(
        322,
        "recommended",
        "Keys that sign code are not on the server.",
        "there are no packages yet (a later step)"
    ),
    open!(
        323,
        "recommended",
        "The key of the clients' authority is kept apart.",
        "credentials are not issued yet (a later step)"
    ),
    row!(
        324,
        "derived",
        "Inbound data is escaped where it is shown, and capped by field and by credential.",
        c_324_inbound_data_is_escaped_and_capped
    ),
    open!(
        325,
        "derived",
        "Tenants are kept apart.",
        "there are no tenants: one cluster serves one organisation"
    ),
    row!(
        326,
        "derived",
        "It is on record who offered what to whom.",
        c_326_assignments_are_on_record
    ),
];

fn c_321_refusal_is_shown() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = Agent::introduced(&server, via);
        let hash = server.assign_yaml(&agent.label, "a: 1\n");
        agent.offer();
        agent.tell(|message| {
            message.remote_config_status = Some(say::status(
                &hash,
                RemoteConfigStatuses::Failed,
                "refused by <policy> & \"rule 7\"",
            ));
        });
        server.agent("the reason", agent.uid, |agent| {
            agent["config"]["status"] == "failed"
                && agent["config"]["error"] == "refused by <policy> & \"rule 7\""
        });
    }
}

fn c_324_inbound_data_is_escaped_and_capped() {
    let server = Server::start(&["opamp.auth=token", "agents.max_per_token=2"]);
    let (_, token) = server.enrollment_token(&json!({}));
    let script = "<script>alert(1)</script>";
    for via in BOTH {
        let mut agent = Agent::with_token(&server, via, say::uid(), &token);
        let long = "x".repeat(100_000);
        let reply = agent.hello_with(|message| {
            let labels = [("conf", script), ("long", &long)];
            message.agent_description = Some(say::description(&labels));
        });
        assert_eq!(say::error(&reply), None);
        // the value is data in JSON, and nothing that a browser would take for a page
        server.agent("the label", agent.uid, |agent| {
            agent["labels"]["conf"] == script && agent["labels"]["long"].is_null()
        });
        let bearer = format!("Bearer {}", server.admin_token());
        let headers = [("Authorization", bearer.as_str()), ("Connection", "close")];
        let path = format!("/api/v1/agents/{}", agent.uid);
        let answer = http::once(server.admin, "GET", &path, &headers, b"");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    }
    let before = server.rejected("overload");
    for via in BOTH {
        let mut one_more = Agent::with_token(&server, via, say::uid(), &token);
        let refused = one_more.hello();
        let error = refused.error_response.expect("a refusal");
        assert_eq!(error.r#type(), Unavailable);
        let Some(Details::RetryInfo(retry)) = error.details else {
            panic!("no time to wait: {error:?}");
        };
        assert!(retry.retry_after_nanoseconds >= 30_000_000_000);
        assert!(!server.knows(one_more.uid));
    }
    assert!(
        server.rejected("overload") >= before + 2.0,
        "each is counted"
    );
}

fn c_326_assignments_are_on_record() {
    let server = server::shared();
    let agent = Agent::introduced(&server, BOTH[0]);
    let hash = server.assign_yaml(&agent.label, "a: 326\n");
    let path = format!("/audit?target={}&action=group.put", agent.label);
    let records = server.get(&path);
    let record = &records["items"][0];
    let settled = &record["after"]["assignment"]["settled"];
    assert_eq!(settled["hash"], hex::encode(&hash), "{record}");
    assert_eq!(record["after"]["selector"], format!("conf={}", agent.label));
    assert_eq!(record["actor"], "admin");
    assert_eq!(record["from"], "127.0.0.1");
    let verified = server.get("/audit/verify");
    assert_eq!(verified["ok"], true, "{verified}");
}
