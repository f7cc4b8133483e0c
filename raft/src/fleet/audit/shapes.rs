//! Records of the fleet as audit shows them. Frozen once written: a shape that changes gets a new field, because
//! every node has to write the same bytes.

use std::sync::Arc;

use super::Json;
use crate::records::{
    Action, Assignment, Dispatch, EnrollmentToken, Group, JoinToken, Pace, Role, Target, Token,
    Version, VersionRef,
};

impl From<&Group> for Json {
    fn from(group: &Group) -> Self {
        Self::object([
            ("assignment", Self::of(group.assignment.as_ref())),
            ("pace", Self::from(pace(group.pace))),
            ("priority", Self::from(group.priority)),
            ("revision", Self::from(group.revision)),
            ("selector", Self::from(&group.selector.source)),
        ])
    }
}

impl Json {
    /// Labels that operators gave, each as `key=value`.
    pub(crate) fn labels(labels: &[(Arc<str>, Arc<str>)]) -> Self {
        let labels = labels.iter();
        Self::List(
            labels
                .map(|(key, value)| Self::text(format_args!("{key}={value}")))
                .collect(),
        )
    }
}

fn pace(pace: Pace) -> &'static str {
    match pace {
        Pace::SlowStart => "slow-start",
        Pace::AllAtOnce => "all-at-once",
    }
}

impl From<&Assignment> for Json {
    fn from(assignment: &Assignment) -> Self {
        Self::object([
            ("next", Self::of(assignment.next.as_ref())),
            ("settled", Self::of(assignment.settled.as_ref())),
        ])
    }
}

impl From<&VersionRef> for Json {
    fn from(version: &VersionRef) -> Self {
        Self::object([
            ("configuration", Self::from(&version.configuration)),
            ("hash", Self::text(version.hash)),
            ("version", Self::from(version.version)),
        ])
    }
}

impl From<&Version> for Json {
    fn from(version: &Version) -> Self {
        let bytes = version.files.iter().map(|file| u64::from(file.size));
        Self::object([
            ("bytes", Self::from(bytes.sum::<u64>())),
            ("comment", Self::from(&version.comment)),
            ("files", Self::from(version.files.len() as u64)),
            ("hash", Self::text(version.hash)),
            ("version", Self::from(version.number)),
        ])
    }
}

impl From<&Dispatch> for Json {
    fn from(dispatch: &Dispatch) -> Self {
        let target = match &dispatch.target {
            Target::Agent(uid) => ("agent", Self::text(uid)),
            Target::Selector(selector) => ("selector", Self::from(&selector.source)),
        };
        Self::object([
            ("action", Self::from(&dispatch.action)),
            ("expires_at_ms", Self::from(dispatch.expires_wall_ms)),
            ("target", Self::object([target])),
        ])
    }
}

impl From<&Action> for Json {
    fn from(action: &Action) -> Self {
        match action {
            Action::Restart => Self::from("restart"),
            Action::PushConfig => Self::from("push_config"),
            Action::CustomMessage {
                capability,
                message_type,
                data,
            } => Self::object([
                ("capability", Self::from(capability)),
                ("data", Self::hashed(data)),
                ("type", Self::from(message_type)),
            ]),
        }
    }
}

/// Never the hash: what is not there cannot be tried.
impl From<&Token> for Json {
    fn from(token: &Token) -> Self {
        Self::object([
            ("expires_at_ms", Self::of(token.expires_at_ms)),
            ("name", Self::from(&token.name)),
            ("role", Self::from(role(token.role))),
        ])
    }
}

/// Never the hash, as above.
impl From<&EnrollmentToken> for Json {
    fn from(token: &EnrollmentToken) -> Self {
        let labels = token.labels.iter();
        let labels = labels.map(|(key, value)| {
            Self::object([("key", Self::from(key)), ("value", Self::from(value))])
        });
        Self::object([
            ("expires_at_ms", Self::of(token.expires_at_ms)),
            ("labels", Self::List(labels.collect())),
            ("name", Self::from(&token.name)),
            ("uses", Self::of(token.uses)),
        ])
    }
}

/// Never the hash, as above.
impl From<&JoinToken> for Json {
    fn from(token: &JoinToken) -> Self {
        Self::object([
            ("expires_at_ms", Self::from(token.expires_ms)),
            ("uses", Self::from(token.uses)),
        ])
    }
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Viewer => "viewer",
        Role::Operator => "operator",
        Role::Admin => "admin",
    }
}
