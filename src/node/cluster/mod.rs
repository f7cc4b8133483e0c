//! How nodes become a cluster and stay one: the join token, the place that a joiner is given, who may vote,
//! and what would cost the quorum.

mod answers;
mod ask;
pub mod duty;
mod members;
mod moving;
mod peering;
mod place;
pub mod quorum;
mod removal;
pub mod token;

pub use answers::Answers;
pub use ask::{JoinError, Newcomer, ask};
pub use members::{drive as drive_members, settled, voters};
pub use moving::{MoveError, Moving};
pub use peering::{Peering, PeeringError};
pub use place::{Place, PlaceError, find};
pub use removal::told_removed;
