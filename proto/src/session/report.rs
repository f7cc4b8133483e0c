//! What an agent said in one message. It moves the parts out; what they mean for the fleet is not known here.

use crate::capabilities::agent;
use crate::wire;

/// The parts present in one message; an absent part is unchanged (C-091), a present one replaces wholly (C-092).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Who it is.
    pub description: Option<wire::AgentDescription>,
    /// Its capabilities, when they are others than before; never 0 (C-046, C-080).
    pub capabilities: Option<u64>,
    /// Its health.
    pub health: Option<wire::ComponentHealth>,
    /// What it runs.
    pub effective_config: Option<wire::EffectiveConfig>,
    /// What became of an offer.
    pub remote_config_status: Option<wire::RemoteConfigStatus>,
    /// Its packages.
    pub package_statuses: Option<wire::PackageStatuses>,
    /// The custom messages it understands; an empty list is none (C-247).
    pub custom_capabilities: Option<wire::CustomCapabilities>,
    /// One custom message (C-250).
    pub custom_message: Option<wire::CustomMessage>,
    /// Its components, or their hash alone.
    pub available_components: Option<wire::AvailableComponents>,
    /// What became of connection settings.
    pub connection_settings_status: Option<wire::ConnectionSettingsStatus>,
}

/// Moves the parts out; `None` when there are none. `capabilities` of the message is 0 unless they changed.
pub(super) fn extract(message: wire::AgentToServer) -> Option<Box<Report>> {
    let report = Report {
        description: message.agent_description,
        capabilities: Some(message.capabilities).filter(|bits| *bits != 0),
        health: message.health,
        effective_config: message.effective_config,
        remote_config_status: message.remote_config_status,
        package_statuses: message.package_statuses,
        custom_capabilities: message.custom_capabilities,
        custom_message: message.custom_message,
        available_components: message.available_components,
        connection_settings_status: message.connection_settings_status,
    };
    (report != Report::default()).then(|| Box::new(report))
}

/// The message has a description and all that the agent says it can report (C-096).
pub(super) fn is_complete(message: &wire::AgentToServer, capabilities: u64) -> bool {
    let parts = [
        (agent::REPORTS_HEALTH, message.health.is_some()),
        (
            agent::REPORTS_EFFECTIVE_CONFIG,
            message.effective_config.is_some(),
        ),
        (
            agent::REPORTS_REMOTE_CONFIG,
            message.remote_config_status.is_some(),
        ),
        (
            agent::REPORTS_PACKAGE_STATUSES,
            message.package_statuses.is_some(),
        ),
        (
            agent::REPORTS_AVAILABLE_COMPONENTS,
            message.available_components.is_some(),
        ),
        (
            agent::REPORTS_CONNECTION_SETTINGS_STATUS,
            message.connection_settings_status.is_some(),
        ),
    ];
    message.agent_description.is_some()
        && parts
            .iter()
            .all(|(bit, present)| *present || capabilities & bit == 0)
}
