//! `SetMemberRole`: what an operator wants a member to be. Who votes is settled by entries of the log's own, which the
//! leader's duty writes; here stands who wants it so, and that it stays so under the next leader.

use super::Fleet;
use super::audit::Json;
use super::context::Context;
use crate::ids::NodeId;
use crate::outcome::{Outcome, Rejection};
use crate::records::{MemberNote, MemberRole};

impl Fleet {
    /// `before` is what the proposer saw the node to be, for the record alone.
    pub(super) fn set_member_role(
        &mut self,
        cx: &mut Context<'_>,
        node: NodeId,
        before: MemberRole,
        role: MemberRole,
    ) -> Result<Outcome, Rejection> {
        if self.nodes.get(&node).is_none() && self.peers.get(&node).is_none() {
            return Err(Rejection::UnknownNode(node));
        }
        let (was_held, held) = (self.is_held_back(node), role == MemberRole::Learner);
        let shown = |held: bool, role: MemberRole| {
            Json::object([
                ("held", Json::from(held)),
                ("role", Json::from(role.word())),
            ])
        };
        if before != role || was_held != held {
            let action = match role {
                MemberRole::Voter => "node.promote",
                MemberRole::Learner => "node.demote",
            };
            cx.audit(action, &node, shown(was_held, before), shown(held, role));
        }
        if !held {
            self.drop_member_note(cx, node);
        } else if !was_held {
            self.put_member_note(cx, node, MemberNote::Held);
        }
        Ok(Outcome::Done)
    }
}
