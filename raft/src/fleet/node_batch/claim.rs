//! A claim: compare-and-set on the fence that the claimer saw. The later live connection wins; a late
//! claim of a dead connection gives up.

use std::sync::Arc;

use super::super::Fleet;
use super::super::context::Context;
use super::Owner;
use crate::effect::Effect;
use crate::ids::{Fence, InstanceUid};
use crate::outcome::OpOutcome;
use crate::records::{AgentRecord, ConfigState, Session, Transport};

impl Fleet {
    pub(super) fn claim(
        &mut self,
        cx: &mut Context<'_>,
        owner: Owner,
        uid: InstanceUid,
        expect: Option<Fence>,
        transport: Transport,
    ) -> OpOutcome {
        let known = self.agents.get(&uid).cloned();
        let created = known.is_none();
        let mut last_sequence = None;
        match &known {
            None if self.agents.len() >= owner.agents_max as usize => {
                return OpOutcome::AgentLimit;
            }
            None => {}
            Some(agent) => {
                if let Some(held) = self.valid_session(agent) {
                    if !owner.owns(agent) && expect != Some(held.fence) {
                        return OpOutcome::Conflict(held);
                    }
                    cx.effect(Effect::SessionMoved {
                        uid,
                        from: held.node,
                        fence: held.fence,
                    });
                } else if agent.session.is_none() {
                    last_sequence = agent.released.and_then(|released| released.last_sequence);
                }
            }
        }
        let fence = self.next_fence();
        let mut agent = known.map_or_else(|| new_record(cx, owner, uid), Arc::unwrap_or_clone);
        agent.session = Some(Session {
            node: owner.node,
            epoch: owner.epoch,
            fence,
            transport,
        });
        agent.released = None;
        self.put_agent(cx, agent);
        cx.effect(Effect::AgentChanged {
            uid,
            placement: created,
        });
        OpOutcome::Granted {
            fence,
            last_sequence,
            created,
        }
    }

    pub(in crate::fleet) fn next_fence(&mut self) -> Fence {
        let meta = self.meta_mut();
        meta.fence = meta.fence.saturating_add(1);
        Fence(meta.fence)
    }
}

pub(super) fn new_record(cx: &Context<'_>, owner: Owner, uid: InstanceUid) -> AgentRecord {
    AgentRecord {
        uid,
        description: Arc::default(),
        server_labels: Vec::new(),
        capabilities: 0,
        health: None,
        config: ConfigState::default(),
        effective: None,
        components_hash: None,
        components: None,
        packages: None,
        home: owner.node,
        session: None,
        released: None,
        first_seen_ms: cx.wall_ms,
        last_change_ms: cx.wall_ms,
        custom_capabilities: Vec::new(),
    }
}
