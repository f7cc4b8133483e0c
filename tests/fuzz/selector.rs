//! Any text as a selector, and any agent to choose: the first line is the selector, each other one gives the agent
//! something (`name=…`, `type=…`, `version=…`, `s:KEY=…` a server label, `a:KEY=…` an array, else a reported label).
#![no_main]

use std::sync::Arc;

use ampora_raft::ids::{InstanceUid, NodeId};
use ampora_raft::records::{AgentRecord, ConfigState, Description, Label};
use ampora_raft::selector::{Expr, SOURCE_BYTES_MAX, Selector, Step};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let mut lines = text.split('\n');
    let source = lines.next().unwrap_or_default();
    let agent = agent(lines);
    let selector = match Selector::parse(source) {
        Ok(selector) => selector,
        Err(error) => {
            assert!(error.offset <= source.len(), "{error} in {source:?}");
            assert!(
                source.is_char_boundary(error.offset),
                "{error} in {source:?}"
            );
            return;
        }
    };
    assert_eq!(&*selector.source, source);
    let chosen = selector.matches(&agent);

    let steps = Vec::<Step>::from(selector.expr().clone());
    assert_eq!(
        Expr::try_from(steps).as_ref(),
        Ok(selector.expr()),
        "{source:?}"
    );

    let printed = selector.expr().to_string();
    if printed.len() > SOURCE_BYTES_MAX {
        return;
    }
    let again = Selector::parse(&printed).expect("what is printed is a selector");
    assert_eq!(
        again.expr(),
        selector.expr(),
        "{source:?} is printed {printed:?}"
    );
    assert_eq!(again.expr().to_string(), printed);
    assert_eq!(again.matches(&agent), chosen);
    if let Ok(not) = Selector::parse(&format!("!({source})")) {
        assert_eq!(not.matches(&agent), !chosen);
    }
});

fn agent<'a>(lines: impl Iterator<Item = &'a str>) -> AgentRecord {
    let mut description = Description::default();
    let mut server_labels: Vec<(Arc<str>, Arc<str>)> = Vec::new();
    for line in lines {
        let (key, value) = line.split_once('=').unwrap_or((line, ""));
        match (key, key.split_once(':')) {
            ("name", _) => description.name = value.into(),
            ("type", _) => description.agent_type = value.into(),
            ("version", _) => description.agent_version = value.into(),
            (_, Some(("s", key))) => server_labels.push((key.into(), value.into())),
            (_, Some(("a", key))) => description.labels.push(label(key, value, false)),
            (_, _) => description.labels.push(label(key, value, true)),
        }
    }
    AgentRecord {
        uid: InstanceUid::from_u128(1),
        description: Arc::new(description),
        server_labels,
        capabilities: 0,
        custom_capabilities: Vec::new(),
        health: None,
        config: ConfigState::default(),
        effective: None,
        components_hash: None,
        components: None,
        packages: None,
        home: NodeId(1),
        session: None,
        released: None,
        first_seen_ms: 0,
        last_change_ms: 0,
    }
}

fn label(key: &str, value: &str, scalar: bool) -> Label {
    Label {
        key: key.into(),
        value: value.into(),
        scalar,
    }
}
