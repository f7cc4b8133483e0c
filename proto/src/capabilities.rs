//! The capability bits of both sides and their names. It knows no message and no agent.

use std::borrow::Cow;

/// What an agent announces, by the names of the specification.
pub mod agent {
    /// Always set, though some clients forget (C-081).
    pub const REPORTS_STATUS: u64 = 0x1;
    /// Takes remote configuration.
    pub const ACCEPTS_REMOTE_CONFIG: u64 = 0x2;
    /// Sends its effective configuration.
    pub const REPORTS_EFFECTIVE_CONFIG: u64 = 0x4;
    /// Takes packages.
    pub const ACCEPTS_PACKAGES: u64 = 0x8;
    /// Sends package statuses.
    pub const REPORTS_PACKAGE_STATUSES: u64 = 0x10;
    /// Takes a destination for its own traces.
    pub const REPORTS_OWN_TRACES: u64 = 0x20;
    /// Takes a destination for its own metrics.
    pub const REPORTS_OWN_METRICS: u64 = 0x40;
    /// Takes a destination for its own logs.
    pub const REPORTS_OWN_LOGS: u64 = 0x80;
    /// Takes settings of its connection to us.
    pub const ACCEPTS_OPAMP_CONNECTION_SETTINGS: u64 = 0x100;
    /// Takes settings of its other connections.
    pub const ACCEPTS_OTHER_CONNECTION_SETTINGS: u64 = 0x200;
    /// Takes the restart command.
    pub const ACCEPTS_RESTART_COMMAND: u64 = 0x400;
    /// Sends health.
    pub const REPORTS_HEALTH: u64 = 0x800;
    /// Sends the status of its remote configuration.
    pub const REPORTS_REMOTE_CONFIG: u64 = 0x1000;
    /// Sends heartbeats at the offered interval.
    pub const REPORTS_HEARTBEAT: u64 = 0x2000;
    /// Sends its components.
    pub const REPORTS_AVAILABLE_COMPONENTS: u64 = 0x4000;
    /// Sends the status of offered connection settings.
    pub const REPORTS_CONNECTION_SETTINGS_STATUS: u64 = 0x8000;
}

/// What this server can announce.
pub mod server {
    /// Always set (C-073).
    pub const ACCEPTS_STATUS: u64 = 0x1;
    /// Offers remote configuration.
    pub const OFFERS_REMOTE_CONFIG: u64 = 0x2;
    /// Takes effective configurations.
    pub const ACCEPTS_EFFECTIVE_CONFIG: u64 = 0x4;
    /// Takes package statuses: they are summed up in the agent's record.
    pub const ACCEPTS_PACKAGES_STATUS: u64 = 0x10;
    /// What is implemented, and nothing else (C-077).
    pub const ANNOUNCED: u64 =
        ACCEPTS_STATUS | OFFERS_REMOTE_CONFIG | ACCEPTS_EFFECTIVE_CONFIG | ACCEPTS_PACKAGES_STATUS;
}

/// Names of the agent's bits, from bit 0 on.
const AGENT_NAMES: [&str; 16] = [
    "ReportsStatus",
    "AcceptsRemoteConfig",
    "ReportsEffectiveConfig",
    "AcceptsPackages",
    "ReportsPackageStatuses",
    "ReportsOwnTraces",
    "ReportsOwnMetrics",
    "ReportsOwnLogs",
    "AcceptsOpAMPConnectionSettings",
    "AcceptsOtherConnectionSettings",
    "AcceptsRestartCommand",
    "ReportsHealth",
    "ReportsRemoteConfig",
    "ReportsHeartbeat",
    "ReportsAvailableComponents",
    "ReportsConnectionSettingsStatus",
];

/// Names of the agent bits that are set, lowest bit first; unknown ones are `bit16` and so on (C-078).
pub fn names(bits: u64) -> Vec<Cow<'static, str>> {
    (0_usize..64)
        .filter(|bit| bits >> bit & 1 == 1)
        .map(|bit| match AGENT_NAMES.get(bit) {
            Some(name) => Cow::Borrowed(*name),
            None => Cow::Owned(format!("bit{bit}")),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_specification_and_unknown_bits_have_numbers() {
        assert_eq!(names(0), Vec::<&str>::new());
        assert_eq!(
            names(0x1_0403),
            [
                "ReportsStatus",
                "AcceptsRemoteConfig",
                "AcceptsRestartCommand",
                "bit16"
            ]
        );
        assert_eq!(names(u64::MAX).len(), 64);
    }

    #[test]
    fn names_agree_with_the_schema() {
        for (bit, name) in AGENT_NAMES.iter().enumerate() {
            let known = crate::wire::AgentCapabilities::try_from(1 << bit).unwrap();
            assert_eq!(known.as_str_name(), format!("AgentCapabilities_{name}"));
        }
    }

    /// C-076, C-077.
    #[test]
    fn nothing_is_announced_that_is_not_there() {
        assert_eq!(server::ANNOUNCED, 0x17);
    }
}
