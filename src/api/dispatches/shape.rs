//! A dispatch and its deliveries as REST shows them.

use std::sync::Arc;

use ampora_raft::ids::InstanceUid;
use ampora_raft::records::{
    Action, Delivery, DeliveryError, DeliveryState, Dispatch, DispatchState, Target,
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::backend::View;
use crate::api::paging::{self, Page};
use crate::api::redact;
use crate::api::timestamp::rfc3339;

/// A page of dispatches, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DispatchList)]
pub(crate) struct List {
    pub(super) applied_index: u64,
    pub(super) r#continue: Option<String>,
    pub(super) items: Vec<Summary>,
}

/// A dispatch without its deliveries.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DispatchSummary)]
pub(crate) struct Summary {
    action: ActionShown,
    counts: Counts,
    created_at: String,
    /// The name of a token.
    created_by: Arc<str>,
    /// Whether agents are still being looked for.
    expanding: bool,
    expires_at: String,
    finished_at: Option<String>,
    #[schema(example = "17")]
    id: String,
    /// `active` or `done`.
    state: &'static str,
    target: TargetShown,
}

/// A dispatch with a page of its deliveries, in uid order.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Dispatch)]
pub(crate) struct Whole {
    action: ActionShown,
    applied_index: u64,
    r#continue: Option<String>,
    counts: Counts,
    created_at: String,
    /// The name of a token.
    created_by: Arc<str>,
    deliveries: Vec<DeliveryShown>,
    /// Whether agents are still being looked for.
    expanding: bool,
    expires_at: String,
    finished_at: Option<String>,
    #[schema(example = "17")]
    id: String,
    /// `active` or `done`.
    state: &'static str,
    target: TargetShown,
}

/// One of them.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = DispatchAction)]
pub(crate) struct ActionShown {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    custom_message: Option<MessageShown>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    push_config: Option<Done>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    restart: Option<Done>,
}

/// Always empty.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Empty)]
pub(crate) struct Done {}

/// A custom message without its data.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CustomMessage)]
pub(crate) struct MessageShown {
    capability: Arc<str>,
    r#type: Arc<str>,
}

/// One of them.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = DispatchTarget)]
pub(crate) struct TargetShown {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "uuid", nullable = false)]
    agent: Option<InstanceUid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    selector: Option<Arc<str>>,
}

/// Deliveries by state.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeliveryCounts)]
pub(crate) struct Counts {
    cancelled: u32,
    expired: u32,
    failed: u32,
    queued: u32,
    sent: u32,
    succeeded: u32,
}

/// The instruction for one agent.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Delivery)]
pub(crate) struct DeliveryShown {
    #[schema(value_type = String, format = "uuid")]
    agent: InstanceUid,
    /// A stable word; the agent's own words follow after a colon.
    error: Option<String>,
    finished_at: Option<String>,
    /// The node that sent it, or would.
    owner_node: Option<u64>,
    queued_at: String,
    sent_at: Option<String>,
    /// `queued`, `sent`, `succeeded`, `failed`, `expired` or `cancelled`.
    state: &'static str,
}

impl Summary {
    pub(super) fn of(dispatch: &Dispatch) -> Summary {
        let counts = dispatch.counts;
        let (state, finished_at) = match dispatch.state {
            DispatchState::Expanding { .. } | DispatchState::Active => ("active", None),
            DispatchState::Done { finished_ms, .. } => ("done", Some(rfc3339(finished_ms))),
        };
        Summary {
            action: action(&dispatch.action),
            counts: Counts {
                cancelled: counts.cancelled,
                expired: counts.expired,
                failed: counts.failed,
                queued: counts.queued,
                sent: counts.sent,
                succeeded: counts.succeeded,
            },
            created_at: rfc3339(dispatch.created_ms),
            created_by: dispatch.created_by.clone(),
            expanding: matches!(dispatch.state, DispatchState::Expanding { .. }),
            expires_at: rfc3339(dispatch.expires_wall_ms),
            finished_at,
            id: dispatch.id.to_string(),
            state,
            target: target(&dispatch.target),
        }
    }
}

fn action(action: &Action) -> ActionShown {
    let none = ActionShown::default();
    match action {
        Action::Restart => ActionShown {
            restart: Some(Done {}),
            ..none
        },
        Action::PushConfig => ActionShown {
            push_config: Some(Done {}),
            ..none
        },
        Action::CustomMessage {
            capability,
            message_type,
            ..
        } => ActionShown {
            custom_message: Some(MessageShown {
                capability: capability.clone(),
                r#type: message_type.clone(),
            }),
            ..none
        },
    }
}

fn target(target: &Target) -> TargetShown {
    let none = TargetShown::default();
    match target {
        Target::Agent(uid) => TargetShown {
            agent: Some(*uid),
            ..none
        },
        Target::Selector(selector) => TargetShown {
            selector: Some(selector.source.clone()),
            ..none
        },
    }
}

pub(super) fn with_deliveries(
    view: &View,
    dispatch: &Arc<Dispatch>,
    page: &Page,
    after: Option<InstanceUid>,
) -> Whole {
    let deliveries = view.fleet.deliveries(dispatch.id, after);
    let (deliveries, next) = paging::take(deliveries, page, |delivery| *delivery.agent.as_bytes());
    let summary = Summary::of(dispatch);
    Whole {
        action: summary.action,
        applied_index: view.applied_index,
        r#continue: next,
        counts: summary.counts,
        created_at: summary.created_at,
        created_by: summary.created_by,
        deliveries: deliveries
            .into_iter()
            .map(|one| delivery(view, one))
            .collect(),
        expanding: summary.expanding,
        expires_at: summary.expires_at,
        finished_at: summary.finished_at,
        id: summary.id,
        state: summary.state,
        target: summary.target,
    }
}

fn delivery(view: &View, delivery: &Delivery) -> DeliveryShown {
    let owner = delivery.sent_by.map(|(node, _, _)| node).or_else(|| {
        let record = view.fleet.agent(delivery.agent)?;
        let session = record.session?;
        view.fleet.session_valid(record).then_some(session.node)
    });
    DeliveryShown {
        agent: delivery.agent,
        error: delivery_error(&delivery.state),
        finished_at: delivery.finished_ms.map(rfc3339),
        owner_node: owner.map(|node| node.0),
        queued_at: rfc3339(delivery.queued_ms),
        sent_at: delivery.sent_ms.map(rfc3339),
        state: delivery_state(&delivery.state),
    }
}

/// The word of a state.
pub(crate) fn delivery_state(state: &DeliveryState) -> &'static str {
    match state {
        DeliveryState::Queued => "queued",
        DeliveryState::Sent => "sent",
        DeliveryState::Succeeded => "succeeded",
        DeliveryState::Failed(_) => "failed",
        DeliveryState::Expired => "expired",
        DeliveryState::Cancelled => "cancelled",
    }
}

/// The stable text of a failure; an agent's own words follow after a colon.
pub(crate) fn delivery_error(state: &DeliveryState) -> Option<String> {
    let DeliveryState::Failed(error) = state else {
        return None;
    };
    Some(match error {
        DeliveryError::LacksCapability => "lacks_capability".to_owned(),
        DeliveryError::OutcomeUnknown => "outcome_unknown".to_owned(),
        DeliveryError::Unconfirmed => "unconfirmed".to_owned(),
        DeliveryError::AgentFailed(text) => format!("agent_failed: {}", redact::text(text)),
        DeliveryError::NothingAssigned => "nothing_assigned".to_owned(),
        DeliveryError::MailboxFull => "mailbox_full".to_owned(),
        DeliveryError::AgentForgotten => "agent_forgotten".to_owned(),
    })
}
