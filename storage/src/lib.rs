//! Durable things over a small key-value seam: the log, the rows of the fleet, files of reported bodies, and history.
//!
//! [`kv`] is the seam (sled, or the crash model in tests), [`codec`] the only place that encodes, [`log`] and
//! [`rows`] what consensus needs, [`store`] opens it all in one directory. Nothing here knows OpAMP or HTTP.

pub mod backup;
pub mod barrier;
pub mod bodies;
pub mod codec;
pub mod disk;
pub mod flush;
pub mod history;
pub mod kv;
pub mod log;
pub mod parts;
pub mod postgres;
pub mod restore;
pub mod rows;
pub mod store;
