//! The REST API against what its own document says: schemathesis makes calls of it, good, bad and in sequence, and checks
//! every answer. The seed is fixed.

use std::time::Duration;

use serde_json::json;

use crate::clients::built;
use crate::process::Process;
use crate::stage::{Stage, pipeline};
use crate::wait::{SOON, until};

/// How long it may take: a tenth of it on an idle machine.
const WITHIN: Duration = Duration::from_secs(600);

/// Agents whose paths are asked for.
const AGENTS: &str = "5";

/// Something of everything, so that calls reach what they are about.
async fn furnished(stage: &Stage) -> Process {
    for marker in ["first", "second"] {
        stage.rest().version("edge", &pipeline(marker)).await;
    }
    stage.rest().assign("edge").await;
    let url = format!("ws://{}/v1/opamp", stage.server.opamp);
    let arguments = ["simulate", "agents", "--opamp-url", &url, "--count", AGENTS];
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_ampora"));
    let agents = Process::start("simulate", program, &arguments, &stage.client("agents"));
    until("the agents are there", SOON, async || {
        let found = stage.rest().agents().await.len().to_string();
        if found == AGENTS { Ok(()) } else { Err(found) }
    })
    .await;
    let restart = json!({"action": {"restart": {}}, "target": {"selector": "*"}});
    stage.rest().post("/dispatches", &restart).await.ok(202);
    agents
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_as_the_document_says() {
    let program = built("schemathesis").join("schemathesis");
    let stage = Stage::new(&["admin.trusted_proxies=127.0.0.0/8"]).await;
    let _agents = furnished(&stage).await;
    let (url, token) = stage.rest().place();
    let dir = stage.client("schemathesis");
    let run = Process::start("schemathesis", &program, &[&url, &token], &dir);
    let log = dir.join("schemathesis.log");
    let ended = run.ended_within(WITHIN).await;
    let said = std::fs::read_to_string(log).unwrap();
    assert!(ended.success(), "{said}");
    // the run did what it is for, and its token outlived it
    for phase in ["Examples", "Coverage", "Fuzzing", "Stateful"] {
        assert!(said.contains(&format!("✅ {phase}")), "{phase}: {said}");
    }
    stage.rest().get("/cluster").await.ok(200);
}
