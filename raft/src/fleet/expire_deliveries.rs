//! `ExpireDeliveries`: queued deliveries whose deadline has passed, earliest first, in steps. With nothing
//! due it only carries fleet time forward.

use super::context::Context;
use super::expand_dispatch::touched;
use super::limits::DELIVERIES_STEP;
use super::mark_deliveries::finished;
use super::{Fleet, first};
use crate::outcome::Outcome;
use crate::records::DeliveryState;

/// Rows that one expiry may touch: the delivery and its dispatch.
const ROWS_PER_EXPIRY: usize = 2;

impl Fleet {
    pub(super) fn expire_deliveries(&mut self, cx: &mut Context<'_>, limit: u16) -> Outcome {
        let limit = usize::from(limit).min(DELIVERIES_STEP);
        let mut expired = 0;
        while let Some((deadline, id)) = first(&self.derived.expiry) {
            if deadline > cx.deadline_ms {
                break;
            }
            if expired >= limit || cx.rows_left() < ROWS_PER_EXPIRY {
                return touched(expired, true);
            }
            let next = self.queued_of(id).next();
            let Some(delivery) = next.and_then(|uid| self.delivery(id, uid)) else {
                break;
            };
            let delivery = finished(delivery, cx, DeliveryState::Expired);
            self.put_delivery(cx, delivery);
            expired += 1;
        }
        touched(expired, false)
    }
}
