//! Whether an agent is connected, stale or disconnected, and whether it runs what it should: pure functions of
//! its record, of what its owner knows, and of time.

use std::borrow::Cow;

use ampora_raft::fleet::{Desired, Fleet};
use ampora_raft::records::{AgentRecord, ReleaseReason};

use crate::agents::confirmed::{accepts, is_confirmed};
use crate::api::backend::{Now, Presence};

/// Beyond the liveness of a dead node: the time in which its agents are expected elsewhere.
const RETURN_MS: u64 = 30_000;

/// The state of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum AgentState {
    /// It has a valid session and its transport is up.
    Connected,
    /// Silent, or on its way to another node.
    Stale,
    /// Gone.
    Disconnected,
}

impl AgentState {
    /// The word in REST.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            AgentState::Connected => "connected",
            AgentState::Stale => "stale",
            AgentState::Disconnected => "disconnected",
        }
    }

    /// The state of a word.
    pub(crate) fn parse(word: &str) -> Option<AgentState> {
        [
            AgentState::Connected,
            AgentState::Stale,
            AgentState::Disconnected,
        ]
        .into_iter()
        .find(|state| state.as_str() == word)
    }
}

/// Who owns the agent's session, as seen from this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// This node, in its running incarnation; `None` when its registry does not have the agent.
    Here(Option<Presence>),
    /// Another live node.
    Elsewhere {
        /// How long it has not heard the agent, of one that is known to speak by itself, if that was asked.
        silent_ms: Option<u64>,
    },
    /// An incarnation that is over.
    Dead {
        /// For how long, as far as is known.
        gone_ms: u64,
    },
    /// Nobody.
    Nobody,
}

/// Silence and returns that the state depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Windows {
    /// Silence that makes an agent stale; as long again and it is disconnected.
    pub(crate) silence_ms: u64,
    /// Liveness of nodes.
    pub(crate) ttl_ms: u64,
}

/// The state of an agent.
pub(crate) fn agent_state(
    record: &AgentRecord,
    owner: Owner,
    now: Now,
    windows: Windows,
) -> AgentState {
    let returns_ms = windows.ttl_ms.saturating_add(RETURN_MS);
    match owner {
        Owner::Here(Some(presence)) if presence.connected => silence(presence, windows),
        Owner::Here(_) => AgentState::Disconnected,
        Owner::Elsewhere { silent_ms } => silent_ms.map_or(AgentState::Connected, |silent_ms| {
            silent_for(silent_ms, windows)
        }),
        Owner::Dead { gone_ms } => stale_within(gone_ms, returns_ms),
        Owner::Nobody => match record.released {
            Some(released) => match released.reason {
                // of an owner that died it is noted when the time of return is over
                ReleaseReason::Goodbye | ReleaseReason::Lost | ReleaseReason::OwnerDied => {
                    AgentState::Disconnected
                }
                ReleaseReason::Drained => {
                    stale_within(now.fleet_ms.saturating_sub(released.at_ms), returns_ms)
                }
            },
            None => AgentState::Disconnected,
        },
    }
}

fn stale_within(gone_ms: u64, limit_ms: u64) -> AgentState {
    if gone_ms < limit_ms {
        AgentState::Stale
    } else {
        AgentState::Disconnected
    }
}

/// Silence judges only those that are known to speak by themselves.
fn silence(presence: Presence, windows: Windows) -> AgentState {
    if presence.heartbeats {
        silent_for(presence.silent_ms, windows)
    } else {
        AgentState::Connected
    }
}

fn silent_for(silent_ms: u64, windows: Windows) -> AgentState {
    if silent_ms <= windows.silence_ms {
        AgentState::Connected
    } else {
        stale_within(silent_ms, windows.silence_ms.saturating_mul(2))
    }
}

/// Why an agent does not run what it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// It does, or nothing is assigned.
    None,
    /// It does not accept remote configuration.
    NoCapability,
    /// It cannot be reached.
    Offline,
    /// It is at it.
    Applying,
    /// It refused or broke.
    Failed,
    /// The change has not reached it yet.
    OutsideWindow,
    /// What the group is to have next failed on too many of its agents.
    Quarantined,
}

impl Why {
    /// The word in REST.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Why::None => "none",
            Why::NoCapability => "no_capability",
            Why::Offline => "offline",
            Why::Applying => "applying",
            Why::Failed => "failed",
            Why::OutsideWindow => "outside_window",
            Why::Quarantined => "quarantined",
        }
    }

    /// What a person can do about it; `error` is what the agent said of a failure, `group` its group.
    pub(crate) fn hint(self, error: &str, group: &str) -> Cow<'static, str> {
        let text = match self {
            Why::None => "",
            Why::NoCapability => {
                "the agent does not announce AcceptsRemoteConfig: put `capabilities: accepts_remote_config: true` \
                 into its supervisor's file and restart the supervisor, or take the agent out of the group"
            }
            Why::Offline => "the agent is not connected: it gets the configuration when it returns",
            Why::Applying => {
                "the agent was offered the configuration and has not confirmed it yet: wait, or read its log"
            }
            Why::OutsideWindow => {
                "the change reaches agents step by step and has not come to this one: wait, or set the pace \
                 of the group to all-at-once"
            }
            Why::Failed => {
                let said = if error.is_empty() {
                    "without a text"
                } else {
                    error
                };
                return Cow::Owned(format!(
                    "the agent refused this configuration: {said} (assign a corrected version, or push it again \
                     once the cause is gone)"
                ));
            }
            Why::Quarantined => {
                return Cow::Owned(format!(
                    "the next configuration failed on too many agents of group {group} and is not offered there: \
                     assign a corrected version, give it up with `ampora groups revert {group}`, or offer it \
                     again with `ampora groups lift {group}`"
                ));
            }
        };
        Cow::Borrowed(text)
    }
}

/// How an agent stands to the configuration that it should run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    /// A hash is desired, the agent takes configuration, and it has not confirmed that hash.
    pub(crate) drifted: bool,
    /// Its last failure concerns the desired hash.
    pub(crate) failed: bool,
    /// Why it does not run it.
    pub(crate) why: Why,
}

/// How an agent stands to what it should run.
pub(crate) fn standing(
    record: &AgentRecord,
    desired: &Desired,
    fleet: &Fleet,
    state: AgentState,
) -> Standing {
    let still = |why| Standing {
        drifted: false,
        failed: false,
        why,
    };
    let waits = waits(desired, fleet);
    let Some(version) = &desired.version else {
        return still(match waits {
            Some(_) if !accepts(record) => Why::NoCapability,
            Some(why) => why,
            None => Why::None,
        });
    };
    if !accepts(record) {
        return still(Why::NoCapability);
    }
    if is_confirmed(record, version.hash) {
        return still(waits.unwrap_or(Why::None));
    }
    let failed = record.config.failed_hash == Some(version.hash);
    let why = if failed {
        Why::Failed
    } else if state == AgentState::Connected {
        Why::Applying
    } else {
        Why::Offline
    };
    Standing {
        drifted: true,
        failed,
        why,
    }
}

/// Why an agent that runs what it should at this moment does not run what its group is to have next.
fn waits(desired: &Desired, fleet: &Fleet) -> Option<Why> {
    let group = desired.group.as_deref()?;
    let next = group.assignment.as_ref()?.next.as_ref()?;
    let wants = desired.version.as_ref().map(|version| version.hash);
    if wants == Some(next.hash) {
        None
    } else if fleet.is_held(group) {
        Some(Why::Quarantined)
    } else {
        Some(Why::OutsideWindow)
    }
}
