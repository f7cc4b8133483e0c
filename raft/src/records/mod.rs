//! The records of the fleet: plain frozen structs, encoded as rows. Encodings only grow: fields are
//! appended by a new row kind, never inserted.

mod agent;
mod audit;
mod cluster_head;
mod configuration;
mod dispatch;
mod downtime;
mod enrollment;
mod group;
mod join_token;
mod lease;
mod liveness;
mod member_note;
mod node;
mod peer;
mod rollout;
mod texts;
mod token;

pub use agent::{
    AgentRecord, AgentUpdate, ConfigReport, ConfigState, ConfigStatus, Description, Health, Label,
    PackageAggregate, ReleaseReason, Released, Session, Transport,
};
pub use audit::{AuditHead, AuditRecord};
pub use cluster_head::ClusterHead;
pub use configuration::{BodyMeta, Configuration, FileMeta, Version, VersionRef};
pub use dispatch::{
    Action, Counts, Delivery, DeliveryError, DeliveryState, Dispatch, DispatchState, Target,
};
pub use downtime::Downtime;
pub use enrollment::{Enrollment, EnrollmentToken, TokenNote};
pub use group::{Assignment, Group, Pace};
pub use join_token::JoinToken;
pub use lease::Lease;
pub use liveness::Liveness;
pub use member_note::{MemberNote, MemberRole};
pub use node::{FleetMeta, Node};
pub use peer::Peer;
pub use rollout::{Quarantined, Rollout, RolloutRules, Trial};
pub use texts::Texts;
pub use token::{Role, Token};
