//! Operators: they make configurations and assign them, instruct agents, and compare and set registers, at any node,
//! and repeat with the same key what had no answer.

use std::sync::Arc;
use std::time::Duration;

use ampora_proto::config::{File, Files, encode_files, hash};
use ampora_raft::consensus::{Committed, ProposeError, View};
use ampora_raft::ids::{ConfigHash, InstanceUid};
use ampora_raft::outcome::{Outcome, Rejection};
use ampora_raft::proposal::{
    Assign, CreateDispatch, CreateVersion, Idempotency, Origin, Proposal, PutGroup, StageBody,
};
use ampora_raft::records::{Action, FileMeta, Pace, Target};
use ampora_raft::selector::Selector;
use tokio::sync::oneshot;

use super::agent::BAD;
use super::speech::CAPABILITY;
use super::{AGENTS, People};
use crate::dice::Dice;
use crate::invariants::{Acked, Call, Op};
use crate::seat::Ask;

/// An operator gives a call up after this long.
const PATIENCE: Duration = Duration::from_secs(12);

/// How often a call is repeated.
const TRIES: u32 = 4;

/// Registers that operators compete for.
const REGISTERS: u64 = 2;

/// What an operator does.
#[derive(Clone, Copy, Debug)]
pub(super) enum Role {
    /// Makes versions and assigns them.
    Configurations,
    /// Instructs agents.
    Dispatches,
    /// Reads and changes registers.
    Registers,
}

struct Operator {
    people: People,
    dice: Dice,
    name: String,
    calls: u64,
}

/// Runs until all is calm.
pub(super) async fn live(people: People, number: u64, role: Role, dice: Dice) {
    let mut operator = Operator {
        people,
        dice,
        name: format!("{role:?}-{number}").to_lowercase(),
        calls: 0,
    };
    let mut round = 0;
    while !operator.people.is_calm() {
        let pause = match role {
            Role::Configurations => operator.dice.millis(2_000, 9_000),
            Role::Dispatches => operator.dice.millis(300, 2_500),
            Role::Registers => operator.dice.millis(20, 600),
        };
        tokio::time::sleep(pause).await;
        round += 1;
        match role {
            Role::Configurations => operator.change(round).await,
            Role::Dispatches => operator.instruct(round).await,
            Role::Registers => operator.compete().await,
        }
    }
}

impl Operator {
    fn note(&self, what: std::fmt::Arguments<'_>) {
        self.people.book.note(&self.name, what);
    }

    fn origin(&mut self) -> Origin {
        self.calls += 1;
        let key = format!("{}-{}", self.name, self.calls);
        let mut digest = [0; 32];
        for (to, from) in digest.iter_mut().zip(key.bytes()) {
            *to = from;
        }
        Origin {
            actor: self.name.as_str().into(),
            request_id: key.as_str().into(),
            idempotency: Some(Idempotency {
                key: key.as_str().into(),
                digest,
            }),
        }
    }

    /// Asks any node once.
    async fn once(
        &mut self,
        origin: &Origin,
        proposal: &Proposal,
    ) -> Result<Committed, ProposeError> {
        let (answer, answered) = oneshot::channel();
        let ask = Ask::Propose {
            origin: origin.clone(),
            proposal: Box::new(proposal.clone().asked("10.0.0.1".into())),
            answer,
        };
        self.knock(ask)?;
        match tokio::time::timeout(PATIENCE, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) | Err(_) => Err(ProposeError::OutcomeUnknown),
        }
    }

    fn knock(&mut self, ask: Ask) -> Result<(), ProposeError> {
        let nobody = ProposeError::NotLeader { hint: None };
        let seats = self.people.seats.clone();
        let seat = self.dice.pick(&seats).ok_or(nobody.clone())?;
        let door = seat
            .with(|doors| doors.asks.clone())
            .ok_or(nobody.clone())?;
        door.try_send(ask).map_err(|_| nobody)
    }

    /// Asks until there is an answer or patience ends, with one key.
    async fn ask(&mut self, proposal: Proposal) -> Option<Outcome> {
        let origin = self.origin();
        for _ in 0..TRIES {
            match self.once(&origin, &proposal).await {
                Ok(committed) => {
                    self.people.oracle.told(committed.index);
                    self.note(format_args!(
                        "{} is done at {}",
                        origin.request_id, committed.index
                    ));
                    return Some(committed.outcome);
                }
                Err(error) => self.note(format_args!("{}: {error}", origin.request_id)),
            }
            let pause = self.dice.millis(100, 800);
            tokio::time::sleep(pause).await;
        }
        None
    }

    /// A version that works, or that fails everywhere, for everybody.
    async fn change(&mut self, round: u64) {
        let bad = self.dice.happens(300);
        let text = format!(
            "round: {round}\nwhat: {}\n",
            if bad { BAD } else { "works" }
        );
        let size = text.len();
        let file = File {
            name: String::new(),
            content_type: "text/yaml".to_owned(),
            body: text.into(),
        };
        let Ok(files) = Files::new(vec![file]) else {
            return;
        };
        let digest = hash(&files);
        if bad {
            self.people.oracle.is_bad(digest);
        }
        let stage = Proposal::StageBody(StageBody {
            hash: ConfigHash(digest),
            part: 0,
            parts: 1,
            bytes: encode_files(&files),
        });
        if self.step(stage).await.is_none() {
            return;
        }
        let configuration: Arc<str> = "edge".into();
        let version = Proposal::CreateVersion(CreateVersion {
            configuration: configuration.clone(),
            hash: ConfigHash(digest),
            files: vec![FileMeta {
                name: "".into(),
                content_type: "text/yaml".into(),
                size: u32::try_from(size).unwrap_or(0),
            }],
            comment: "".into(),
        });
        let Some(Outcome::Version { version, .. }) = self.ask(version).await else {
            return;
        };
        self.people.oracle.acked(Acked::Version(
            configuration.clone(),
            version.number,
            version.hash,
        ));
        let group = Proposal::PutGroup(PutGroup {
            name: "all".into(),
            revision: None,
            selector: Some(Selector::everyone()),
            priority: None,
            assign: Assign::Version {
                configuration,
                version: Some(version.number),
            },
            pace: Some(Pace::SlowStart),
        });
        if let Some(Outcome::Group { group, .. }) = self.ask(group).await {
            self.people
                .oracle
                .acked(Acked::Group(group.name.clone(), group.revision));
        }
    }

    /// A step towards a proposal has no key of its own.
    async fn step(&mut self, proposal: Proposal) -> Option<Outcome> {
        let origin = Origin {
            idempotency: None,
            ..self.origin()
        };
        for _ in 0..TRIES {
            if let Ok(committed) = self.once(&origin, &proposal).await {
                return Some(committed.outcome);
            }
            let pause = self.dice.millis(100, 800);
            tokio::time::sleep(pause).await;
        }
        None
    }

    async fn instruct(&mut self, round: u64) {
        let action = match self.dice.below(3) {
            0 => Action::Restart,
            1 => Action::PushConfig,
            _ => Action::CustomMessage {
                capability: CAPABILITY.into(),
                message_type: "say".into(),
                data: format!("message {round}").into_bytes(),
            },
        };
        let target = if self.dice.happens(200) {
            Target::Selector(Selector::everyone())
        } else {
            Target::Agent(self.somebody())
        };
        let dispatch = Proposal::CreateDispatch(CreateDispatch {
            action,
            target,
            requires: 0,
            expires_in_ms: self.dice.between(2_000, 20_000),
        });
        if let Some(Outcome::Dispatch(dispatch)) = self.ask(dispatch).await {
            self.people.oracle.acked(Acked::Dispatch(dispatch.id));
        }
    }

    fn somebody(&mut self) -> InstanceUid {
        let end = u64::try_from(AGENTS).unwrap_or(1);
        let at = usize::try_from(self.dice.below(end)).unwrap_or(0);
        let agents = self.people.agents.lock();
        agents.get(at).map(|agent| agent.uid).unwrap_or_default()
    }

    /// Reads a register, and sets it if it is still what was read.
    async fn compete(&mut self) {
        let register = self.dice.below(REGISTERS);
        let Some((revision, _)) = self.read(register).await else {
            return;
        };
        if self.dice.happens(500) {
            self.write(register, revision).await;
        }
    }

    async fn read(&mut self, register: u64) -> Option<(u64, i32)> {
        let began_us = self.people.book.now_us();
        let (answer, answered) = oneshot::channel();
        self.knock(Ask::Read { answer }).ok()?;
        let read = tokio::time::timeout(PATIENCE, answered).await;
        let view: Arc<View> = read.ok()?.ok()?.ok()?;
        let group = view.fleet.group(&register_name(register));
        let (revision, value) = group.map_or((0, 0), |group| (group.revision, group.priority));
        self.note(format_args!("reads {register}: {value} at {revision}"));
        self.people.oracle.called(Call {
            register,
            op: Op::Read,
            began_us,
            ended_us: self.people.book.now_us(),
            revision,
            value: Some(value),
        });
        Some((revision, value))
    }

    async fn write(&mut self, register: u64, expected: u64) {
        let value = i32::try_from(self.dice.below(1 << 30)).unwrap_or(0);
        let began_us = self.people.book.now_us();
        let put = Proposal::PutGroup(PutGroup {
            name: register_name(register).into(),
            revision: Some(expected),
            selector: Selector::parse("nobody=here").ok(),
            priority: Some(value),
            assign: Assign::Keep,
            pace: None,
        });
        let outcome = self.ask(put).await;
        let ended_us = self.people.book.now_us();
        let (op, revision, value) = match outcome {
            Some(Outcome::Group { group, .. }) => {
                let acked = Acked::Group(group.name.clone(), group.revision);
                self.people.oracle.acked(acked);
                (Op::Write { expected }, group.revision, Some(group.priority))
            }
            Some(Outcome::Rejected(Rejection::RevisionMismatch { current, .. })) => {
                (Op::Refused, current, None)
            }
            // it may take effect at any time, and nobody was promised anything
            Some(_) | None => return,
        };
        self.note(format_args!("writes {register}: {op:?} at {revision}"));
        self.people.oracle.called(Call {
            register,
            op,
            began_us,
            ended_us,
            revision,
            value,
        });
    }
}

fn register_name(register: u64) -> String {
    format!("register-{register}")
}
