//! How nodes become a cluster and stay one: the join token, the place that a joiner is given, who may vote,
//! and what would cost the quorum.

pub mod duty;
pub mod quorum;
pub mod token;
