//! Lets time pass for sessions: deadlines of restarts and pushes, offers that nobody answered, and agents
//! that stopped polling.

use std::sync::Arc;
use std::time::Duration;

use ampora_raft::records::{ReleaseReason, Transport};
use tokio_util::sync::CancellationToken;

use super::agent::{POLLS, State};
use super::room::Room;

/// Deadlines are stated in seconds.
const TICK: Duration = Duration::from_millis(250);

/// More than the largest budget would give in a tick of a healthy node; the rest comes with the next.
const ASKED_PER_TICK_MAX: usize = 4_096;

/// Every so many ticks all polled agents are looked at; the window is tens of seconds.
const TICKS_PER_SWEEP: u32 = 20;

/// What was marked as sent and not written waits so long for its agent to come back to this node.
const MAIL_KEPT_MS: u64 = 10 * 60 * 1000;

/// Runs until `stop`.
pub async fn drive(room: Arc<Room>, stop: CancellationToken) {
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut ticks = 0_u32;
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = stop.cancelled() => return,
        }
        fire(&room);
        ask_waiting(&room);
        ticks = ticks.wrapping_add(1);
        if ticks.is_multiple_of(TICKS_PER_SWEEP) {
            release_silent_polls(&room);
            give_up_mail(&room);
        }
    }
}

fn fire(room: &Room) {
    let now_ms = room.clock.boot_ms();
    loop {
        let uid = {
            let mut timers = room.timers.lock();
            match timers.first() {
                Some((at_ms, uid)) if *at_ms <= now_ms => {
                    let uid = *uid;
                    timers.pop_first();
                    uid
                }
                Some(_) | None => return,
            }
        };
        let Some(agent) = room.registry.get(uid) else {
            continue;
        };
        let (events, next_ms) = agent.handle_timeout(now_ms);
        room.conclude(&agent, events);
        // never again at the same instant, so that a session cannot hold this loop
        room.arm(uid, next_ms.map(|at_ms| at_ms.max(now_ms + 1)));
        room.drop_if_idle(uid);
    }
}

/// Asks agents for their full state that could not be asked with a reply, as far as the budget goes. Otherwise those
/// that heartbeat in phase would leave most of the budget unused.
fn ask_waiting(room: &Room) {
    let now_ms = room.clock.boot_ms();
    if !room.liveness.may_act(now_ms) {
        return;
    }
    for _ in 0..ASKED_PER_TICK_MAX {
        if room.full_states.is_spent(now_ms) {
            return;
        }
        let Some(uid) = room.unasked.lock().pop_first() else {
            return;
        };
        let Some(agent) = room.registry.get(uid) else {
            continue;
        };
        let asked = agent.with(|state| {
            let mut asked = None;
            let mut allowed = || {
                asked = room.full_states.ask(now_ms);
                asked.is_some()
            };
            state.session.push_full_state(now_ms, &mut allowed);
            if let Some(asked) = asked {
                state.asked = asked;
            }
            asked.is_some()
        });
        if asked {
            agent.wake();
        }
    }
}

/// An agent that polls has gone when it was silent for two windows: stale for longer than one.
fn release_silent_polls(room: &Room) {
    let now_ms = room.clock.boot_ms();
    let limit_ms = room.settings.heartbeat_window_ms.saturating_mul(2);
    for uid in room.registry.uids() {
        let Some(agent) = room.registry.get(uid) else {
            continue;
        };
        let silent = agent.with(|state| {
            state.transport == Transport::Http
                && state.connected
                && now_ms.saturating_sub(state.heard_ms) > limit_ms
        });
        if silent {
            room.leave(&agent, POLLS, ReleaseReason::Lost);
        }
    }
}

/// Ends what waits for agents that are another node's by now, or that stay away: it can leave from nowhere else, and the
/// fleet would show it as sent for ever. An agent that gave its session up and came to another node moves none.
fn give_up_mail(room: &Room) {
    let now_ms = room.clock.boot_ms();
    for uid in room.registry.uids() {
        let Some(agent) = room.registry.get(uid) else {
            continue;
        };
        let is_left = |state: &State| {
            let is_here = state.connected || state.claiming || state.fence.is_some();
            !is_here && !state.session.is_idle()
        };
        let away_ms =
            agent.with(|state| is_left(state).then_some(now_ms.saturating_sub(state.heard_ms)));
        let Some(away_ms) = away_ms else {
            continue;
        };
        let moved = room.owned_elsewhere(uid).is_some();
        if moved || away_ms > MAIL_KEPT_MS {
            let events = agent.with(|state| match is_left(state) {
                true => state.session.give_up(moved),
                false => Vec::new(),
            });
            room.conclude(&agent, events);
            room.drop_if_idle(uid);
        }
    }
}
