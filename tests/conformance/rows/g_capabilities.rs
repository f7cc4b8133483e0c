//! G. What both sides say they can do, and that it is kept to.

use ampora_proto::wire::{PackageStatuses, RemoteConfigStatuses};

use crate::agent::{Agent, BOTH};
use crate::row::{Row, row};
use crate::say;
use crate::server::{self, Server};

pub(crate) const ROWS: &[Row] = &[
    row!(
        73,
        "MUST",
        "The first message to an agent carries capabilities, AcceptsStatus among them.",
        c_073_first_message
    ),
    row!(
        74,
        "derived",
        "So does the first one of each connection and after a restart of the server.",
        c_074_first_of_each_connection
    ),
    row!(
        75,
        "MAY",
        "Later messages may say 0, which never means none.",
        c_075_later_messages
    ),
    row!(76, "MUST", "Undefined bits are 0.", c_076_defined_bits),
    row!(
        77,
        "derived",
        "Only what is implemented is announced.",
        c_077_announced_is_implemented
    ),
    row!(
        78,
        "derived",
        "Unknown bits of agents are tolerated and kept.",
        c_078_unknown_bits
    ),
    row!(
        79,
        "MUST",
        "What an agent does not support is never sent to it.",
        c_079_nothing_unsupported
    ),
    row!(
        80,
        "MUST",
        "Capabilities may change with any message, and count from then on.",
        c_080_changing_capabilities
    ),
    row!(
        81,
        "derived",
        "A missing ReportsStatus is tolerated.",
        c_081_without_reports_status
    ),
    row!(
        82,
        "derived",
        "Parts whose bit is missing do no harm and provoke no offer.",
        c_082_parts_without_their_bit
    ),
];

fn c_073_first_message() {
    let server = server::shared();
    for via in BOTH {
        let reply = Agent::new(&server, via).hello();
        assert_eq!(reply.capabilities & 0x1, 0x1, "{via:?}: {reply:?}");
        let reply = Agent::new(&server, via).beat();
        assert_eq!(reply.capabilities & 0x1, 0x1, "{via:?} without a report");
    }
}

fn c_074_first_of_each_connection() {
    let server = Server::start(&[]);
    let mut known = Vec::new();
    for via in BOTH {
        let mut agent = Agent::introduced(&server, via);
        agent.reconnect();
        assert_eq!(
            agent.beat().capabilities & 0x1,
            0x1,
            "{via:?}, another connection"
        );
        known.push((via, agent.uid, agent.sequence, agent.label.clone()));
    }
    let server = server.killed_and_started();
    for (via, uid, sequence, label) in known {
        let mut agent = Agent::known_as(&server, via, uid, label);
        agent.sequence = sequence;
        assert_eq!(
            agent.beat().capabilities & 0x1,
            0x1,
            "{via:?}, another start"
        );
    }
}

fn c_075_later_messages() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = Agent::new(&server, via);
        let first = agent.hello().capabilities;
        for reply in agent.beats(5) {
            assert!(reply.capabilities == 0 || reply.capabilities == first);
        }
    }
}

fn c_076_defined_bits() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = Agent::new(&server, via);
        agent.capabilities = u64::MAX;
        assert_eq!(agent.hello().capabilities & !0x7F, 0);
    }
    assert!(
        crate::watch::messages() > 0,
        "every message of the suite is watched for this"
    );
}

fn c_077_announced_is_implemented() {
    let server = server::shared();
    // status, remote configuration offered, effective configuration and package statuses taken
    for via in BOTH {
        assert_eq!(Agent::new(&server, via).hello().capabilities, 0x17);
    }
}

fn c_078_unknown_bits() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = Agent::new(&server, via);
        agent.capabilities = u64::MAX;
        assert_eq!(agent.hello().error_response, None);
        let shown = server.agent("64 bits", agent.uid, |agent| {
            agent["capabilities"]
                .as_array()
                .is_some_and(|names| names.len() == 64)
        });
        assert_eq!(shown["capabilities"][63], "bit63");
    }
}

fn c_079_nothing_unsupported() {
    let server = server::shared();
    for via in BOTH {
        let mut witness = Agent::introduced(&server, via);
        let mut agent = Agent::known_as(&server, via, say::uid(), witness.label.clone());
        agent.capabilities = 0x1;
        agent.tell(|message| {
            message.agent_description = Some(say::description(&[("conf", &witness.label)]));
            message.available_components = Some(ampora_proto::wire::AvailableComponents {
                hash: vec![1; 32].into(),
                ..Default::default()
            });
        });
        agent.settled();
        let hash = server.assign_yaml(&witness.label, "a: 1\n");
        agent.wanted(&hash);
        witness.offer();
        let (status, answer) = server.dispatch("restart", agent.uid);
        assert_eq!(status, 409, "{answer}");
        let (status, answer) = server.dispatch("push_config", agent.uid);
        assert_eq!(status, 409, "{answer}");
        for message in agent.beats(5) {
            assert_eq!((message.remote_config, message.command), (None, None));
            assert_eq!(
                (message.connection_settings, message.packages_available),
                (None, None)
            );
            assert_eq!(
                (message.custom_message, message.custom_capabilities),
                (None, None)
            );
            assert_eq!(message.flags & 0x2, 0, "no bit for components either");
        }
    }
}

fn c_080_changing_capabilities() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = Agent::introduced(&server, via);
        let accepting = agent.capabilities;
        agent.capabilities &= !0x2;
        agent.beat();
        let hash = server.assign_yaml(&agent.label, "a: 1\n");
        agent.wanted(&hash);
        let messages = agent.beats(5);
        assert!(
            messages
                .iter()
                .all(|message| message.remote_config.is_none())
        );
        agent.capabilities = accepting;
        agent.beat();
        assert_eq!(
            agent.offer().config_hash,
            hash,
            "{via:?}: the offer resumes"
        );
    }
}

fn c_081_without_reports_status() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = Agent::new(&server, via);
        agent.capabilities = 0x2;
        assert_eq!(agent.hello().error_response, None);
        agent.settled();
        let hash = server.assign_yaml(&agent.label, "a: 1\n");
        assert_eq!(agent.offer().config_hash, hash);
    }
}

fn c_082_parts_without_their_bit() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = Agent::new(&server, via);
        agent.capabilities = 0x1;
        let mut message = agent.full();
        message.package_statuses = Some(PackageStatuses::default());
        message.remote_config_status = Some(say::status(b"", RemoteConfigStatuses::Unset, ""));
        let reply = agent.ask(&message);
        assert_eq!((reply.error_response, reply.remote_config), (None, None));
        agent.settled();
        let hash = server.assign_yaml(&agent.label, "a: 1\n");
        agent.wanted(&hash);
        let reply = agent.report(b"", RemoteConfigStatuses::Unset);
        assert_eq!((reply.error_response, reply.remote_config), (None, None));
        assert!(
            agent
                .beats(3)
                .iter()
                .all(|reply| reply.remote_config.is_none())
        );
    }
}
