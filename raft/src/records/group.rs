//! Groups: agents chosen by a selector, with a priority and an assignment.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::VersionRef;
use crate::selector::Selector;

/// One group. An agent is in exactly one: highest priority first, then smallest name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// `[a-z0-9][a-z0-9._-]{0,62}`.
    pub name: Arc<str>,
    /// Who belongs.
    pub selector: Selector,
    /// Higher wins; 0 by default.
    pub priority: i32,
    /// What members should run; `None` offers nothing and shadows groups of lower priority.
    pub assignment: Option<Assignment>,
    /// How a new version reaches the members.
    pub pace: Pace,
    /// The log index of the last change that an operator made: the entity tag. It grows, also over deletion
    /// and return; a change that goes its way by itself leaves it.
    pub revision: u64,
    /// Wall time of that change, for people.
    pub changed_ms: u64,
    /// Who changed it.
    pub changed_by: Arc<str>,
}

/// The assigned configuration of a group: settled, next, and the threshold between them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// What members run while `next` has not reached them; `None` before the first version settled.
    pub settled: Option<VersionRef>,
    /// The version that is on its way.
    pub next: Option<VersionRef>,
    /// An agent wants `next` when its placement is below this.
    pub threshold: u64,
}

/// How a new version reaches the members.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pace {
    /// From ten agents on, doubling as they confirm.
    SlowStart,
    /// Everybody now.
    #[default]
    AllAtOnce,
}
