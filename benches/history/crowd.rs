//! Events as a fleet says them: mostly health, some words about configurations, few of the rest.

use ampora_raft::ids::{Fence, InstanceUid};
use ampora_storage::history::event::{Event, EventKind, Spooled};

/// Kinds in the shares in which they are said.
const KINDS: [EventKind; 10] = [
    EventKind::Health,
    EventKind::Health,
    EventKind::Health,
    EventKind::Health,
    EventKind::Health,
    EventKind::ConfigStatus,
    EventKind::ConfigStatus,
    EventKind::Connected,
    EventKind::Disconnected,
    EventKind::Description,
];

/// An agent of the crowd, of uids that are spread over all.
pub(crate) fn agent(number: u64) -> InstanceUid {
    let spread = u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    InstanceUid::from_u128(spread | 1)
}

/// The event of a number: agents take turns, and kinds as well.
pub(crate) fn event(seq: u64, agents: u64, at_ms: u64) -> Spooled {
    let number = seq % agents;
    let kind = KINDS[usize::try_from(seq / agents + number).unwrap_or_default() % KINDS.len()];
    let body = match kind {
        EventKind::Health => format!(
            r#"{{"healthy":{},"status":"StatusOK","last_error":"","since":"2026-11-26T10:00:00.000Z","components":{{"pipeline:traces":{{"healthy":true,"status":"StatusOK"}},"pipeline:metrics":{{"healthy":true,"status":"StatusOK"}}}}}}"#,
            !seq.is_multiple_of(7),
        ),
        EventKind::ConfigStatus => {
            format!(r#"{{"hash":"{seq:064x}","status":"applied","error":""}}"#)
        }
        EventKind::Connected => r#"{"transport":"websocket"}"#.to_owned(),
        EventKind::Disconnected => r#"{"reason":"lost"}"#.to_owned(),
        EventKind::Description | EventKind::EffectiveConfig | EventKind::Packages => format!(
            r#"{{"name":"edge-{number}","agent_type":"otelcol-contrib","agent_version":"0.139.0","labels":{{"env":"prod","host.name":"edge-{number}","os.type":"linux","region":"eu-west-1"}},"capabilities":["ReportsStatus","AcceptsRemoteConfig","ReportsEffectiveConfig","ReportsHealth"]}}"#
        ),
    };
    Spooled {
        seq,
        event: Event {
            at_ms,
            agent: agent(number),
            fence: Fence(1),
            kind,
            body: body.into(),
            document: None,
        },
    }
}
