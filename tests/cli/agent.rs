//! An agent of a few lines that polls over plain HTTP, for commands that need somebody to be there.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use ampora_proto::wire;
use prost::Message;

/// Reports status, takes and reports remote configuration, takes restarts, reports health and heartbeats.
pub(crate) const CAPABLE: u64 = 0x1 | 0x2 | 0x400 | 0x800 | 0x1000;
/// Reports status alone.
pub(crate) const MUTE: u64 = 0x1;

/// One agent.
pub(crate) struct Agent {
    door: SocketAddr,
    uid: [u8; 16],
    sequence: u64,
    capabilities: u64,
}

impl Agent {
    /// An agent that has said who it is.
    pub(crate) fn connect(door: SocketAddr, number: u8, capabilities: u64) -> Agent {
        let mut agent = Agent {
            door,
            uid: [number; 16],
            sequence: 0,
            capabilities,
        };
        agent.say(wire::AgentToServer {
            agent_description: Some(wire::AgentDescription {
                identifying_attributes: vec![label("service.name", "collector")],
                non_identifying_attributes: vec![
                    label("env", "prod"),
                    label("host.name", &format!("host-{number}\u{1b}[2J")),
                ],
            }),
            health: Some(health(true)),
            ..Default::default()
        });
        agent
    }

    /// Its uid as text.
    pub(crate) fn uid(&self) -> String {
        uuid::Uuid::from_bytes(self.uid).to_string()
    }

    /// The same agent, which finds the server elsewhere from here on.
    pub(crate) fn moves_to(&mut self, door: SocketAddr) {
        self.door = door;
    }

    /// Says goodbye.
    pub(crate) fn leaves(&mut self) {
        self.say(wire::AgentToServer {
            agent_disconnect: Some(wire::AgentDisconnect::default()),
            ..Default::default()
        });
    }

    /// Polls without news.
    pub(crate) fn poll(&mut self) -> wire::ServerToAgent {
        self.say(wire::AgentToServer::default())
    }

    /// Says that it is well or not.
    pub(crate) fn is_healthy(&mut self, is_healthy: bool) {
        self.say(wire::AgentToServer {
            health: Some(health(is_healthy)),
            ..Default::default()
        });
    }

    /// Says that it runs what was offered.
    pub(crate) fn applied(&mut self, hash: &[u8]) {
        self.say(wire::AgentToServer {
            remote_config_status: Some(wire::RemoteConfigStatus {
                last_remote_config_hash: hash.to_vec().into(),
                status: wire::RemoteConfigStatuses::Applied.into(),
                ..Default::default()
            }),
            ..Default::default()
        });
    }

    /// Says goodbye.
    pub(crate) fn leave(&mut self) {
        self.say(wire::AgentToServer {
            agent_disconnect: Some(wire::AgentDisconnect {}),
            ..Default::default()
        });
    }

    fn say(&mut self, mut message: wire::AgentToServer) -> wire::ServerToAgent {
        message.instance_uid = self.uid.to_vec().into();
        message.sequence_num = self.sequence;
        message.capabilities = self.capabilities;
        self.sequence += 1;
        let answer = post(self.door, &message.encode_to_vec());
        wire::ServerToAgent::decode(answer.as_slice()).expect("a message of the server")
    }
}

fn post(door: SocketAddr, body: &[u8]) -> Vec<u8> {
    let mut socket = TcpStream::connect(door).expect("an open door");
    let patience = Some(Duration::from_secs(20));
    socket.set_read_timeout(patience).expect("a socket");
    let head = format!(
        "POST /v1/opamp HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
         content-type: application/x-protobuf\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    socket.write_all(head.as_bytes()).expect("a request");
    socket.write_all(body).expect("a request");
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).expect("an answer");
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let at = end.expect("a head") + 4;
    let head = String::from_utf8_lossy(&answer[..at]).to_lowercase();
    assert!(head.starts_with("http/1.1 200 "), "{head}");
    assert!(!head.contains("transfer-encoding"), "{head}");
    answer.split_off(at)
}

fn label(key: &str, value: &str) -> wire::KeyValue {
    wire::KeyValue {
        key: key.to_owned(),
        value: Some(wire::AnyValue {
            value: Some(wire::any_value::Value::StringValue(value.to_owned())),
        }),
    }
}

fn health(is_healthy: bool) -> wire::ComponentHealth {
    wire::ComponentHealth {
        healthy: is_healthy,
        ..Default::default()
    }
}
