//! Ampora: the node, its edges and its command line.

pub mod api;
