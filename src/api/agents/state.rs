//! Whether an agent is connected, stale or disconnected, and whether it runs what it should: pure functions of
//! its record, of what its owner knows, and of time.

use ampora_proto::capabilities::agent;
use ampora_raft::ids::ConfigHash;
use ampora_raft::records::{AgentRecord, ConfigStatus, Group, ReleaseReason, VersionRef};

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
    Elsewhere,
    /// An incarnation that is over, since this wall time as far as is known.
    Dead {
        /// Wall time of the owner's next registration.
        since_ms: Option<u64>,
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
        Owner::Elsewhere => AgentState::Connected,
        Owner::Dead { since_ms } => {
            let gone_ms = since_ms.map_or(0, |since| now.wall_ms.saturating_sub(since));
            stale_within(gone_ms, returns_ms)
        }
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
    if !presence.heartbeats || presence.silent_ms <= windows.silence_ms {
        AgentState::Connected
    } else {
        stale_within(presence.silent_ms, windows.silence_ms.saturating_mul(2))
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
        }
    }

    /// What a person can do about it.
    pub(crate) fn hint(self) -> &'static str {
        match self {
            Why::None => "",
            Why::NoCapability => {
                "the agent does not announce AcceptsRemoteConfig: enable remote configuration on the agent, \
                 or take it out of the group"
            }
            Why::Offline => "the agent is not connected: it gets the configuration when it returns",
            Why::Applying => {
                "the agent was offered the configuration and has not confirmed it yet: wait, or read its log"
            }
            Why::Failed => {
                "the agent refused this configuration, see error: assign a corrected version, or push it \
                 again once the cause is gone"
            }
            Why::OutsideWindow => {
                "the change reaches agents step by step and has not come to this one: wait, or set the pace \
                 of the group to all-at-once"
            }
        }
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
    desired: Option<&VersionRef>,
    group: Option<&Group>,
    state: AgentState,
) -> Standing {
    let still = |why| Standing {
        drifted: false,
        failed: false,
        why,
    };
    let Some(desired) = desired else {
        return still(Why::None);
    };
    if record.capabilities & agent::ACCEPTS_REMOTE_CONFIG == 0 {
        return still(Why::NoCapability);
    }
    if is_confirmed(record, desired.hash) {
        let next = group
            .and_then(|group| group.assignment.as_ref())
            .and_then(|assignment| assignment.next.as_ref());
        let waits = next.is_some_and(|next| next.hash != desired.hash);
        return still(if waits { Why::OutsideWindow } else { Why::None });
    }
    let failed = record.config.failed_hash == Some(desired.hash);
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

/// Whether the agent runs this hash by its own word; where it cannot say, the hash that was sent stands for it.
pub(crate) fn is_confirmed(record: &AgentRecord, hash: ConfigHash) -> bool {
    if record.capabilities & agent::REPORTS_REMOTE_CONFIG == 0 {
        return record.config.sent_hash == Some(hash);
    }
    record.config.status == ConfigStatus::Applied
        && record.config.reported_hash.as_deref() == Some(&hash.0)
}
