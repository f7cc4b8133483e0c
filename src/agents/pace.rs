//! How fast this node may bring reports to the log (design §4).
//!
//! Beyond it reports wait: each agent has one at most, the newest, so that the time between two of them stretches and nothing piles up. Pure: time is an argument.

use super::budget::Budget;

/// Updates of a node in a second.
const UPDATES_PER_SECOND: u32 = 2_000;

/// Bytes of updates of a node in a second.
const BYTES_PER_SECOND: u32 = 1024 * 1024;

/// The pace of one node.
#[derive(Debug)]
pub struct Pace {
    updates: Budget,
    bytes: Budget,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            updates: Budget::new(UPDATES_PER_SECOND, 0),
            bytes: Budget::new(BYTES_PER_SECOND, 0),
        }
    }
}

impl Pace {
    /// Whether one more report may go.
    pub fn allows(&mut self, now_ms: u64) -> bool {
        self.updates.has(1, now_ms) && self.bytes.has(1, now_ms)
    }

    /// A report of so many bytes went; the last one of a second may be larger than what was left.
    pub fn went(&mut self, bytes: usize, now_ms: u64) {
        self.updates.spend(1, now_ms);
        self.bytes
            .spend(u32::try_from(bytes).unwrap_or(u32::MAX), now_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(pace: &mut Pace, bytes: usize, at_ms: u64) -> u32 {
        let mut count = 0;
        while pace.allows(at_ms) {
            pace.went(bytes, at_ms);
            count += 1;
        }
        count
    }

    #[test]
    fn small_reports_are_bounded_by_number_and_large_ones_by_bytes() {
        let mut pace = Pace::default();
        assert_eq!(sent(&mut pace, 100, 0), UPDATES_PER_SECOND);
        assert_eq!(sent(&mut pace, 100, 500), UPDATES_PER_SECOND / 2);
        assert_eq!(sent(&mut pace, 4096, 10_000), BYTES_PER_SECOND / 4096);
    }
}
