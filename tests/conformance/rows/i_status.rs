//! I. Compressed status: what is left out is unchanged, what is there replaces.

use ampora_proto::wire::{
    AgentToServer, AvailableComponents, ComponentDetails, EffectiveConfig, PackageStatus,
    PackageStatuses, RemoteConfigStatuses,
};
use serde_json::{Value, json};

use crate::agent::{Agent, BOTH, Via};
use crate::row::{Row, row};
use crate::say;
use crate::server::{self, Server};

pub(crate) const ROWS: &[Row] = &[
    row!(
        91,
        "MUST",
        "A part that is left out is unchanged (the six parts that can be looked at).",
        c_091_omitted_is_unchanged
    ),
    row!(
        92,
        "derived",
        "A part that is there replaces the whole.",
        c_092_present_replaces
    ),
    row!(
        93,
        "derived",
        "A part that is there and empty replaces with nothing.",
        c_093_empty_replaces
    ),
];

fn components(hash: u8, names: &[&str]) -> AvailableComponents {
    AvailableComponents {
        hash: vec![hash; 32].into(),
        components: names
            .iter()
            .map(|name| ((*name).to_owned(), ComponentDetails::default()))
            .collect(),
    }
}

fn packages(names: &[&str]) -> PackageStatuses {
    PackageStatuses {
        server_provided_all_packages_hash: vec![9; 4].into(),
        packages: names
            .iter()
            .map(|name| {
                let status = PackageStatus {
                    name: (*name).to_owned(),
                    ..PackageStatus::default()
                };
                ((*name).to_owned(), status)
            })
            .collect(),
        ..PackageStatuses::default()
    }
}

/// Everything that the server shows of an agent's own words.
fn shown(server: &Server, agent: &Agent<'_>) -> Vec<(&'static str, Value)> {
    let record = server.agent("the agent", agent.uid, |_| true);
    let below = |path| server.below_agent("a body", agent.uid, path, |_| true);
    vec![
        ("labels", record["labels"].clone()),
        ("health", below("/health")),
        ("packages", record["packages"].clone()),
        ("status", record["config"]["status"].clone()),
        ("reported", record["config"]["reported_hash"].clone()),
        ("effective", below("/effective-config")["files"].clone()),
        ("components", below("/components")),
    ]
}

/// An agent that has reported every part.
fn reported(server: &Server, via: Via) -> Agent<'_> {
    let mut agent = Agent::new(server, via);
    agent.capabilities |= 0x10 | 0x4000;
    let mut full = agent.full();
    full.package_statuses = Some(packages(&["a", "b"]));
    full.available_components = Some(components(1, &["receivers", "exporters"]));
    full.remote_config_status = Some(say::status(&[5; 32], RemoteConfigStatuses::Applied, ""));
    assert_eq!(agent.ask(&full).error_response, None);
    server.agent("all parts", agent.uid, |agent| {
        agent["packages"]["installed"] == 2 && agent["config"]["status"] == "applied"
    });
    agent
}

/// One part, what it is called, and how it shows.
type Change = (fn(&mut AgentToServer), &'static [&'static str]);

const CHANGES: [Change; 6] = [
    (
        |message| message.health = Some(say::health(false, "changed")),
        &["health"],
    ),
    (
        |message| message.agent_description = Some(say::description(&[("only", "one")])),
        &["labels"],
    ),
    (
        |message| message.effective_config = Some(say::effective(&[("other", b"b: 2\n")])),
        &["effective"],
    ),
    (
        |message| {
            message.remote_config_status =
                Some(say::status(&[6; 32], RemoteConfigStatuses::Failed, "no"))
        },
        &["status", "reported"],
    ),
    (
        |message| message.package_statuses = Some(packages(&["a"])),
        &["packages"],
    ),
    (
        |message| message.available_components = Some(components(2, &["receivers"])),
        &["components"],
    ),
];

fn c_091_omitted_is_unchanged() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = reported(&server, via);
        for (change, parts) in CHANGES {
            let before = shown(&server, &agent);
            assert_eq!(agent.tell(change).error_response, None);
            let differs = || {
                let after = shown(&server, &agent);
                let pairs = before
                    .iter()
                    .zip(&after)
                    .filter(|(old, new)| old.1 != new.1);
                pairs.map(|(old, _)| old.0).collect::<Vec<_>>()
            };
            crate::deadline::until_true("the change", || !differs().is_empty());
            assert_eq!(differs(), parts, "{via:?}: everything else stays");
        }
    }
}

fn c_092_present_replaces() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = Agent::new(&server, via);
        let mut full = agent.full();
        full.agent_description = Some(say::description(&[("a", "1"), ("b", "2"), ("c", "3")]));
        let tree = full.health.get_or_insert_default();
        for name in ["pipeline:traces", "extensions"] {
            tree.component_health_map
                .insert(name.to_owned(), say::health(true, "StatusOK"));
        }
        full.effective_config = Some(say::effective(&[("a", b"a: 1\n"), ("b", b"b: 1\n")]));
        agent.ask(&full);
        server.agent("the first report", agent.uid, |agent| {
            agent["labels"]["c"] == "3"
        });
        agent.tell(|message| {
            message.agent_description = Some(say::description(&[("a", "1")]));
            let mut tree = say::health(true, "StatusOK");
            tree.component_health_map
                .insert("extensions".to_owned(), say::health(true, "StatusOK"));
            message.health = Some(tree);
            message.effective_config = Some(say::effective(&[("b", b"b: 2\n")]));
        });
        let labels = json!({"a": "1", "service.name": "conformance"});
        server.agent("labels", agent.uid, |agent| agent["labels"] == labels);
        server.below_agent("the tree", agent.uid, "/health", |tree| {
            tree["components"]
                .as_object()
                .is_some_and(|map| map.len() == 1)
        });
        server.below_agent("the files", agent.uid, "/effective-config", |config| {
            config["files"]
                .as_array()
                .is_some_and(|files| files.len() == 1)
                && config["files"][0]["body"] == "b: 2\n"
        });
    }
}

fn c_093_empty_replaces() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = reported(&server, via);
        agent.tell(|message| {
            message.effective_config = Some(EffectiveConfig::default());
            message.agent_description = Some(Default::default());
            message.package_statuses = Some(PackageStatuses::default());
        });
        server.below_agent("no files", agent.uid, "/effective-config", |config| {
            config["files"].as_array().is_some_and(Vec::is_empty)
        });
        server.agent("no labels", agent.uid, |agent| {
            agent["labels"] == json!({}) && agent["packages"]["installed"] == 0
        });
    }
}
