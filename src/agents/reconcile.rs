//! Keeps what sessions should offer in step with the fleet: the desired configuration of an agent is a
//! function of the fleet, and this task tells the sessions of this node when it may have changed.

use std::sync::Arc;

use ampora_raft::fleet::Fleet;
use ampora_raft::ids::{Fence, InstanceUid};
use tokio_util::sync::CancellationToken;

use super::changes::Agents;
use super::room::Room;

/// How many agents are looked at before other tasks get their turn: some hundred microseconds.
const AGENTS_PER_TURN: usize = 256;

/// Runs until `stop`.
pub async fn drive(room: Arc<Room>, stop: CancellationToken) {
    loop {
        let (agents, moved, forgotten) = tokio::select! {
            taken = room.changes.next_desired() => taken,
            () = stop.cancelled() => return,
        };
        for (uid, fence) in moved {
            room.session_moved(uid, fence);
        }
        for (uid, hash) in forgotten {
            if let Some(agent) = room.registry.get(uid) {
                agent.forget_failure(hash.0);
            }
        }
        let uids = match agents {
            Agents::Named(uids) => uids.into_iter().collect(),
            Agents::All => room.registry.uids(),
        };
        for some in uids.chunks(AGENTS_PER_TURN) {
            let view = room.consensus.view();
            for uid in some {
                let Some(agent) = room.registry.get(*uid) else {
                    continue;
                };
                // a snapshot brings no word of the sessions that were lost on its way
                if let Some(fence) = agent.with(|state| state.fence)
                    && !is_held(&view.fleet, *uid, fence)
                    // a grant may be newer than the copy that was looked at
                    && !is_held(&room.consensus.view().fleet, *uid, fence)
                {
                    room.session_moved(*uid, fence);
                }
                let Some(record) = view.fleet.agent(*uid) else {
                    continue;
                };
                let desired = view.fleet.desired(record).version.map(|v| v.hash.0);
                agent.set_desired(desired);
                if desired.is_none() {
                    // a push that waited for what is not assigned any more has come to its end
                    room.arm(*uid, agent.with(|state| state.session.poll_timeout()));
                }
            }
            tokio::task::yield_now().await;
        }
    }
}

/// Whether the fleet has the session of an agent under this fence.
fn is_held(fleet: &Fleet, uid: InstanceUid, fence: Fence) -> bool {
    let session = fleet.agent(uid).and_then(|record| record.session);
    session.is_some_and(|session| session.fence == fence)
}
