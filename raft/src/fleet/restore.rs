//! A fleet that begins anew from a backup: another lineage, and nothing that was promised to or by the cluster
//! that the backup was taken of still holds.
//!
//! What that cluster did after the backup is not known here. So every session is void and every agent is asked for
//! its full state, fences and epochs are beyond any that it can have given, and instructions that must reach an agent
//! at most once are not given again. Peers, leases and join tokens of that cluster are gone.

use std::sync::Arc;

use super::audit::Json;
use super::context::Context;
use super::mark_deliveries::finished;
use super::{Applied, Fleet};
use crate::ids::{DispatchId, Epoch, InstanceUid};
use crate::outcome::Outcome;
use crate::proposal::{Entry, Origin, Proposal};
use crate::records::{
    Action, DeliveryError, DeliveryState, DispatchState, ReleaseReason, Released,
};

/// What is added to fences and epochs: more than any cluster gives between a backup and its end.
pub const JUMP: u64 = 1 << 32;

/// How a restored fleet begins.
#[derive(Clone, Debug)]
pub struct Restore {
    /// The new lineage, chosen at random.
    pub lineage: u128,
    /// The index that the backup stands for.
    pub index: u64,
    /// Wall time, for people.
    pub wall_ms: u64,
    /// Wall time of the backup: when sessions that it names were seen last.
    pub made_ms: u64,
    /// What was restored, for the audit record.
    pub source: Arc<str>,
}

impl Fleet {
    /// Makes the fleet of a backup the beginning of a new cluster.
    ///
    /// Answers the rows beside memory that come with it: the record that says so, at the end of the audit chain.
    pub fn restore(&mut self, restore: &Restore) -> Applied {
        let entry = Entry {
            time_ms: self.meta.time_ms,
            wall_ms: restore.wall_ms,
            origin: Origin {
                actor: "restore".into(),
                request_id: "".into(),
                idempotency: None,
            },
            proposal: Proposal::Found {
                lineage: restore.lineage,
            },
        };
        let nobody: Arc<str> = "".into();
        let (time_ms, downtime_ms) = (self.meta.time_ms, self.downtime.total_ms);
        let mut cx = Context::new(restore.index, time_ms, downtime_ms, &entry);
        cx.asked(&nobody);
        let lineage = |lineage: u128| Json::text(format_args!("{lineage:032x}"));
        let before = Json::object([("lineage", lineage(self.meta.lineage))]);
        let after = Json::object([("lineage", lineage(restore.lineage))]);
        cx.audit("cluster.restore", &restore.source, before, after);
        self.begin_anew(restore.lineage);
        self.void_nodes(&mut cx);
        self.forget_cluster(&mut cx);
        self.void_sessions(&mut cx, restore.made_ms);
        self.end_uncertain_deliveries(&mut cx);
        self.record(&mut cx);
        cx.finish(Outcome::Done)
    }

    fn begin_anew(&mut self, lineage: u128) {
        let meta = self.meta_mut();
        meta.lineage = lineage;
        meta.fence = meta.fence.saturating_add(JUMP);
    }

    fn void_nodes(&mut self, cx: &mut Context<'_>) {
        let nodes: Vec<_> = self.nodes().cloned().collect();
        for node in nodes {
            let mut node = Arc::unwrap_or_clone(node);
            node.epoch = Epoch(node.epoch.0.saturating_add(JUMP));
            node.live = false;
            node.batch = 0;
            self.put_node(cx, node);
        }
    }

    /// The new cluster is one node: it knows no peer, owes nobody a lease, and gives ids that the one before cannot
    /// have given. A fleet that never was more than one node stays without these rows.
    fn forget_cluster(&mut self, cx: &mut Context<'_>) {
        let mut head = (*self.head).clone();
        head.next_node = self.next_node().saturating_add(JUMP);
        head.floor_ms = 0;
        let known = self.cluster_keys().next().is_some();
        self.forget_cluster_rows(cx);
        if known {
            self.put_head(cx, head);
        }
    }

    /// Nobody owns an agent, and no sequence number is known: the agent went on with the cluster before.
    fn void_sessions(&mut self, cx: &mut Context<'_>, made_ms: u64) {
        let uids: Vec<InstanceUid> = self.agents(None).map(|agent| agent.uid).collect();
        for uid in uids {
            let Some(agent) = self.agent(uid) else {
                continue;
            };
            let mut agent = (**agent).clone();
            let over = Released {
                reason: ReleaseReason::OwnerDied,
                at_ms: cx.time_ms,
                wall_ms: made_ms,
                last_sequence: None,
            };
            if agent.session.take().is_some() {
                agent.released = Some(over);
            } else if let Some(released) = &mut agent.released {
                released.last_sequence = None;
            }
            self.put_agent(cx, agent);
        }
    }

    /// A restart or a message that was queued may have reached its agent since the backup.
    fn end_uncertain_deliveries(&mut self, cx: &mut Context<'_>) {
        let once = |action: &Action| match action {
            Action::Restart | Action::CustomMessage { .. } => true,
            Action::PushConfig => false,
        };
        let ids: Vec<(DispatchId, bool)> = self
            .dispatches(None)
            .filter(|dispatch| once(&dispatch.action))
            .map(|dispatch| {
                let expanding = matches!(dispatch.state, DispatchState::Expanding { .. });
                (dispatch.id, expanding)
            })
            .collect();
        for (id, expanding) in ids {
            let queued: Vec<_> = self.queued_of(id).collect();
            for uid in queued {
                if let Some(delivery) = self.delivery(id, uid) {
                    let unknown = DeliveryState::Failed(DeliveryError::OutcomeUnknown);
                    let unknown = finished(delivery, cx, unknown);
                    self.put_delivery(cx, unknown);
                }
            }
            if expanding {
                self.change_dispatch(cx, id, |dispatch| dispatch.state = DispatchState::Active);
            }
        }
    }
}
