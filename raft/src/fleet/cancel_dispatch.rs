//! `CancelDispatch`: withdraws what is queued, in steps, and ends an expansion. What was sent stays.

use super::Fleet;
use super::audit::Json;
use super::context::Context;
use super::expand_dispatch::touched;
use super::limits::DELIVERIES_STEP;
use super::mark_deliveries::finished;
use crate::ids::DispatchId;
use crate::outcome::{Outcome, Rejection};
use crate::records::{DeliveryState, DispatchState};

impl Fleet {
    pub(super) fn cancel_dispatch(
        &mut self,
        cx: &mut Context<'_>,
        id: DispatchId,
    ) -> Result<Outcome, Rejection> {
        let dispatch = self
            .dispatches
            .get(&id)
            .ok_or(Rejection::UnknownDispatch(id))?;
        let expanding = matches!(dispatch.state, DispatchState::Expanding { .. });
        let mut queued: Vec<_> = self.queued_of(id).take(DELIVERIES_STEP + 1).collect();
        let more = queued.len() > DELIVERIES_STEP;
        queued.truncate(DELIVERIES_STEP);
        if expanding || !queued.is_empty() {
            let before = Json::object([
                ("expanding", Json::from(expanding)),
                ("queued", Json::from(dispatch.counts.queued)),
            ]);
            cx.audit("dispatch.cancel", &id, before, Json::Null);
        }
        for uid in &queued {
            if let Some(delivery) = self.delivery(id, *uid) {
                let cancelled = finished(delivery, cx, DeliveryState::Cancelled);
                self.put_delivery(cx, cancelled);
            }
        }
        if expanding {
            self.change_dispatch(cx, id, |dispatch| dispatch.state = DispatchState::Active);
        }
        Ok(touched(queued.len(), more))
    }
}
