//! `PutGroup`: creates or changes a group. What is not given stays; a put that changes nothing keeps the
//! revision.

use std::sync::Arc;

use super::arrange::{Wanted, arrange};
use super::audit::Json;
use super::context::{Context, short, small};
use super::limits::{GROUPS_MAX, KEY_BYTES_MAX};
use super::{Fleet, limit_reached};
use crate::outcome::{Outcome, Rejection};
use crate::planted::{self, Bug};
use crate::proposal::{Assign, PutGroup};
use crate::records::{Group, Pace, VersionRef};

/// Always, but for a bug on purpose.
fn is_slow(_pace: &Pace) -> bool {
    !planted::is(Bug::NoSlowStart)
}

impl Fleet {
    pub(super) fn put_group(
        &mut self,
        cx: &mut Context<'_>,
        given: &PutGroup,
    ) -> Result<Outcome, Rejection> {
        short(&given.name, KEY_BYTES_MAX, "name")?;
        given.selector.as_ref().map_or(Ok(()), small)?;
        let known = self.groups.get(&given.name).cloned();
        check_revision(known.as_deref(), given.revision)?;
        if known.is_none() && self.groups.len() >= GROUPS_MAX {
            return Err(limit_reached("groups", GROUPS_MAX));
        }
        let selector = match (&given.selector, &known) {
            (Some(selector), _) => selector.clone(),
            (None, Some(known)) => known.selector.clone(),
            (None, None) => return Err(Rejection::SelectorMissing),
        };
        let old = known.as_deref();
        let had = old.and_then(|group| group.assignment.as_ref());
        let version = match &given.assign {
            Assign::Keep => had.and_then(|had| had.next.clone().or_else(|| had.settled.clone())),
            Assign::Nothing => None,
            Assign::Version {
                configuration,
                version,
            } => Some(self.find_version(configuration, *version)?),
        };
        let priority = given.priority.or(old.map(|group| group.priority));
        let pace = given.pace.or(old.map(|group| group.pace));
        let wanted = Wanted {
            version,
            pace: pace.filter(is_slow).unwrap_or_default(),
            begins_again: old
                .is_some_and(|old| old.selector != selector || Some(old.priority) != priority),
            time_ms: cx.time_ms,
        };
        let mut rollout = self.rollout_of(&given.name);
        let assignment = match (had, &wanted.version) {
            (None, None) => None,
            (Some(_), _) | (None, Some(_)) => arrange(had, &mut rollout, wanted),
        };
        let mut group = Group {
            name: Arc::clone(&given.name),
            selector,
            priority: priority.unwrap_or(0),
            assignment,
            pace: pace.unwrap_or_default(),
            revision: old.map_or(cx.index, |group| group.revision),
            changed_ms: old.map_or(cx.wall_ms, |group| group.changed_ms),
            changed_by: old.map_or(cx.actor, |group| &group.changed_by).clone(),
        };
        if let Some(known) = known.as_ref().filter(|known| ***known == group) {
            return Ok(Outcome::Group {
                group: Arc::clone(known),
                created: false,
            });
        }
        group.revision = cx.index;
        group.changed_ms = cx.wall_ms;
        group.changed_by = Arc::clone(cx.actor);
        let group = Arc::new(group);
        cx.audit(
            "group.put",
            &group.name,
            Json::of(known.as_deref()),
            Json::from(&*group),
        );
        self.put_group_record(cx, Arc::clone(&group));
        if group.assignment.is_some() || self.rollouts.get(&given.name).is_some() {
            self.put_rollout(cx, rollout);
        }
        Ok(Outcome::Group {
            group,
            created: known.is_none(),
        })
    }

    fn find_version(&self, name: &Arc<str>, number: Option<u32>) -> Result<VersionRef, Rejection> {
        let found = self.configurations.get(name);
        let found = found.ok_or_else(|| Rejection::UnknownConfiguration(Arc::clone(name)))?;
        let number = number.unwrap_or(found.newest);
        let version = found
            .versions
            .iter()
            .find(|version| version.number == number);
        let version = version.ok_or_else(|| Rejection::UnknownVersion {
            configuration: Arc::clone(name),
            version: number,
        })?;
        Ok(VersionRef {
            configuration: Arc::clone(&found.name),
            version: number,
            hash: version.hash,
        })
    }
}

impl Fleet {
    /// A group in the revision that the operator saw.
    pub(super) fn seen_group(
        &self,
        name: &Arc<str>,
        seen: Option<u64>,
    ) -> Result<Arc<Group>, Rejection> {
        let known = self.groups.get(name).cloned();
        let known = known.ok_or_else(|| Rejection::UnknownGroup(Arc::clone(name)))?;
        check_revision(Some(&known), seen)?;
        Ok(known)
    }
}

/// Refuses when the operator saw another revision; 0 stands for "there is none".
fn check_revision(known: Option<&Group>, seen: Option<u64>) -> Result<(), Rejection> {
    let current = known.map_or(0, |group| group.revision);
    match seen {
        Some(expected) if expected != current && !planted::is(Bug::RevisionIgnored) => {
            Err(Rejection::RevisionMismatch { current, expected })
        }
        Some(_) | None => Ok(()),
    }
}
