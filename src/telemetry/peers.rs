//! What was refused between nodes, counted by reason.

use super::names;

/// Why something was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It came with a key that is not let in, or with none.
    Key,
    /// Its handshake came to nothing otherwise: no TLS, no common version, too slow.
    Handshake,
    /// There was no place for it.
    Crowded,
    /// It was larger than anything that is said here.
    Oversize,
    /// It could not be decoded.
    Malformed,
    /// Its number had been used on its connection.
    Replayed,
    /// It asked for what members alone may ask for.
    Stranger,
    /// It answered what nobody had asked.
    Unasked,
}

impl Refused {
    const ALL: [Self; 8] = [
        Self::Key,
        Self::Handshake,
        Self::Crowded,
        Self::Oversize,
        Self::Malformed,
        Self::Replayed,
        Self::Stranger,
        Self::Unasked,
    ];

    fn label(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Handshake => "handshake",
            Self::Crowded => "crowded",
            Self::Oversize => "oversize",
            Self::Malformed => "malformed",
            Self::Replayed => "replayed",
            Self::Stranger => "stranger",
            Self::Unasked => "unasked",
        }
    }

    /// Counts one.
    pub fn count(self) {
        metrics::counter!(names::PEER_REFUSED, "reason" => self.label()).increment(1);
    }
}

/// Shows every reason from the first scrape on.
pub fn register() {
    for reason in Refused::ALL {
        metrics::counter!(names::PEER_REFUSED, "reason" => reason.label()).absolute(0);
    }
}
