//! Identifiers of the replicated fleet. Each is a type of its own so that none is taken for another.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The 16 bytes by which an agent is known; any value but zero.
pub type InstanceUid = uuid::Uuid;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// A member of the cluster; chosen once, never reused.
    NodeId
}
number! {
    /// The incarnation of a node: grows with each start. What an older epoch owned is void.
    Epoch
}
number! {
    /// The growing proof of a session or lease. A stale fence never takes effect.
    Fence
}
number! {
    /// A dispatch, numbered by the fleet in the order of creation.
    DispatchId
}

/// SHA-256 over the canonical form of a configuration version: what agents echo as `config_hash`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ConfigHash(pub [u8; 32]);

/// SHA-256 of a body that an agent reported and that its owner keeps as a file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BodyHash(pub [u8; 32]);

macro_rules! hex {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }
    };
}
hex!(ConfigHash);
hex!(BodyHash);
