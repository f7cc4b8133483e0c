//! Counters of the path that every frame takes. Their handles are looked up once, because a lookup for each
//! heartbeat costs more than the heartbeat's protobuf.

use std::sync::LazyLock;
use std::time::Duration;

use metrics::{Counter, Histogram};

use super::names;

/// What a message carries: the most telling part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing but who it is.
    Heartbeat,
    /// The agent says goodbye.
    Disconnect,
    /// What the agent is.
    Description,
    /// What became of an offered configuration.
    ConfigStatus,
    /// What the agent runs.
    EffectiveConfig,
    /// How it feels.
    Health,
    /// What became of offered packages.
    PackageStatuses,
    /// What it is built of.
    Components,
    /// A custom message or its capabilities.
    Custom,
    /// Connection settings, asked for or reported on.
    ConnectionSettings,
}

impl Kind {
    /// All kinds, in the order of their numbers.
    const ALL: [Self; 10] = [
        Self::Heartbeat,
        Self::Disconnect,
        Self::Description,
        Self::ConfigStatus,
        Self::EffectiveConfig,
        Self::Health,
        Self::PackageStatuses,
        Self::Components,
        Self::Custom,
        Self::ConnectionSettings,
    ];

    fn label(self) -> &'static str {
        match self {
            Self::Heartbeat => "heartbeat",
            Self::Disconnect => "disconnect",
            Self::Description => "description",
            Self::ConfigStatus => "config_status",
            Self::EffectiveConfig => "effective_config",
            Self::Health => "health",
            Self::PackageStatuses => "package_statuses",
            Self::Components => "components",
            Self::Custom => "custom",
            Self::ConnectionSettings => "connection_settings",
        }
    }
}

/// Why a frame, body or connection was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejected {
    /// Larger than `opamp.max_message_bytes`, in either direction.
    Oversize,
    /// Not understood: framing, text, content coding, protobuf, uid.
    Malformed,
    /// Something that the peer must not ask for.
    Capability,
    /// Whoever sent it may not.
    Auth,
    /// Refused to protect the node.
    Overload,
}

impl Rejected {
    const ALL: [Self; 5] = [
        Self::Oversize,
        Self::Malformed,
        Self::Capability,
        Self::Auth,
        Self::Overload,
    ];

    fn label(self) -> &'static str {
        match self {
            Self::Oversize => "oversize",
            Self::Malformed => "malformed",
            Self::Capability => "capability",
            Self::Auth => "auth",
            Self::Overload => "overload",
        }
    }
}

struct Handles {
    received: [Counter; Kind::ALL.len()],
    rejected: [Counter; Rejected::ALL.len()],
    duration: Histogram,
}

static HANDLES: LazyLock<Handles> = LazyLock::new(|| Handles {
    received: Kind::ALL
        .map(|kind| metrics::counter!(names::FRAMES_RECEIVED, "kind" => kind.label())),
    rejected: Rejected::ALL
        .map(|reason| metrics::counter!(names::FRAMES_REJECTED, "reason" => reason.label())),
    duration: metrics::histogram!(names::FRAME_DURATION),
});

/// Makes all counters visible at 0, once the recorder is there.
pub(super) fn register() {
    LazyLock::force(&HANDLES);
}

/// A message was received.
pub fn received(kind: Kind) {
    HANDLES.received[kind as usize].increment(1);
}

/// Something was refused.
pub fn rejected(reason: Rejected) {
    HANDLES.rejected[reason as usize].increment(1);
}

/// A message was answered after so long.
pub fn answered(took: Duration) {
    HANDLES.duration.record(took.as_secs_f64());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_places_in_the_tables() {
        for (place, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, place, "{}", kind.label());
        }
        for (place, reason) in Rejected::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, place, "{}", reason.label());
        }
    }
}
