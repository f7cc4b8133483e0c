//! How large a record or operation is, by our own counting: an upper bound of its encoding.
//!
//! It never depends on a codec, because `apply` decides by it. Numbers count 9 bytes (the longest varint), texts and
//! byte strings their length and 1 up to 250 bytes, else 9, options and tags 1, hashes and uids 33 and 17.

use super::limits::{SERVER_LABELS_BYTES_MAX, SERVER_LABELS_MAX};
use crate::proposal::{
    Assign, CreateVersion, Entry, Mark, MarkTo, Origin, Proposal, PutGroup, Retention, SessionOp,
};
use crate::records::{
    Action, AgentRecord, AgentUpdate, DeliveryError, Description, EnrollmentToken, Health,
    JoinToken, PackageAggregate, Peer, Target, Token,
};

const NUMBER: usize = 9;
const HASH: usize = 33;
const UID: usize = 17;
const SESSION: usize = 3 * NUMBER + 2;
const RELEASED: usize = 3 * NUMBER + 3;

/// Texts up to this many bytes have their length in one byte.
const SHORT_MAX: usize = 250;

/// What server labels take of a record at most: an edge leaves it free, so that labels always fit.
pub const SERVER_LABELS_ROOM: usize = SERVER_LABELS_BYTES_MAX + 2 * SERVER_LABELS_MAX;

/// Bytes of an encoded record, at most.
pub fn record_bytes(agent: &AgentRecord) -> usize {
    let labels = agent
        .server_labels
        .iter()
        .map(|(key, value)| text(key) + text(value));
    let config = &agent.config;
    UID + description_bytes(&agent.description)
        + NUMBER
        + labels.sum::<usize>()
        + NUMBER
        + 1
        + agent.health.as_ref().map_or(0, health_bytes)
        + 1
        + config.reported_hash.as_deref().map_or(0, bytes)
        + 1
        + 2 * HASH
        + text(&config.error)
        + 3 * HASH
        + agent.components_hash.as_deref().map_or(0, bytes)
        + 1
        + agent.packages.as_ref().map_or(0, packages_bytes)
        + NUMBER
        + 1
        + SESSION
        + 1
        + RELEASED
        + 2 * NUMBER
        + texts(&agent.custom_capabilities)
}

/// Bytes of an encoded description, at most; an edge trims labels by it.
pub fn description_bytes(description: &Description) -> usize {
    let labels = description.labels.iter();
    text(&description.name)
        + text(&description.agent_type)
        + text(&description.agent_version)
        + NUMBER
        + labels
            .map(|label| label_bytes(&label.key, &label.value))
            .sum::<usize>()
        + 1
}

/// Bytes of an encoded label, at most.
pub fn label_bytes(key: &str, value: &str) -> usize {
    text(key) + text(value) + 1
}

/// Bytes of an encoded operation, at most; a batch holds
/// [`super::limits::ENTRY_BYTES_MAX`] of them.
pub fn op_bytes(op: &SessionOp) -> usize {
    match op {
        SessionOp::Claim { .. } => 1 + UID + 1 + NUMBER + 1,
        SessionOp::Release { .. } => 1 + UID + NUMBER + 1 + 1 + NUMBER,
        SessionOp::Report { update, .. } => 1 + UID + update_bytes(update),
        SessionOp::Rename { .. } => 1 + 2 * UID,
        SessionOp::Enroll { token, .. } => 1 + UID + text(token) + 1 + NUMBER,
    }
}

/// Bytes of an encoded entry, at most; whoever proposes keeps them under
/// [`super::limits::ENTRY_BYTES_MAX`] and [`super::limits::ENTRY_HEAD_BYTES`], because the log takes no more.
pub fn entry_bytes(entry: &Entry) -> usize {
    2 * NUMBER + origin_bytes(&entry.origin) + 1 + proposal_bytes(&entry.proposal)
}

fn origin_bytes(origin: &Origin) -> usize {
    let key = origin
        .idempotency
        .as_ref()
        .map_or(0, |given| text(&given.key) + HASH);
    text(&origin.actor) + text(&origin.request_id) + 1 + key
}

fn proposal_bytes(proposal: &Proposal) -> usize {
    match proposal {
        Proposal::Found { .. } => 17,
        Proposal::RegisterNode(node) => {
            NUMBER
                + text(&node.name)
                + text(&node.version)
                + text(&node.opamp_address)
                + text(&node.admin_address)
        }
        Proposal::NodeBatch(batch) => 5 * NUMBER + batch.ops.iter().map(op_bytes).sum::<usize>(),
        Proposal::StageBody(part) => HASH + 2 * NUMBER + bytes(&part.bytes),
        Proposal::CreateVersion(version) => version_bytes(version),
        Proposal::PutGroup(group) => group_bytes(group),
        Proposal::DeleteGroup { name, .. } => text(name) + 1 + NUMBER,
        Proposal::CreateDispatch(dispatch) => {
            let target = match &dispatch.target {
                Target::Agent(_) => UID,
                Target::Selector(selector) => selector.bytes(),
            };
            2 + action_bytes(&dispatch.action) + target + 2 * NUMBER
        }
        Proposal::ExpandDispatch { .. } => NUMBER + 1 + UID,
        Proposal::MarkDeliveries(given) => {
            3 * NUMBER + given.marks.iter().map(mark_bytes).sum::<usize>()
        }
        Proposal::CancelDispatch { .. } | Proposal::ExpireDeliveries { .. } => NUMBER,
        Proposal::PutToken { token } => token_bytes(token),
        Proposal::CreateToken { token, .. } => token_bytes(token) + 1 + NUMBER,
        Proposal::DeleteToken { id } | Proposal::DeleteEnrollmentToken { id } => text(id),
        Proposal::CreateEnrollmentToken { token } => enrollment_token_bytes(token),
        Proposal::Asked { from, proposal } => text(from) + 1 + proposal_bytes(proposal),
        Proposal::NoteWallTime { .. } => 1,
        Proposal::TrimAudit { .. } => 2 * NUMBER,
        Proposal::NoteRead(_) => UID + 1 + 1 + HASH,
        Proposal::SetLabels(given) => {
            let labels = given.labels.iter();
            let labels = labels.map(|(key, value)| text(key) + text(value));
            UID + NUMBER + labels.sum::<usize>()
        }
        Proposal::ForgetAgent { .. } => UID + 1 + NUMBER,
        Proposal::Retention(given) => 1 + retention_bytes(given),
        Proposal::CreateVersionAfter { version, .. } => NUMBER + version_bytes(version),
        Proposal::MoveRollout(given) => text(&given.group) + 3 * NUMBER + 1,
        Proposal::ForgetFailures(given) => HASH + NUMBER + given.agents.len() * UID,
        Proposal::LiftQuarantine { name, .. } | Proposal::RevertGroup { name, .. } => {
            text(name) + 1 + NUMBER
        }
        Proposal::PutRolloutRules { .. } => 2 * NUMBER,
        Proposal::SweepTokens { .. } => NUMBER,
        Proposal::NoteSnapshot(note) => text(&note.id) + 1,
        Proposal::LeaderStart { .. } => NUMBER,
        Proposal::Tick { renewals, .. } => 2 * NUMBER + renewals.len() * 2 * NUMBER,
        Proposal::DrainNode { .. } | Proposal::LeaveNode { .. } => 2 * NUMBER,
        Proposal::AcquireLease { name, .. } => text(name) + 3 * NUMBER,
        Proposal::ReleaseLease { name, .. } => text(name) + NUMBER,
        Proposal::UnderLease { name, proposal, .. } => {
            text(name) + NUMBER + 1 + proposal_bytes(proposal)
        }
        Proposal::PutPeer { peer } => peer_bytes(peer),
        Proposal::CreateJoinToken { token } => join_token_bytes(token),
        Proposal::RedeemJoinToken { peer, name, .. } => HASH + peer_bytes(peer) + text(name),
        Proposal::RemoveNode { .. } => NUMBER,
        Proposal::SetFeatureLevel { .. } => NUMBER,
        Proposal::SetMemberRole { .. } => NUMBER + 2,
        Proposal::TransferLeader { .. } => 3 * NUMBER + 2,
    }
}

fn group_bytes(group: &PutGroup) -> usize {
    let assign = match &group.assign {
        Assign::Keep | Assign::Nothing => 0,
        Assign::Version { configuration, .. } => text(configuration) + 1 + NUMBER,
    };
    let selector = group
        .selector
        .as_ref()
        .map_or(0, |selector| selector.bytes());
    text(&group.name) + 2 * NUMBER + 6 + selector + assign
}

fn peer_bytes(peer: &Peer) -> usize {
    2 * NUMBER + HASH + text(&peer.address)
}

fn join_token_bytes(token: &JoinToken) -> usize {
    let redeemed = NUMBER + token.redeemed.len() * (HASH + NUMBER);
    text(&token.id) + HASH + 3 * NUMBER + text(&token.created_by) + redeemed
}

fn enrollment_token_bytes(token: &EnrollmentToken) -> usize {
    let labels = token.labels.iter();
    let labels = labels.map(|(key, value)| text(key) + text(value));
    text(&token.id)
        + text(&token.name)
        + HASH
        + 5 * NUMBER
        + 3
        + labels.sum::<usize>()
        + text(&token.created_by)
}

fn token_bytes(token: &Token) -> usize {
    text(&token.id) + text(&token.name) + 1 + HASH + 1 + 2 * NUMBER
}

fn version_bytes(version: &CreateVersion) -> usize {
    let files = version.files.iter();
    let files = files.map(|file| text(&file.name) + text(&file.content_type) + NUMBER);
    text(&version.configuration) + HASH + NUMBER + files.sum::<usize>() + text(&version.comment)
}

fn retention_bytes(given: &Retention) -> usize {
    match given {
        Retention::ForgetAgents { agents, .. } => 3 * NUMBER + agents.len() * UID,
        Retention::TrimVersions { configuration } => text(configuration),
        Retention::RetireDispatches { dispatches } => NUMBER + dispatches.len() * NUMBER,
        Retention::ExpireKeys => 0,
        Retention::DropStaged { .. } => NUMBER,
    }
}

fn action_bytes(action: &Action) -> usize {
    match action {
        Action::Restart | Action::PushConfig => 0,
        Action::CustomMessage {
            capability,
            message_type,
            data,
        } => text(capability) + text(message_type) + bytes(data),
    }
}

fn mark_bytes(mark: &Mark) -> usize {
    let to = match &mark.to {
        MarkTo::Sent { .. } => NUMBER + 1 + HASH,
        MarkTo::Failed(DeliveryError::AgentFailed(error)) => 1 + text(error),
        MarkTo::Succeeded | MarkTo::Failed(_) => 1,
    };
    NUMBER + UID + 1 + to
}

fn update_bytes(update: &AgentUpdate) -> usize {
    let config = update.config.as_ref();
    let custom = update.custom_capabilities.as_deref();
    10 + update.description.as_deref().map_or(0, description_bytes)
        + NUMBER
        + update.health.as_ref().map_or(0, health_bytes)
        + config.map_or(0, |report| bytes(&report.hash) + 1 + text(&report.error))
        + 3 * HASH
        + update.components_hash.as_deref().map_or(0, bytes)
        + update.packages.as_ref().map_or(0, packages_bytes)
        + custom.map_or(0, texts)
}

fn health_bytes(health: &Health) -> usize {
    1 + text(&health.status) + text(&health.last_error) + NUMBER + HASH
}

fn packages_bytes(packages: &PackageAggregate) -> usize {
    bytes(&packages.offered_hash) + 3 * NUMBER
}

fn texts(values: &[std::sync::Arc<str>]) -> usize {
    NUMBER + values.iter().map(|value| text(value)).sum::<usize>()
}

fn text(value: &str) -> usize {
    bytes(value.as_bytes())
}

fn bytes(value: &[u8]) -> usize {
    let length = if value.len() <= SHORT_MAX { 1 } else { NUMBER };
    length + value.len()
}
