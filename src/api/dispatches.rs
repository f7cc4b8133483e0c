//! `/dispatches`: instructions to agents, and what became of each delivery.

mod described;
mod shape;

use std::sync::Arc;

use ampora_proto::capabilities::agent;
use ampora_raft::fleet::limits::{EXPAND_LOOKED_AT_MAX, EXPIRY_MAX_MS, EXPIRY_MIN_MS};
use ampora_raft::ids::{DispatchId, InstanceUid};
use ampora_raft::outcome::Outcome;
use ampora_raft::proposal::{CreateDispatch, Proposal};
use ampora_raft::records::{Action, Dispatch, DispatchState, Target};
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::{StatusCode, header};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

pub(crate) use self::described::operations;

use self::shape::{List as DispatchList, Summary, Whole, with_deliveries};
pub(crate) use self::shape::{delivery_error, delivery_state};
use super::Api;
use super::agents::{STRIDE, parse_selector};
use super::extract::{Params, Segments, Write};
use super::paging::{List, Page, take};
use super::problem::{Code, Problem};
use super::reject::refused;

/// `expires_in_seconds` when the caller does not say.
const EXPIRES_DEFAULT_S: u64 = 3600;

/// A page of dispatches, or of the deliveries of one.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    limit: Option<String>,
    r#continue: Option<String>,
}

/// An instruction.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewDispatch)]
struct Form {
    action: ActionForm,
    target: TargetForm,
    /// After this time what is still queued is given up. Without it 3600.
    #[schema(minimum = 1, maximum = 604_800, default = 3600)]
    expires_in_seconds: Option<u64>,
}

/// Exactly one of them.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewAction, min_properties = 1, max_properties = 1)]
struct ActionForm {
    /// At most once: an agent whose node dies meanwhile is not restarted again.
    restart: Option<Empty>,
    /// The desired configuration again, also to an agent that refused it.
    push_config: Option<Empty>,
    custom_message: Option<MessageForm>,
}

/// A message that only the agent understands.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewMessage)]
struct MessageForm {
    /// A custom capability that the agent announces.
    #[schema(min_length = 1)]
    capability: String,
    r#type: String,
    #[serde(default)]
    #[schema(format = Byte)]
    data_base64: String,
}

/// Nothing more to say.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Nothing)]
struct Empty {}

/// Exactly one of them.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewTarget)]
struct TargetForm {
    /// An instance uid.
    #[schema(format = "uuid")]
    agent: Option<String>,
    /// Whoever it matches when the dispatch is made.
    #[schema(format = "ampora-selector")]
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
    } else {
        api.backend.accepted(dispatch.id);
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
) -> Result<Json<DispatchList>, Problem> {
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
    Ok(Json(DispatchList {
        applied_index: view.applied_index,
        r#continue: next,
        items: items.into_iter().map(|item| Summary::of(item)).collect(),
    }))
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
) -> Result<Json<Whole>, Problem> {
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
) -> Result<Json<Whole>, Problem> {
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

#[cfg(test)]
mod tests;
