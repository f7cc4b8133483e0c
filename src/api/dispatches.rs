//! `/dispatches`: instructions to agents, and what became of each delivery.

use std::sync::Arc;

use ampora_proto::capabilities::agent;
use ampora_raft::fleet::limits::{EXPAND_LOOKED_AT_MAX, EXPIRY_MAX_MS, EXPIRY_MIN_MS};
use ampora_raft::ids::{DispatchId, InstanceUid};
use ampora_raft::outcome::Outcome;
use ampora_raft::proposal::{CreateDispatch, Proposal};
use ampora_raft::records::{
    Action, Delivery, DeliveryError, DeliveryState, Dispatch, DispatchState, Target,
};
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::{StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};

use super::agents::{STRIDE, parse_selector};
use super::backend::View;
use super::extract::{Params, Segments, Write};
use super::paging::{List, Page, take};
use super::problem::{Code, Problem};
use super::reject::refused;
use super::timestamp::rfc3339;
use super::{Api, paging};

/// `expires_in_seconds` when the caller does not say.
const EXPIRES_DEFAULT_S: u64 = 3600;

/// A page of dispatches, or of the deliveries of one.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    limit: Option<String>,
    r#continue: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    action: ActionForm,
    target: TargetForm,
    expires_in_seconds: Option<u64>,
}

/// Exactly one of them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ActionForm {
    restart: Option<Empty>,
    push_config: Option<Empty>,
    custom_message: Option<MessageForm>,
}

/// A message that only the agent understands.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MessageForm {
    capability: String,
    r#type: String,
    #[serde(default)]
    data_base64: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Empty {}

/// Exactly one of them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TargetForm {
    agent: Option<String>,
    selector: Option<String>,
}

impl ActionForm {
    /// The action with the capability bits that it needs.
    fn read(self) -> Result<(Action, u64), Problem> {
        match (self.restart, self.push_config, self.custom_message) {
            (Some(Empty {}), None, None) => Ok((Action::Restart, agent::ACCEPTS_RESTART_COMMAND)),
            (None, Some(Empty {}), None) => Ok((Action::PushConfig, agent::ACCEPTS_REMOTE_CONFIG)),
            (None, None, Some(message)) => Ok((message.read()?, 0)),
            _ => Err(Problem::at(
                Code::ValidationFailed,
                "/action",
                "action has one of restart, push_config and custom_message",
            )),
        }
    }
}

impl MessageForm {
    fn read(self) -> Result<Action, Problem> {
        let invalid = |pointer, text: &str| Problem::at(Code::ValidationFailed, pointer, text);
        if self.capability.is_empty() {
            return Err(invalid(
                "/action/custom_message/capability",
                "the name of a capability is not empty",
            ));
        }
        let data = BASE64_STANDARD.decode(self.data_base64).map_err(|_| {
            invalid(
                "/action/custom_message/data_base64",
                "the data is not base64",
            )
        })?;
        Ok(Action::CustomMessage {
            capability: self.capability.into(),
            message_type: self.r#type.into(),
            data,
        })
    }
}

impl TargetForm {
    fn read(self) -> Result<Target, Problem> {
        match (self.agent, self.selector) {
            (Some(uid), None) => InstanceUid::parse_str(&uid)
                .map(Target::Agent)
                .map_err(|_| {
                    Problem::at(
                        Code::ValidationFailed,
                        "/target/agent",
                        "the uid of an agent is a UUID",
                    )
                }),
            (None, Some(text)) => parse_selector(&text, "/target/selector").map(Target::Selector),
            (None, None) | (Some(_), Some(_)) => Err(Problem::at(
                Code::ValidationFailed,
                "/target",
                "target has either agent or selector",
            )),
        }
    }
}

impl Form {
    /// The proposal that it asks for.
    fn read(self) -> Result<CreateDispatch, Problem> {
        let (action, requires) = self.action.read()?;
        let target = self.target.read()?;
        let seconds = self.expires_in_seconds.unwrap_or(EXPIRES_DEFAULT_S);
        let expires_in_ms = seconds.saturating_mul(1000);
        if !(EXPIRY_MIN_MS..=EXPIRY_MAX_MS).contains(&expires_in_ms) {
            return Err(Problem::at(
                Code::ValidationFailed,
                "/expires_in_seconds",
                format_args!("expires_in_seconds is from 1 to {}", EXPIRY_MAX_MS / 1000),
            ));
        }
        Ok(CreateDispatch {
            action,
            target,
            requires,
            expires_in_ms,
        })
    }
}

/// `POST /dispatches`.
pub(crate) async fn create(State(api): State<Api>, write: Write) -> Result<Response, Problem> {
    let form: Form = write.json()?;
    let proposal = Proposal::CreateDispatch(form.read()?);
    let committed = write.ask(&api, proposal).await?;
    let Outcome::Dispatch(dispatch) = committed.outcome else {
        return Err(refused(committed.outcome));
    };
    if let Target::Agent(uid) = &dispatch.target {
        let view = api.backend.view();
        let session = view
            .fleet
            .agent(*uid)
            .and_then(|record| view.fleet.valid_session(record));
        let owner = session.map(|session| session.node);
        crate::telemetry::dispatches::accepted(owner, api.backend.status().node);
    }
    let dispatch = end_if_for_nobody(&api, &write, dispatch).await;
    let location = format!("/api/v1/dispatches/{}", dispatch.id);
    let page = first_page(&dispatch)?;
    let body = with_deliveries(&api.backend.view(), &dispatch, &page, None);
    Ok((
        StatusCode::ACCEPTED,
        [(header::LOCATION, location)],
        Json(body),
    )
        .into_response())
}

/// Ends the expansion of a dispatch that matches nobody, so that it is answered as done; others are expanded by
/// the delivery task. What cannot be proposed here is left to that task too.
async fn end_if_for_nobody(api: &Api, write: &Write, made: Arc<Dispatch>) -> Arc<Dispatch> {
    let Target::Selector(selector) = &made.target else {
        return made;
    };
    let view = api.backend.view();
    let search = view.fleet.search(Some(selector));
    let mut after = None;
    loop {
        let stride = search.stride(after, STRIDE);
        if !stride.agents.is_empty() {
            return made;
        }
        if stride.next.is_none() {
            break;
        }
        after = stride.next;
        tokio::task::yield_now().await;
    }
    let steps = view.fleet.agents_len() / EXPAND_LOOKED_AT_MAX + 2;
    for _ in 0..steps {
        let current = api.backend.view().fleet.dispatch(made.id).cloned();
        let Some(current) = current else {
            return made;
        };
        let DispatchState::Expanding { cursor } = current.state else {
            return current;
        };
        let dispatch = made.id;
        let proposal = Proposal::ExpandDispatch { dispatch, cursor };
        let proposed = api.backend.propose(write.step_origin(), proposal).await;
        if proposed.is_err() {
            return current;
        }
    }
    made
}

fn first_page(dispatch: &Dispatch) -> Result<Page, Problem> {
    Page::new(List::Deliveries, None, &[Some(&dispatch.id.to_string())])
}

/// `GET /dispatches`, newest first, without deliveries.
pub(crate) async fn list(
    State(api): State<Api>,
    Params(query): Params<ListQuery>,
) -> Result<Json<Value>, Problem> {
    let page = Page::new(List::Dispatches, query.limit.as_deref(), &[])?;
    let before = match page.after(query.r#continue.as_deref())? {
        None => None,
        Some(key) => {
            let id: [u8; 8] = key.try_into().map_err(|_| page.foreign())?;
            Some(DispatchId(u64::from_be_bytes(id)))
        }
    };
    let view = api.backend.view();
    let (items, next) = take(view.fleet.dispatches(before), &page, |dispatch| {
        dispatch.id.0.to_be_bytes()
    });
    let items: Vec<Value> = items.into_iter().map(|item| summary(item)).collect();
    Ok(Json(json!({
        "items": items,
        "continue": next,
        "applied_index": view.applied_index,
    })))
}

fn parse_id(text: &str) -> Result<DispatchId, Problem> {
    text.parse::<u64>().map(DispatchId).map_err(|_| {
        Problem::at(
            Code::InvalidParameter,
            "/path/id",
            "the id of a dispatch is a number",
        )
    })
}

/// `GET /dispatches/{id}` with a page of deliveries in uid order.
pub(crate) async fn show(
    State(api): State<Api>,
    Segments(id): Segments<String>,
    Params(query): Params<ListQuery>,
) -> Result<Json<Value>, Problem> {
    let id = parse_id(&id)?;
    let view = api.backend.view();
    let dispatch = view.fleet.dispatch(id).cloned().ok_or_else(|| {
        Problem::new(
            Code::DispatchNotFound,
            format_args!("there is no dispatch {id}"),
        )
    })?;
    let limit = query.limit.as_deref();
    let page = Page::new(List::Deliveries, limit, &[Some(&id.to_string())])?;
    let after = page
        .after(query.r#continue.as_deref())?
        .map(|key| InstanceUid::from_slice(&key).map_err(|_| page.foreign()))
        .transpose()?;
    Ok(Json(with_deliveries(&view, &dispatch, &page, after)))
}

/// `DELETE /dispatches/{id}`: withdraws what is still queued; what was sent goes on.
pub(crate) async fn cancel(
    State(api): State<Api>,
    Segments(id): Segments<String>,
    write: Write,
) -> Result<Json<Value>, Problem> {
    let id = parse_id(&id)?;
    let proposal = || Proposal::CancelDispatch { dispatch: id };
    let mut committed = write.ask(&api, proposal()).await?;
    for _ in 0..CANCEL_STEPS_MAX {
        let Outcome::Deliveries { more, .. } = committed.outcome else {
            return Err(refused(committed.outcome));
        };
        if !more {
            break;
        }
        // the rest of what the first entry recorded
        committed = api.backend.propose(write.step_origin(), proposal()).await?;
    }
    let view = api.backend.view();
    let dispatch = view.fleet.dispatch(id).cloned().ok_or_else(|| {
        Problem::new(
            Code::DispatchNotFound,
            format_args!("there is no dispatch {id}"),
        )
    })?;
    let page = first_page(&dispatch)?;
    Ok(Json(with_deliveries(&view, &dispatch, &page, None)))
}

/// Entries of one cancellation: a million deliveries in steps of 256.
const CANCEL_STEPS_MAX: usize = 4_096;

/// A dispatch without deliveries.
fn summary(dispatch: &Dispatch) -> Value {
    let counts = dispatch.counts;
    let (state, finished_at) = match dispatch.state {
        DispatchState::Expanding { .. } | DispatchState::Active => ("active", None),
        DispatchState::Done { finished_ms, .. } => ("done", Some(rfc3339(finished_ms))),
    };
    json!({
        "id": dispatch.id.to_string(),
        "state": state,
        "action": action_json(&dispatch.action),
        "target": match &dispatch.target {
            Target::Agent(uid) => json!({"agent": uid}),
            Target::Selector(selector) => json!({"selector": selector.source}),
        },
        "expanding": matches!(dispatch.state, DispatchState::Expanding { .. }),
        "counts": {
            "queued": counts.queued,
            "sent": counts.sent,
            "succeeded": counts.succeeded,
            "failed": counts.failed,
            "expired": counts.expired,
            "cancelled": counts.cancelled,
        },
        "created_at": rfc3339(dispatch.created_ms),
        "created_by": dispatch.created_by,
        "expires_at": rfc3339(dispatch.expires_wall_ms),
        "finished_at": finished_at,
    })
}

fn action_json(action: &Action) -> Value {
    match action {
        Action::Restart => json!({"restart": {}}),
        Action::PushConfig => json!({"push_config": {}}),
        Action::CustomMessage {
            capability,
            message_type,
            ..
        } => json!({"custom_message": {"capability": capability, "type": message_type}}),
    }
}

fn with_deliveries(
    view: &View,
    dispatch: &Arc<Dispatch>,
    page: &Page,
    after: Option<InstanceUid>,
) -> Value {
    let deliveries = view.fleet.deliveries(dispatch.id, after);
    let (deliveries, next) = paging::take(deliveries, page, |delivery| *delivery.agent.as_bytes());
    let deliveries: Vec<Value> = deliveries
        .into_iter()
        .map(|delivery| delivery_json(view, delivery))
        .collect();
    let mut answer = summary(dispatch);
    answer["deliveries"] = Value::from(deliveries);
    answer["continue"] = json!(next);
    answer["applied_index"] = json!(view.applied_index);
    answer
}

fn delivery_json(view: &View, delivery: &Delivery) -> Value {
    let owner = delivery.sent_by.map(|(node, _, _)| node).or_else(|| {
        let record = view.fleet.agent(delivery.agent)?;
        let session = record.session?;
        view.fleet.session_valid(record).then_some(session.node)
    });
    json!({
        "agent": delivery.agent,
        "state": delivery_state(&delivery.state),
        "owner_node": owner.map(|node| node.0),
        "queued_at": rfc3339(delivery.queued_ms),
        "sent_at": delivery.sent_ms.map(rfc3339),
        "finished_at": delivery.finished_ms.map(rfc3339),
        "error": delivery_error(&delivery.state),
    })
}

fn delivery_state(state: &DeliveryState) -> &'static str {
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
fn delivery_error(state: &DeliveryState) -> Option<String> {
    let DeliveryState::Failed(error) = state else {
        return None;
    };
    Some(match error {
        DeliveryError::LacksCapability => "lacks_capability".to_owned(),
        DeliveryError::OutcomeUnknown => "outcome_unknown".to_owned(),
        DeliveryError::Unconfirmed => "unconfirmed".to_owned(),
        DeliveryError::AgentFailed(text) => {
            format!("agent_failed: {}", super::redact::text(text))
        }
        DeliveryError::NothingAssigned => "nothing_assigned".to_owned(),
        DeliveryError::MailboxFull => "mailbox_full".to_owned(),
        DeliveryError::AgentForgotten => "agent_forgotten".to_owned(),
    })
}

#[cfg(test)]
mod tests;
