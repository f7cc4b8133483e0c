//! `/cluster/join-tokens` and `/cluster/join`: how nodes come to a cluster, and how this one goes to another.

use std::net::SocketAddr;
use std::sync::Arc;

use ampora_raft::fleet::limits::JOIN_USES_MAX;
use ampora_raft::ids::NodeId;
use ampora_raft::outcome::Outcome;
use ampora_raft::proposal::Proposal;
use ampora_raft::records;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use crate::api::Api;
use crate::api::backend::View;
use crate::api::extract::Write;
use crate::api::openapi::Operation;
use crate::api::problem::{Code, Problem};
use crate::api::reject::refused;
use crate::api::timestamp::rfc3339;
use crate::config::Secret;
use crate::node::cluster::token::{ADDRESSES_MAX, JoinToken, KEYS_MAX};

/// The longest time that a join token may have: thirty days.
const TTL_SECONDS_MAX: u64 = 2_592_000;

/// Who says nothing else has an hour,
const TTL_SECONDS: u64 = 3_600;

/// for one node.
const USES: u32 = 1;

/// Where nodes listen for each other when nobody says otherwise.
const PEER_PORT: u16 = 4322;

/// Ports between one node and the next, where several run on one machine.
const PORTS_APART: u64 = 10;

/// Beyond it the ports would leave their range: such a node is told its own by hand.
const NODES_OF_ONE_MACHINE: u64 = 100;

/// A join token to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewJoinToken)]
struct Form {
    /// How many nodes may join with it; 1 when absent.
    #[schema(minimum = 1, maximum = 64)]
    uses: Option<u32>,
    /// An hour when absent.
    #[schema(minimum = 1, maximum = 2_592_000)]
    ttl_seconds: Option<u64>,
}

/// A join token. Its text is shown when it is made, not when the call is repeated.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = JoinToken)]
pub(crate) struct Made {
    /// One line that starts a node which joins.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    command: Option<String>,
    expires_at: String,
    id: Arc<str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    token: Option<String>,
    uses: u32,
}

/// The cluster that this node is to join.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Join)]
struct JoinForm {
    /// What this node holds may be set aside; without it a node that is not empty stays where it is.
    #[serde(default)]
    discard: bool,
    /// `host:port` of a member's door for other nodes: asked before the addresses of the token.
    #[schema(max_length = 255)]
    peer_address: Option<String>,
    /// A join token of that cluster.
    #[schema(max_length = 4096)]
    token: String,
}

/// This node was let in and starts again as a member of the other cluster.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Joining {
    /// `joining`.
    state: &'static str,
}

/// The operations of this room.
pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation::write(
            Method::POST,
            "/api/v1/cluster/join-tokens",
            "create_join_token",
            "Make a token with which nodes join",
        )
        .says("Opens the door for other nodes of the node that is asked. The text is shown in this answer and never again.")
        .takes::<Form>(&json!({"uses": 1, "ttl_seconds": 3600}))
        .answers::<Made>(201, "The token, and a line that starts a node with it")
        .fails(&[Code::PeerDoorClosed]),
        Operation::write(
            Method::POST,
            "/api/v1/cluster/join",
            "join_cluster",
            "Let this node, which runs alone, join another cluster",
        )
        .says(
            "The other cluster is asked before anything changes here. Then this node sets aside what it had, starts \
             again and learns; `GET /cluster` shows how far it is.",
        )
        .takes::<JoinForm>(&json!({"peer_address": "10.0.0.1:4322", "token": "ampj_…"}))
        .answers::<Joining>(202, "It was let in and starts again")
        .fails(&[
            Code::AlreadyMember,
            Code::HoldsData,
            Code::JoinRefused,
            Code::PeerDoorClosed,
            Code::PeerUnreachable,
        ]),
    ]
}

/// `POST /cluster/join-tokens`.
pub(crate) async fn create_token(
    State(api): State<Api>,
    write: Write,
) -> Result<Response, Problem> {
    let form: Form = write.json()?;
    let uses = within(
        "/uses",
        form.uses.unwrap_or(USES).into(),
        JOIN_USES_MAX.into(),
    )?;
    let uses = u32::try_from(uses).unwrap_or(JOIN_USES_MAX);
    let ttl = form.ttl_seconds.unwrap_or(TTL_SECONDS);
    let ttl_ms = within("/ttl_seconds", ttl, TTL_SECONDS_MAX)? * 1_000;
    api.backend.open_to_peers().await?;
    let (view, now) = (api.backend.view(), api.backend.now());
    let text = fresh(&api, &view);
    let hash = text.key().map(|key| key.key_hash());
    let hash = hash.map_err(|error| Problem::new(Code::Internal, error))?;
    let id: Arc<str> = hex::encode(&api.backend.random()[..8]).into();
    let token = records::JoinToken {
        id: id.clone(),
        hash,
        uses,
        expires_ms: view.fleet.deadline_ms(now.fleet_ms) + ttl_ms,
        created_ms: now.wall_ms,
        created_by: Arc::from(""),
        redeemed: Vec::new(),
    };
    let committed = write.ask(&api, Proposal::CreateJoinToken { token }).await?;
    let Outcome::JoinToken(made) = committed.outcome else {
        return Err(refused(committed.outcome));
    };
    // whoever comes with it at once is let in by this node
    api.backend.open_to_peers().await?;
    let expires_at = rfc3339(now.wall_ms + ttl_ms);
    // a repeated call made none: what the first one made was shown then
    let shown = (made == id).then(|| text.encode());
    let first = text.addresses.first().map_or("", |address| &**address);
    let command = shown.as_deref().map(|token| command(token, first, &view));
    let body = Made {
        command,
        expires_at,
        id: made,
        token: shown,
        uses,
    };
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

fn within(pointer: &str, given: u64, most: u64) -> Result<u64, Problem> {
    if (1..=most).contains(&given) {
        return Ok(given);
    }
    let says = format_args!("must be 1 to {most}");
    Err(Problem::at(Code::ValidationFailed, pointer, says))
}

/// A token with a fresh secret; the door of this node comes first, then those of voters.
fn fresh(api: &Api, view: &View) -> JoinToken {
    let mut secret = [0; 32];
    secret[..16].copy_from_slice(&api.backend.random());
    secret[16..].copy_from_slice(&api.backend.random());
    let status = api.backend.status();
    let rank = |node: NodeId| (node != status.node, !status.voters.contains(&node), node);
    let mut peers: Vec<_> = view.fleet.peers().collect();
    peers.sort_by_key(|peer| rank(peer.id));
    let addresses = peers.iter().take(ADDRESSES_MAX);
    let keys = peers.iter().take(KEYS_MAX);
    JoinToken {
        cluster: view.fleet.meta().lineage,
        addresses: addresses.map(|peer| peer.address.clone()).collect(),
        keys: keys.map(|peer| peer.key).collect(),
        secret: Secret::new(secret),
    }
}

/// One line that starts a node: on another machine with a door that others reach, on this one beside those that
/// run here.
fn command(token: &str, first: &str, view: &View) -> String {
    let address: Option<SocketAddr> = first.parse().ok();
    let here = address.filter(|address| address.ip().is_loopback());
    let Some(here) = here else {
        let any = if address.is_some_and(|address| address.is_ipv6()) {
            "[::]"
        } else {
            "0.0.0.0"
        };
        return format!(
            "ampora serve --set peer.listen={any}:{PEER_PORT} --set cluster.join={token}"
        );
    };
    let next = view.fleet.peers().map(|peer| peer.id.0).max().unwrap_or(1) + 1;
    let up = PORTS_APART * (next - 1).min(NODES_OF_ONE_MACHINE);
    let listen = |door: &str, port: u64| {
        let ip = SocketAddr::new(here.ip(), u16::try_from(port + up).unwrap_or(0));
        format!("--set {door}.listen={ip}")
    };
    format!(
        "ampora serve --data-dir ampora-data-{next} {} {} {} --set cluster.join={token}",
        listen("opamp", 4320),
        listen("admin", 4321),
        listen("peer", PEER_PORT.into()),
    )
}

/// `POST /cluster/join`.
pub(crate) async fn join(State(api): State<Api>, write: Write) -> Result<Response, Problem> {
    let form: JoinForm = write.json()?;
    if let Err(error) = JoinToken::decode(&form.token) {
        return Err(Problem::at(Code::ValidationFailed, "/token", error));
    }
    let (view, status) = (api.backend.view(), api.backend.status());
    let is_alone = status.voters == [status.node]
        && status.learners.is_empty()
        && view.fleet.nodes().all(|node| node.id == status.node);
    if !is_alone {
        return Err(Problem::new(
            Code::AlreadyMember,
            "this node runs in a cluster of several: remove it there, and start it with an empty data directory",
        ));
    }
    if !form.discard
        && let Some(what) = held(&view)
    {
        return Err(Problem::new(
            Code::HoldsData,
            format_args!(
                "this node holds {what}, which would be set aside: say \"discard\": true if that is meant"
            ),
        ));
    }
    let address = form.peer_address.unwrap_or_default();
    api.backend.move_to(address, form.token).await?;
    let body = Joining { state: "joining" };
    Ok((StatusCode::ACCEPTED, Json(body)).into_response())
}

/// The first thing that a node has which people gave it.
fn held(view: &View) -> Option<&'static str> {
    let fleet = &view.fleet;
    // the token of the directory is one
    let tokens = fleet.tokens_after(None).nth(1).is_some();
    [
        (fleet.agents_len() > 0, "agents"),
        (
            fleet.configurations(None).next().is_some(),
            "configurations",
        ),
        (fleet.groups(None).next().is_some(), "groups"),
        (fleet.dispatches(None).next().is_some(), "dispatches"),
        (tokens, "tokens"),
        (
            fleet.enrollment_tokens(None).next().is_some(),
            "enrollment tokens",
        ),
    ]
    .into_iter()
    .find_map(|(holds, what)| holds.then_some(what))
}
