//! One simulated agent: what it says, and what it does with what it is told. Pure: the time is an argument.

use std::collections::HashMap;

use ampora_proto::capabilities::agent as bits;
use ampora_proto::wire;
use bytes::Bytes;
use prost::Message;
use uuid::Uuid;

use super::plan::{BAD, Plan, Profile};

/// What a simulated agent can do: what a supervisor with everything switched on can, so far.
const CAPABILITIES: u64 = bits::REPORTS_STATUS
    | bits::ACCEPTS_REMOTE_CONFIG
    | bits::REPORTS_EFFECTIVE_CONFIG
    | bits::REPORTS_REMOTE_CONFIG
    | bits::ACCEPTS_RESTART_COMMAND
    | bits::REPORTS_HEALTH
    | bits::REPORTS_HEARTBEAT;

/// The header byte of a WebSocket message.
const HEADER: u8 = 0;

/// What came of a message of the server.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Heard {
    /// Messages to send now, in order.
    pub(super) answers: Vec<Vec<u8>>,
    /// A configuration was offered.
    pub(super) offered: bool,
    /// It contains [`BAD`].
    pub(super) bad: bool,
    /// A restart was carried out.
    pub(super) restarted: bool,
    /// The server asked for everything again.
    pub(super) asked_again: bool,
    /// The server refused the message before.
    pub(super) refused: bool,
    /// The agent has another uid from here on.
    pub(super) renamed: bool,
}

/// One agent.
#[derive(Debug)]
pub(super) struct SimulatedAgent {
    uid: Uuid,
    number: usize,
    sequence: u64,
    capabilities: u64,
    effective: Bytes,
    applied: Bytes,
    failed: bool,
    healthy: bool,
    round: u64,
    started_ns: u64,
}

impl SimulatedAgent {
    /// The agent with this number; the same seed gives the same one.
    pub(super) fn new(plan: &Plan, number: usize, wall_ms: u64) -> Self {
        let mut effective = format!("# agent {number}\n").into_bytes();
        effective.resize(plan.effective_bytes.max(effective.len()), b'#');
        Self {
            uid: uid(plan.seed, number),
            number,
            sequence: 0,
            capabilities: CAPABILITIES,
            effective: Bytes::from(effective),
            applied: Bytes::new(),
            failed: false,
            healthy: true,
            round: 0,
            started_ns: wall_ms.saturating_mul(1_000_000),
        }
    }

    /// The uid under which it speaks.
    pub(super) fn uid(&self) -> Uuid {
        self.uid
    }

    /// What it says first on a connection.
    pub(super) fn hello(&mut self, plan: &Plan) -> Vec<u8> {
        if plan.resume && self.sequence > 0 {
            self.heartbeat()
        } else {
            self.full_state(plan)
        }
    }

    /// Everything about it.
    pub(super) fn full_state(&mut self, plan: &Plan) -> Vec<u8> {
        let text = |key: &str, value: &str| wire::KeyValue {
            key: key.to_owned(),
            value: Some(wire::AnyValue {
                value: Some(wire::any_value::Value::StringValue(value.to_owned())),
            }),
        };
        let host = format!("host-{:06}", self.number);
        let mut other = vec![text("host.name", &host), text("os.type", "linux")];
        other.extend(plan.labels.iter().map(|(key, value)| text(key, value)));
        let description = wire::AgentDescription {
            identifying_attributes: vec![
                text("service.name", "simulated"),
                text("service.version", env!("CARGO_PKG_VERSION")),
                text("service.instance.id", &self.uid.to_string()),
            ],
            non_identifying_attributes: other,
        };
        let message = wire::AgentToServer {
            agent_description: Some(description),
            health: Some(self.health(self.healthy, "StatusOK", "")),
            effective_config: Some(self.effective_config()),
            remote_config_status: Some(self.status(match (&*self.applied, self.failed) {
                ([], _) => wire::RemoteConfigStatuses::Unset,
                (_, true) => wire::RemoteConfigStatuses::Failed,
                (_, false) => wire::RemoteConfigStatuses::Applied,
            })),
            ..self.message()
        };
        framed(&message)
    }

    /// A heartbeat: nothing but who it is.
    pub(super) fn heartbeat(&mut self) -> Vec<u8> {
        framed(&self.message())
    }

    /// What the agent says on its own when the clock has moved on by a step of its profile.
    pub(super) fn step(&mut self, profile: Profile) -> Vec<u8> {
        self.round += 1;
        let mut message = self.message();
        match profile {
            Profile::Idle
            | Profile::FlatOut
            | Profile::Refusing
            | Profile::Breaking
            | Profile::Silent => {}
            Profile::Chatty => {
                let text = format!("queue {}", self.round % 97);
                message.health = Some(self.health(true, &text, ""));
                if self.round.is_multiple_of(10) {
                    let body = format!("# agent {} round {}\n", self.number, self.round);
                    self.effective = Bytes::from(body);
                    message.effective_config = Some(self.effective_config());
                }
            }
            Profile::CrashLooping => {
                let error = format!("collector exited unexpectedly, pid {}", 1000 + self.round);
                message.health = Some(self.health(false, "", &error));
            }
        }
        framed(&message)
    }

    /// What it does with a message of the server.
    pub(super) fn hear(&mut self, plan: &Plan, message: wire::ServerToAgent) -> Heard {
        const REPORT_FULL_STATE: u64 = 0x1;
        let mut heard = Heard {
            refused: message.error_response.is_some(),
            ..Heard::default()
        };
        if let Some(new) = message.agent_identification
            && let Ok(uid) = Uuid::from_slice(&new.new_instance_uid)
        {
            self.uid = uid;
            heard.renamed = true;
        }
        if let Some(offer) = message.remote_config {
            heard.offered = true;
            (heard.bad, heard.answers) = self.apply(plan.profile, offer);
        }
        if message.command.is_some() {
            heard.restarted = true;
            for healthy in [false, true] {
                let mut report = self.message();
                report.health = Some(self.health(healthy, "", ""));
                heard.answers.push(framed(&report));
            }
        }
        if message.flags & REPORT_FULL_STATE != 0 {
            heard.asked_again = true;
            heard.answers.push(self.full_state(plan));
        }
        heard
    }

    /// As a supervisor: APPLYING at once, then what is in use with APPLIED, or what its profile makes of a bad
    /// configuration. The first value says whether it is one.
    fn apply(&mut self, profile: Profile, offer: wire::AgentRemoteConfig) -> (bool, Vec<Vec<u8>>) {
        let files = offer.config.unwrap_or_default().config_map;
        let mut bodies: Vec<_> = files.into_iter().collect();
        bodies.sort_by(|a, b| a.0.cmp(&b.0));
        let body = bodies.into_iter().next().map(|(_, file)| file.body);
        let body = body.unwrap_or_default();
        let bad = body
            .windows(BAD.len())
            .any(|window| window == BAD.as_bytes());
        if bad && profile == Profile::Silent {
            return (bad, Vec::new());
        }
        self.applied = offer.config_hash;
        self.failed = bad && profile == Profile::Refusing;
        let mut applying = self.message();
        applying.remote_config_status = Some(self.status(wire::RemoteConfigStatuses::Applying));
        if self.failed {
            let mut failed = self.message();
            failed.remote_config_status = Some(self.status(wire::RemoteConfigStatuses::Failed));
            return (bad, vec![framed(&applying), framed(&failed)]);
        }
        self.effective = body;
        let mut applied = self.message();
        applied.remote_config_status = Some(self.status(wire::RemoteConfigStatuses::Applied));
        applied.effective_config = Some(self.effective_config());
        let mut answers = vec![framed(&applying), framed(&applied)];
        let breaks = bad && profile == Profile::Breaking;
        if self.healthy == breaks {
            self.healthy = !breaks;
            let mut report = self.message();
            let error = if breaks { "exited unexpectedly" } else { "" };
            report.health = Some(self.health(self.healthy, "", error));
            answers.push(framed(&report));
        }
        (bad, answers)
    }

    /// The next message, with nothing in it yet.
    fn message(&mut self) -> wire::AgentToServer {
        let sequence_num = self.sequence;
        self.sequence += 1;
        wire::AgentToServer {
            instance_uid: Bytes::copy_from_slice(self.uid.as_bytes()),
            sequence_num,
            capabilities: self.capabilities,
            ..wire::AgentToServer::default()
        }
    }

    fn health(&self, healthy: bool, status: &str, last_error: &str) -> wire::ComponentHealth {
        wire::ComponentHealth {
            healthy,
            start_time_unix_nano: self.started_ns,
            last_error: last_error.to_owned(),
            status: status.to_owned(),
            status_time_unix_nano: self.started_ns + self.round,
            ..wire::ComponentHealth::default()
        }
    }

    fn effective_config(&self) -> wire::EffectiveConfig {
        let file = wire::AgentConfigFile {
            body: self.effective.clone(),
            content_type: "text/yaml".to_owned(),
            ..wire::AgentConfigFile::default()
        };
        wire::EffectiveConfig {
            config_map: Some(wire::AgentConfigMap {
                config_map: HashMap::from([(String::new(), file)]).into_iter().collect(),
            }),
        }
    }

    fn status(&self, status: wire::RemoteConfigStatuses) -> wire::RemoteConfigStatus {
        wire::RemoteConfigStatus {
            last_remote_config_hash: self.applied.clone(),
            status: status.into(),
            error_message: if self.failed {
                format!("the configuration contains {BAD}")
            } else {
                String::new()
            },
        }
    }
}

fn framed(message: &wire::AgentToServer) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 + message.encoded_len());
    out.push(HEADER);
    message.encode_raw(&mut out);
    out
}

/// A uid that looks like version 7, so that the fleet sees keys as they are in life.
fn uid(seed: u64, number: usize) -> Uuid {
    let number = u64::try_from(number).unwrap_or(u64::MAX);
    let mixed = (seed ^ number.rotate_left(32)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let bits = (u128::from(seed) << 80) ^ (u128::from(mixed) << 16) ^ u128::from(number);
    uuid::Builder::from_u128(bits)
        .with_version(uuid::Version::SortRand)
        .with_variant(uuid::Variant::RFC4122)
        .into_uuid()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::*;

    fn plan() -> Plan {
        Plan {
            urls: vec!["ws://127.0.0.1:4320/v1/opamp".parse().expect("a URL")],
            agents: 1,
            per_socket: 1,
            profile: Profile::Idle,
            connects_per_second: 1,
            heartbeat: Duration::from_secs(30),
            in_flight: 1,
            effective_bytes: 300,
            resume: false,
            labels: vec![("env".to_owned(), "prod".to_owned())],
            seed: 7,
        }
    }

    fn decode(frame: &[u8]) -> wire::AgentToServer {
        assert_eq!(frame[0], HEADER);
        wire::AgentToServer::decode(&frame[1..]).expect("a message")
    }

    #[test]
    fn uids_are_many_and_stay_the_same() {
        let some: BTreeSet<_> = (0..10_000).map(|number| uid(1, number)).collect();
        assert_eq!(some.len(), 10_000);
        assert_eq!(uid(3, 5), uid(3, 5));
        assert_ne!(uid(3, 5), uid(4, 5));
    }

    #[test]
    fn an_offer_is_applied_and_said_so_in_order() {
        let plan = plan();
        let mut agent = SimulatedAgent::new(&plan, 0, 1);
        let first = decode(&agent.full_state(&plan));
        assert_eq!(first.sequence_num, 0);
        let config = first
            .effective_config
            .expect("one")
            .config_map
            .expect("a map");
        assert_eq!(config.config_map[""].body.len(), 300);
        let file = wire::AgentConfigFile {
            body: Bytes::from_static(b"a: 1\n"),
            ..Default::default()
        };
        let offer = wire::AgentRemoteConfig {
            config: Some(wire::AgentConfigMap {
                config_map: [(String::new(), file)].into_iter().collect(),
            }),
            config_hash: Bytes::from_static(&[9; 32]),
        };
        let heard = agent.hear(
            &plan,
            wire::ServerToAgent {
                remote_config: Some(offer),
                ..Default::default()
            },
        );
        assert!(heard.offered && heard.answers.len() == 2);
        let last = decode(&heard.answers[1]);
        assert_eq!(last.sequence_num, 2);
        let status = last.remote_config_status.expect("a status");
        assert_eq!(status.status(), wire::RemoteConfigStatuses::Applied);
        assert_eq!(status.last_remote_config_hash, vec![9; 32]);
    }

    #[test]
    fn an_agent_that_resumes_says_everything_once_and_when_it_is_asked() {
        let plan = Plan {
            resume: true,
            ..plan()
        };
        let mut agent = SimulatedAgent::new(&plan, 0, 1);
        assert!(decode(&agent.hello(&plan)).agent_description.is_some());
        let again = decode(&agent.hello(&plan));
        assert_eq!((again.sequence_num, again.agent_description), (1, None));
        let asks = wire::ServerToAgent {
            flags: 1,
            ..Default::default()
        };
        let heard = agent.hear(&plan, asks);
        let answer = decode(&heard.answers[0]);
        assert!(heard.asked_again && answer.agent_description.is_some());
        assert_eq!(answer.sequence_num, 2);
    }

    #[test]
    fn a_bad_configuration_is_met_by_profile() {
        let offer = |body: &'static [u8]| wire::ServerToAgent {
            remote_config: Some(wire::AgentRemoteConfig {
                config: Some(wire::AgentConfigMap {
                    config_map: [(
                        String::new(),
                        wire::AgentConfigFile {
                            body: Bytes::from_static(body),
                            ..Default::default()
                        },
                    )]
                    .into_iter()
                    .collect(),
                }),
                config_hash: Bytes::from_static(&[9; 32]),
            }),
            ..Default::default()
        };
        use wire::RemoteConfigStatuses::{Applied, Applying, Failed};
        for (profile, words, healthy) in [
            (Profile::Idle, &[Applying, Applied][..], None),
            (Profile::Refusing, &[Applying, Failed], None),
            (Profile::Breaking, &[Applying, Applied], Some(false)),
            (Profile::Silent, &[], None),
        ] {
            let plan = Plan { profile, ..plan() };
            let mut agent = SimulatedAgent::new(&plan, 0, 1);
            let heard = agent.hear(&plan, offer(b"a: simulate-bad"));
            assert!(heard.bad && heard.offered);
            let said: Vec<_> = heard.answers.iter().map(|frame| decode(frame)).collect();
            let statuses = said
                .iter()
                .filter_map(|said| said.remote_config_status.as_ref());
            let statuses: Vec<_> = statuses.map(|status| status.status()).collect();
            assert_eq!(statuses, words, "{profile:?}");
            let last = said
                .iter()
                .filter_map(|said| said.health.as_ref())
                .next_back();
            assert_eq!(last.map(|health| health.healthy), healthy, "{profile:?}");
            let good = agent.hear(&plan, offer(b"a: 1"));
            assert!(!good.bad);
            let well = decode(good.answers.last().expect("an answer"));
            assert_eq!(
                well.health.map(|health| health.healthy),
                healthy.map(|_| true)
            );
        }
    }

    #[test]
    fn a_restart_shows_in_its_health() {
        let plan = plan();
        let mut agent = SimulatedAgent::new(&plan, 0, 1);
        let heard = agent.hear(
            &plan,
            wire::ServerToAgent {
                command: Some(wire::ServerToAgentCommand::default()),
                ..Default::default()
            },
        );
        let healthy: Vec<_> = heard
            .answers
            .iter()
            .map(|frame| decode(frame).health.expect("health").healthy)
            .collect();
        assert_eq!(healthy, [false, true]);
    }
}
