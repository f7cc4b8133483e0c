//! Agent types as metric labels: the first few that are seen have a label of their own, all others share
//! one, so that no fleet can make the number of series grow without end.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;

/// A fleet runs a handful of distributions; each label costs one histogram.
const LABELS_MAX: usize = 20;

/// What stands for all types beyond the limit, and for none.
const OTHER: &str = "other";

/// The types that have a label.
#[derive(Debug, Default)]
pub struct AgentTypes {
    seen: Mutex<BTreeSet<Arc<str>>>,
}

impl AgentTypes {
    /// The label for an agent type.
    pub fn label(&self, agent_type: &Arc<str>) -> Arc<str> {
        let mut seen = self.seen.lock();
        if agent_type.is_empty() || (seen.len() >= LABELS_MAX && !seen.contains(agent_type)) {
            return OTHER.into();
        }
        seen.insert(agent_type.clone());
        agent_type.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_beyond_the_limit_share_a_label() {
        let types = AgentTypes::default();
        for n in 0..LABELS_MAX {
            assert_eq!(
                &*types.label(&format!("type{n}").into()),
                format!("type{n}")
            );
        }
        assert_eq!(&*types.label(&"one more".into()), OTHER);
        assert_eq!(&*types.label(&"type0".into()), "type0");
    }
}
