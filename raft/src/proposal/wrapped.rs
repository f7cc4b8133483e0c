//! Proposals inside others: what an operator asks, and what is done under a lease.

use std::cell::Cell;
use std::sync::Arc;

use serde::de::Error;
use serde::{Deserialize, Deserializer};

use super::Proposal;
use crate::ids::Fence;

impl Proposal {
    /// What is proposed, without the operator or the lease around it.
    pub fn inner(&self) -> &Self {
        if let Self::Asked { proposal, .. } | Self::UnderLease { proposal, .. } = self {
            proposal
        } else {
            self
        }
    }

    /// The proposal as an operator's wish from this address.
    #[must_use]
    pub fn asked(self, from: Arc<str>) -> Self {
        Self::Asked {
            from,
            proposal: Box::new(self),
        }
    }
    /// The proposal as a step of a duty, refused once its lease is another's.
    #[must_use]
    pub fn under_lease(self, name: Arc<str>, fence: Fence) -> Self {
        Self::UnderLease {
            name,
            fence,
            proposal: Box::new(self),
        }
    }
}

/// Reads the inside of a wrapped proposal: never another wrapped one, so that no bytes nest without end.
pub(super) fn plain<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Box<Proposal>, D::Error> {
    thread_local! {
        static INSIDE: Cell<bool> = const { Cell::new(false) };
    }
    if INSIDE.replace(true) {
        return Err(D::Error::custom("a wrapped proposal inside another"));
    }
    let read = Box::<Proposal>::deserialize(deserializer);
    INSIDE.set(false);
    read
}
