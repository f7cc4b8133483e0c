//! What a socket may cost before it has earned anything, the same for every listener. It knows no HTTP.
//!
//! Those that wait are cut, the longest first, when there are too many; a peer takes what it is sent within a time.

mod seats;
mod unread;

pub use seats::{Seat, Seats};
pub use unread::Unread;

use crate::telemetry::names;

/// Why a connection was cut before it cost more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// It brought no whole request within its time.
    Silent,
    /// Others needed its place, or there was none.
    Crowded,
    /// Its peer took nothing of an answer within its time.
    Unread,
}

/// Counts a connection of a listener that was cut.
pub fn cut(door: &'static str, why: Cut) {
    let reason = match why {
        Cut::Silent => "silent",
        Cut::Crowded => "crowded",
        Cut::Unread => "unread",
    };
    metrics::counter!(names::CONNECTIONS_CUT, "door" => door, "reason" => reason).increment(1);
}
