//! With which token agents come: who is let in at the door, whose uid a message may use, and the first time of an agent.
//! Where no token is asked for, nobody has one and everybody is let in.

use std::sync::Arc;
use std::time::Duration;

use ampora_proto::capabilities::server::ANNOUNCED;
use ampora_proto::frame;
use ampora_proto::wire;
use ampora_raft::fleet::limits::SWEEP_STEP;
use ampora_raft::fleet::{EnrollmentLimits, Standing};
use ampora_raft::ids::InstanceUid;
use ampora_raft::outcome::{EnrollmentRefusal, OpOutcome};
use ampora_raft::proposal::Proposal;
use ampora_raft::records::{ReleaseReason, Transport};
use bytes::Bytes;
use http::{HeaderMap, header};
use tokio_util::sync::CancellationToken;

use super::agent::POLLS;
use super::claims::CLAIM_WAIT;
use super::exchange::{self, Caller};
use super::room::Room;
use crate::node::leases::Tenure;
use crate::secrets;
use crate::telemetry::frames::{Rejected, rejected};

/// `ServerToAgent.flags`: report everything.
const REPORT_FULL_STATE: u64 = 0x1;

/// Bytes of a token's text at most: `amp_` and 256 bits are 47 characters.
const TOKEN_BYTES_MAX: usize = 256;

/// How many agents are looked at before other tasks get their turn.
const AGENTS_PER_TURN: usize = 256;

/// Between two looks for tokens whose time is over.
const SWEEP_PERIOD: Duration = Duration::from_secs(60);

/// Who has a place, and whose, does not depend on time; asking for it with every message would cost a lock.
const NO_TIME: u64 = 0;

/// Why an agent is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turned {
    /// It may not come.
    Away(EnrollmentRefusal),
    /// The log has not answered yet.
    Later,
}

/// The id of the enrollment token in the `Authorization` header; `None` when there is none that works.
pub fn token(room: &Room, headers: &HeaderMap) -> Option<Arc<str>> {
    let text = bearer(headers)?;
    let hash = secrets::hash(text);
    let view = room.consensus.view();
    let token = view.fleet.enrollment_token_by_hash(&hash)?;
    secrets::equal(&token.hash, &hash).then(|| token.id.clone())
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next()?.to_str().ok()?;
    if values.next().is_some() {
        return None;
    }
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && token.len() <= TOKEN_BYTES_MAX).then_some(token)
}

/// Whether the uid belongs to somebody who came with another token.
pub fn is_foreign(room: &Room, caller: &Caller, uid: InstanceUid) -> bool {
    let foreign = Standing::Refused(EnrollmentRefusal::Foreign);
    standing(room, caller, uid, NO_TIME) == Some(foreign)
}

/// Whether the agent may be served without asking the log.
pub fn is_enrolled(room: &Room, caller: &Caller, uid: InstanceUid) -> bool {
    standing(room, caller, uid, NO_TIME).is_none_or(|standing| standing == Standing::Enrolled)
}

fn standing(room: &Room, caller: &Caller, uid: InstanceUid, now_ms: u64) -> Option<Standing> {
    let token = caller.token.as_ref()?;
    let limits = EnrollmentLimits {
        agents: room.author.agents_max,
        per_token: room.settings.agents_per_token_max,
    };
    Some(
        room.consensus
            .view()
            .fleet
            .standing(uid, token, now_ms, limits),
    )
}

/// The time by which tokens end.
fn deadline_ms(room: &Room) -> u64 {
    let fleet_ms = room.consensus.fleet_time_ms();
    room.consensus.view().fleet.deadline_ms(fleet_ms)
}

/// Makes sure that the agent has its place of the token, waiting a moment for the log.
///
/// # Errors
/// It has none, or not yet.
pub async fn enroll(room: &Room, caller: &Caller, uid: InstanceUid) -> Result<(), Turned> {
    let Some(token) = &caller.token else {
        return Ok(());
    };
    match standing(room, caller, uid, deadline_ms(room)) {
        None | Some(Standing::Enrolled) => return Ok(()),
        Some(Standing::Refused(why)) => return Err(Turned::Away(why)),
        Some(Standing::Welcome) => {}
    }
    let per_token_max = room.settings.agents_per_token_max;
    let enrolling = room.batches.enroll(uid, token.clone(), per_token_max);
    match tokio::time::timeout(CLAIM_WAIT, enrolling).await {
        Ok(Ok(OpOutcome::Done)) => {
            tracing::debug!(agent.id = %uid, token.id = %token, "an agent enrolled");
            Ok(())
        }
        Ok(Ok(OpOutcome::NotEnrolled(why))) => Err(Turned::Away(why)),
        Ok(
            Ok(
                OpOutcome::Granted { .. }
                | OpOutcome::Conflict(_)
                | OpOutcome::NotOwner
                | OpOutcome::AgentLimit
                | OpOutcome::TooLarge,
            )
            | Err(_),
        )
        | Err(_) => Err(Turned::Later),
    }
}

/// The answer to an agent that is not served; its socket stays open.
pub fn answer(room: &Room, uid: InstanceUid, turned: Turned) -> wire::ServerToAgent {
    let why = match turned {
        Turned::Away(why) => why,
        // it says everything again, and by then the log will have answered
        Turned::Later => {
            return wire::ServerToAgent {
                instance_uid: Bytes::copy_from_slice(uid.as_bytes()),
                capabilities: ANNOUNCED,
                flags: REPORT_FULL_STATE,
                ..wire::ServerToAgent::default()
            };
        }
    };
    let text = match why {
        EnrollmentRefusal::AgentLimit => return overload(room, uid, exchange::AGENTS_MAX),
        EnrollmentRefusal::TokenLimit => {
            return overload(
                room,
                uid,
                "as many agents came with this enrollment token as may (agents.max_per_token)",
            );
        }
        EnrollmentRefusal::Revoked => "the enrollment token was revoked",
        EnrollmentRefusal::Foreign => "this instance uid belongs to another enrollment token",
        EnrollmentRefusal::Expired => "the enrollment token has expired: it takes no new agents",
        EnrollmentRefusal::Spent => "the enrollment token is spent: it takes no new agents",
    };
    rejected(Rejected::Auth);
    tracing::debug!(agent.id = %uid, why = ?why, "an agent was turned away");
    frame::refusal(
        Bytes::copy_from_slice(uid.as_bytes()),
        wire::ServerErrorResponseType::BadRequest,
        text.to_owned(),
        None,
    )
}

fn overload(room: &Room, uid: InstanceUid, text: &str) -> wire::ServerToAgent {
    rejected(Rejected::Overload);
    exchange::unavailable(room, uid, text)
}

/// Ends sockets whose token is gone, until `stop`.
pub async fn drive(room: Arc<Room>, stop: CancellationToken) {
    let mut tick = tokio::time::interval(SWEEP_PERIOD);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = room.changes.next_tokens() => {}
            _ = tick.tick() => {}
            () = stop.cancelled() => return,
        }
        end_revoked(&room).await;
    }
}

/// Has the fleet forget tokens that are over while the lease is held.
pub async fn perform(tenure: Tenure) {
    let mut tick = tokio::time::interval(SWEEP_PERIOD);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = tenure.room().changes.next_spent_tokens() => {}
            _ = tick.tick() => {}
        }
        sweep(&tenure).await;
    }
}

/// Closes sockets whose token is gone, and gives up the sessions of agents that poll: their next one is refused.
async fn end_revoked(room: &Room) {
    if !room.settings.needs_token {
        return;
    }
    let fleet = room.consensus.view().fleet.clone();
    room.sockets.end_revoked(&fleet);
    for some in room.registry.uids().chunks(AGENTS_PER_TURN) {
        for agent in some.iter().filter_map(|uid| room.registry.get(*uid)) {
            let polls = agent.with(|state| {
                let gone = |token: &Arc<str>| fleet.enrollment_token(token).is_none();
                state.transport == Transport::Http && state.token.as_ref().is_some_and(gone)
            });
            if polls {
                room.leave(&agent, POLLS, ReleaseReason::Lost);
            }
        }
        tokio::task::yield_now().await;
    }
}

/// Each step removes something, so that this ends.
async fn sweep(tenure: &Tenure) {
    let room = tenure.room();
    let due = || {
        let now_ms = deadline_ms(room);
        room.consensus.view().fleet.has_tokens_to_sweep(now_ms)
    };
    while due() {
        let limit = u16::try_from(SWEEP_STEP).unwrap_or(u16::MAX);
        let proposal = Proposal::SweepTokens { limit };
        if let Err(error) = tenure.propose(proposal).await {
            tracing::debug!(%error, "tokens that are over could not be swept");
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_token_stands_in_one_bearer_header_of_any_case() {
        let of = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                let value = HeaderValue::from_str(value).expect("a value");
                headers.append("Authorization", value);
            }
            bearer(&headers).map(str::to_owned)
        };
        assert_eq!(of(&["Bearer amp_a"]).as_deref(), Some("amp_a"));
        assert_eq!(of(&["bEARER  amp_a "]).as_deref(), Some("amp_a"));
        let long = format!("Bearer {}", "x".repeat(TOKEN_BYTES_MAX + 1));
        for bad in [
            &[][..],
            &["Basic amp_a"],
            &["amp_a"],
            &["Bearer a", "Bearer b"],
            &[&long],
        ] {
            assert_eq!(of(bad), None, "{bad:?}");
        }
    }
}
