//! Versions beyond the newest of a configuration that nothing refers to, with bodies that no other version uses.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::Fleet;
use super::super::context::Context;
use super::super::limits::VERSIONS_KEPT;
use super::BODY_ROWS;
use crate::ids::ConfigHash;
use crate::outcome::{Outcome, Rejection};
use crate::records::{BodyMeta, Configuration};

impl Fleet {
    pub(super) fn trim_versions(
        &mut self,
        cx: &mut Context<'_>,
        name: &Arc<str>,
    ) -> Result<Outcome, Rejection> {
        let known = self.configurations.get(name).cloned();
        let known = known.ok_or_else(|| Rejection::UnknownConfiguration(Arc::clone(name)))?;
        let spare = self.spare_versions(&known);
        let mut gone = BTreeSet::new();
        for version in &known.versions {
            if !spare.contains(&version.number) {
                continue;
            }
            // one row more for the configuration itself
            if cx.rows_left() <= BODY_ROWS {
                break;
            }
            self.release_body(cx, version.hash);
            gone.insert(version.number);
        }
        if !gone.is_empty() {
            let mut left = Arc::unwrap_or_clone(known);
            left.versions
                .retain(|version| !gone.contains(&version.number));
            self.put_configuration(cx, left);
        }
        Ok(Outcome::Removed {
            count: u32::try_from(gone.len()).unwrap_or(u32::MAX),
            more: gone.len() < spare.len(),
        })
    }

    /// One version fewer uses a body; the last takes it along.
    fn release_body(&mut self, cx: &mut Context<'_>, hash: ConfigHash) {
        let Some(body) = self.bodies.get(&hash) else {
            return;
        };
        if body.references <= 1 {
            self.remove_body(cx, hash);
            return;
        }
        let body = BodyMeta {
            references: body.references - 1,
            ..(**body).clone()
        };
        self.put_body(cx, hash, body);
    }

    /// The numbers of versions that may go: not among the newest, in no group's assignment, and
    /// not what a group would go back to.
    pub fn spare_versions(&self, configuration: &Configuration) -> BTreeSet<u32> {
        let versions = &configuration.versions;
        let beyond = versions.len().saturating_sub(VERSIONS_KEPT);
        let old = versions.iter().take(beyond).map(|version| version.number);
        let mut spare: BTreeSet<u32> = old.collect();
        if spare.is_empty() {
            return spare;
        }
        for group in self.groups(None) {
            let assignment = group.assignment.iter();
            let assigned = assignment.flat_map(|given| given.settled.iter().chain(&given.next));
            let rollout = self.rollouts.get(&group.name);
            let previous = rollout.and_then(|rollout| rollout.previous.as_ref());
            let referred = assigned.chain(previous);
            for version in referred.filter(|given| given.configuration == configuration.name) {
                spare.remove(&version.version);
            }
        }
        spare
    }
}
