//! `PutGroup`: creates or changes a group. What is not given stays; a put that changes nothing keeps the
//! revision.

use std::sync::Arc;

use super::audit::Json;
use super::context::{Context, short, small};
use super::limits::{GROUPS_MAX, KEY_BYTES_MAX};
use super::{Fleet, limit_reached};
use crate::outcome::{Outcome, Rejection};
use crate::proposal::{Assign, PutGroup};
use crate::records::{Assignment, Group, VersionRef};

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
        let assignment = match &given.assign {
            Assign::Keep => known.as_ref().and_then(|group| group.assignment.clone()),
            Assign::Nothing => None,
            Assign::Version {
                configuration,
                version,
            } => {
                let settled = self.find_version(configuration, *version)?;
                Some(Assignment {
                    settled: Some(settled),
                    next: None,
                    threshold: 0,
                })
            }
        };
        let old = known.as_deref();
        let mut group = Group {
            name: Arc::clone(&given.name),
            selector,
            priority: given
                .priority
                .or(old.map(|group| group.priority))
                .unwrap_or(0),
            assignment,
            pace: given
                .pace
                .or(old.map(|group| group.pace))
                .unwrap_or_default(),
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

/// Refuses when the operator saw another revision; 0 stands for "there is none".
pub(super) fn check_revision(known: Option<&Group>, seen: Option<u64>) -> Result<(), Rejection> {
    let current = known.map_or(0, |group| group.revision);
    match seen {
        Some(expected) if expected != current => {
            Err(Rejection::RevisionMismatch { current, expected })
        }
        Some(_) | None => Ok(()),
    }
}
