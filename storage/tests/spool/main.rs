//! The spool of history and its way into a sink, through crashes, restarts, faults of the sink, and a full disk.

mod events;
mod exactly_once;
mod exporter;
mod queries;
mod rules;
mod sink;
mod world;
