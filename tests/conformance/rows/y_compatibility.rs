//! Y. Older and newer clients.

use ampora_proto::wire::{AgentToServer, RemoteConfigStatus};
use bytes::Bytes;
use prost::Message;

use crate::agent::{Agent, BOTH};
use crate::row::{Row, elsewhere, row};
use crate::say;
use crate::server;

pub(crate) const ROWS: &[Row] = &[
    row!(
        313,
        "must",
        "Unknown fields are ignored.",
        c_313_unknown_fields
    ),
    row!(
        314,
        "derived",
        "Unknown enum numbers are not fatal.",
        c_314_unknown_enums
    ),
    row!(
        315,
        "MUST",
        "Nothing private is put into reserved bits or fields.",
        c_315_nothing_private
    ),
    row!(
        316,
        "derived",
        "Fields come in any order; a repeated message field merges.",
        c_316_order_and_repetition
    ),
    row!(
        317,
        "derived",
        "Clients of 2022 work: no uid header, no fields from 11 on.",
        c_317_old_clients
    ),
    row!(
        318,
        "derived",
        "Clients of newer versions work.",
        c_318_new_clients
    ),
    row!(
        319,
        "MUST",
        "Fields in development never go to agents that do not signal them.",
        c_319_no_fields_in_development
    ),
    elsewhere!(
        320,
        "derived",
        "At least one client that is not in Go runs in the pipeline.",
        "tests/interop/libraries.rs",
        ["node_http", "python_http", "java_websocket", "java_http"]
    ),
];

/// Fields that no version has, of every wire type, a group among them.
fn unknown() -> Vec<u8> {
    let mut bytes = Vec::new();
    let key = |number: u32, wire: u32, bytes: &mut Vec<u8>| {
        prost::encoding::encode_varint(u64::from(number << 3 | wire), bytes);
    };
    for number in [16, 100, 536_870_911] {
        key(number, 0, &mut bytes);
        bytes.extend_from_slice(&[0xFF, 0xFF, 0x03]);
        key(number, 1, &mut bytes);
        bytes.extend_from_slice(&[7; 8]);
        bytes.extend(say::field(number, b"anything"));
        key(number, 5, &mut bytes);
        bytes.extend_from_slice(&[7; 4]);
        key(number, 3, &mut bytes);
        bytes.extend(say::field(1, b"inside"));
        key(number, 4, &mut bytes);
    }
    bytes
}

fn c_313_unknown_fields() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = Agent::new(&server, via);
        // in the message, in a part, and in a part of a part
        let mut body = agent.message().encode_to_vec();
        body.extend(unknown());
        let description = say::description(&[("conf", &agent.label)]);
        body.extend(say::field(
            3,
            &[description.encode_to_vec(), unknown()].concat(),
        ));
        let leaf = [say::health(true, "StatusOK").encode_to_vec(), unknown()].concat();
        let entry = [say::field(1, b"leaf"), say::field(2, &leaf), unknown()].concat();
        let tree = [
            say::health(false, "odd").encode_to_vec(),
            say::field(6, &entry),
        ]
        .concat();
        body.extend(say::field(5, &tree));
        let reply = agent.ask_bytes(&body);
        assert_eq!(reply.error_response, None, "{via:?}");
        agent.settled();
        server.below_agent("the tree", agent.uid, "/health", |tree| {
            tree["status"] == "odd" && tree["components"]["leaf"]["healthy"] == true
        });
    }
}

fn c_314_unknown_enums() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = Agent::introduced(&server, via);
        let reply = agent.tell(|message: &mut AgentToServer| {
            message.remote_config_status = Some(RemoteConfigStatus {
                status: 77,
                last_remote_config_hash: Bytes::from_static(&[4; 32]),
                ..RemoteConfigStatus::default()
            });
            let package = ampora_proto::wire::PackageStatus {
                status: -3,
                ..Default::default()
            };
            message.package_statuses = Some(ampora_proto::wire::PackageStatuses {
                packages: [("p".to_owned(), package)].into(),
                ..Default::default()
            });
            message.health = Some(say::health(false, "with unknown numbers"));
        });
        assert_eq!(reply.error_response, None, "{via:?}");
        let shown = server.agent("the report", agent.uid, |agent| {
            agent["health"]["status"] == "with unknown numbers"
        });
        assert_eq!(shown["config"]["reported_hash"], hex::encode([4; 32]));
        assert_eq!(shown["config"]["status"], "unset");
        assert_eq!(shown["packages"]["pending"], 1);
    }
}

fn c_315_nothing_private() {
    // every message of the suite is decoded and measured: what the schema does not know would be left over
    let server = server::shared();
    for via in BOTH {
        let mut agent = Agent::introduced(&server, via);
        server.assign_yaml(&agent.label, "a: 1\n");
        agent.offer();
        server.dispatch("restart", agent.uid);
        agent.next_that("the command", |message| message.command.is_some());
        agent.tell(|message| message.flags = 1);
        agent.ask_bytes(&[0xFF; 9]);
    }
    assert!(crate::watch::messages() > 10);
}

fn c_316_order_and_repetition() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = Agent::new(&server, via);
        let first = say::description(&[("conf", &agent.label)]);
        let second = say::description(&[("second", "half")]);
        let number = agent.message();
        let mut body = say::field(5, &say::health(true, "first of all").encode_to_vec());
        body.extend(say::field(3, &second.encode_to_vec()));
        body.extend_from_slice(&[0x10, 9]);
        body.extend(number.encode_to_vec());
        body.extend_from_slice(&[0x10, 0]);
        body.extend(say::field(3, &first.encode_to_vec()));
        let reply = agent.ask_bytes(&body);
        assert_eq!(
            (reply.error_response, reply.instance_uid),
            (None, agent.uid.as_bytes().to_vec().into())
        );
        server.agent("both halves", agent.uid, |shown| {
            shown["labels"]["conf"] == agent.label.as_str()
                && shown["labels"]["second"] == "half"
                && shown["health"]["status"] == "first of all"
        });
    }
}

fn c_317_old_clients() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = Agent::new(&server, via);
        agent.capabilities = 0x1807;
        let full = agent.full();
        let reply = agent.ask(&full);
        assert_eq!((reply.error_response, reply.flags), (None, 0), "{via:?}");
        agent.settled();
        let hash = server.assign_yaml(&agent.label, "a: 1\n");
        assert_eq!(agent.apply_offer(), hash);
    }
}

fn c_318_new_clients() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = Agent::introduced(&server, via);
        // bits of an attested protocol, and a role beside each file
        agent.capabilities |= 0x3_0000;
        let reply = agent.tell(|message| {
            let mut config = say::effective(&[("main", b"a: 1\n")]);
            let files = &mut config.config_map.get_or_insert_default().config_map;
            files
                .values_mut()
                .for_each(|file| file.role = "collector".to_owned());
            message.effective_config = Some(config);
        });
        assert_eq!(reply.error_response, None);
        server.below_agent("the file", agent.uid, "/effective-config", |config| {
            config["files"][0]["name"] == "main"
        });
    }
}

fn c_319_no_fields_in_development() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = Agent::introduced(&server, via);
        server.assign_yaml(&agent.label, "a: 1\n");
        agent.apply_offer();
        for message in agent.beats(10) {
            assert_eq!(
                (message.custom_capabilities, message.custom_message),
                (None, None)
            );
            assert_eq!(
                (message.connection_settings, message.packages_available),
                (None, None)
            );
            assert_eq!(message.flags & !0x1, 0);
        }
    }
}
