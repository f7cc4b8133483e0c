//! `AcquireLease`, `ReleaseLease` and `UnderLease`: duties that one node performs at a time. A lease lives as long as
//! the incarnation of its holder, so nothing is renewed for it.

use std::sync::Arc;

use super::context::{Context, short};
use super::limits::{KEY_BYTES_MAX, LEASES_MAX};
use super::{Fleet, limit_reached};
use crate::ids::{Epoch, Fence, NodeId};
use crate::outcome::{Outcome, Rejection};
use crate::planted::{self, Bug};
use crate::proposal::{Asker, Proposal};
use crate::records::Lease;

impl Fleet {
    pub(super) fn acquire_lease(
        &mut self,
        cx: &mut Context<'_>,
        name: &Arc<str>,
        (node, epoch): (NodeId, Epoch),
        lock_delay_ms: u64,
    ) -> Result<Outcome, Rejection> {
        short(name, KEY_BYTES_MAX, "name of a lease")?;
        if self.live(node, epoch).is_none() {
            return Err(Rejection::Fenced(epoch));
        }
        if self.is_draining(node) {
            return Err(Rejection::NodeDraining(node));
        }
        match self.lease(name) {
            None if self.leases.len() >= LEASES_MAX => {
                return Err(limit_reached("leases", LEASES_MAX));
            }
            None => {}
            Some(lease) if (lease.node, lease.epoch) == (node, epoch) => {
                return Ok(Outcome::Lease { fence: lease.fence });
            }
            // what it was before is over, or it would not ask as another: it need not wait for itself
            Some(lease) if lease.node == node => {}
            Some(lease) if self.is_lease_held(lease) || cx.time_ms < lease.not_before_ms => {
                return Err(Rejection::LeaseBusy {
                    node: lease.node,
                    fence: lease.fence,
                });
            }
            Some(_) => {}
        }
        let fence = self.next_fence();
        let lease = Lease {
            name: Arc::clone(name),
            node,
            epoch,
            fence,
            not_before_ms: 0,
            acquired_ms: cx.time_ms,
            lock_delay_ms,
        };
        self.put_lease(cx, lease);
        Ok(Outcome::Lease { fence })
    }

    /// A lease that is not held under this fence any more is released already.
    pub(super) fn release_lease(
        &mut self,
        cx: &mut Context<'_>,
        name: &Arc<str>,
        fence: Fence,
    ) -> Outcome {
        if self.holds(name, fence) {
            self.remove_lease(cx, name);
        }
        Outcome::Done
    }

    pub(super) fn under_lease<'a>(
        &mut self,
        cx: &mut Context<'a>,
        name: &Arc<str>,
        fence: Fence,
        proposal: &'a Proposal,
    ) -> Result<Outcome, Rejection> {
        let wrapped = matches!(
            proposal,
            Proposal::Asked { .. } | Proposal::UnderLease { .. }
        );
        match proposal.asker() {
            Asker::System if !wrapped => {}
            Asker::System | Asker::Operator | Asker::Step => {
                return Err(Rejection::NotUnderLease);
            }
        }
        if !self.holds(name, fence) && !planted::is(Bug::FenceIgnored) {
            return Err(Rejection::StaleLease(Arc::clone(name)));
        }
        self.perform(cx, proposal)
    }
}
