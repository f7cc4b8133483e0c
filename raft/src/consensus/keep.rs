//! How much of the log is kept: what peers that are a little late still need, and no more. Purging goes in small
//! steps, because consensus waits for each.

use std::collections::VecDeque;

/// What the log may hold at most before its oldest entries leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogLimits {
    /// Bytes of its entries, as they count themselves.
    pub bytes: u64,
    /// How many entries.
    pub entries: u64,
}

impl Default for LogLimits {
    fn default() -> Self {
        Self {
            bytes: 512 * 1024 * 1024,
            entries: 100_000,
        }
    }
}

/// A step of a purge ends after so many bytes or entries: some milliseconds of the store.
const STEP_BYTES: u64 = 4 * 1024 * 1024;
const STEP_ENTRIES: u64 = 512;

/// How far the log had got, by index and by bytes since the start.
#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    index: u64,
    bytes: u64,
}

/// The entries that this process has applied, counted.
///
/// Of what was in the log at the start and in the rows already the bytes are not known: it counts as entries, and leaves
/// before all that is counted. A node that is restarted again and again does not gather what each start has added.
#[derive(Debug)]
pub(super) struct Kept {
    limits: LogLimits,
    /// Where the counted part of the log begins, and ends.
    first: Option<Mark>,
    last: Mark,
    /// Where steps end, oldest first; bounded by the limits, because older ones leave with their entries.
    marks: VecDeque<Mark>,
}

impl Kept {
    pub(super) fn new(limits: LogLimits) -> Self {
        Self {
            limits,
            first: None,
            last: Mark::default(),
            marks: VecDeque::new(),
        }
    }

    /// An entry was applied.
    pub(super) fn applied(&mut self, index: u64, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let before = Mark {
            index: index.saturating_sub(1),
            bytes: 0,
        };
        let first = *self.first.get_or_insert(before);
        self.last.index = index;
        self.last.bytes = self.last.bytes.saturating_add(bytes);
        let step = self.marks.back().copied().unwrap_or(first);
        // a step is a small part of a log that is small
        let step_entries = STEP_ENTRIES.min(self.limits.entries / 4).max(1);
        if self.last.bytes - step.bytes >= STEP_BYTES
            || self.last.index - step.index >= step_entries
        {
            self.marks.push_back(self.last);
        }
    }

    /// The end of the next step of a purge, if the log is over a limit without it.
    pub(super) fn surplus(&mut self, purged: u64) -> Option<u64> {
        while let Some(mark) = self.marks.front().filter(|mark| mark.index <= purged) {
            self.first = Some(*mark);
            self.marks.pop_front();
        }
        let first = self.first?;
        let over = self.last.bytes - first.bytes > self.limits.bytes
            || self.last.index.saturating_sub(purged) > self.limits.entries;
        if !over {
            return None;
        }
        if purged < first.index {
            // what was found at the start leaves in steps as well
            return Some(first.index.min(purged.saturating_add(STEP_ENTRIES)));
        }
        self.marks.front().map(|mark| mark.index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_entries_leave_in_steps_until_the_log_is_within_its_limits() {
        let mut kept = Kept::new(LogLimits {
            bytes: u64::MAX,
            entries: 10_000,
        });
        let mut purged = 0;
        for index in 1..=20_000 {
            kept.applied(index, 100);
        }
        while let Some(upto) = kept.surplus(purged) {
            assert!(upto > purged && upto - purged <= STEP_ENTRIES);
            purged = upto;
        }
        assert!((10_000..10_600).contains(&purged), "{purged}");
        assert!(kept.marks.len() < 30);
    }

    #[test]
    fn large_entries_leave_by_their_bytes() {
        let mut kept = Kept::new(LogLimits {
            bytes: 40 * STEP_BYTES,
            entries: u64::MAX,
        });
        for index in 1..=1_600 {
            kept.applied(index, 256 * 1024);
        }
        let mut purged = 0;
        while let Some(upto) = kept.surplus(purged) {
            assert!(upto - purged <= 16);
            purged = upto;
        }
        assert!((960..=980).contains(&purged), "{purged}");
    }

    /// Each start adds less than the limit, and counts nothing of what it found.
    #[test]
    fn what_many_short_starts_have_left_leaves_with_the_first_entries() {
        let mut purged = 0;
        let mut last = 0;
        for _ in 0..20 {
            let mut kept = Kept::new(LogLimits {
                bytes: u64::MAX,
                entries: 1_000,
            });
            for _ in 0..600 {
                last += 1;
                kept.applied(last, 100);
                while let Some(upto) = kept.surplus(purged) {
                    assert!(upto > purged && upto - purged <= STEP_ENTRIES);
                    purged = upto;
                }
            }
            assert!(last - purged <= 1_000, "{} entries", last - purged);
        }
        assert!(last - purged > 400, "what late peers need stays");
    }

    #[test]
    fn a_log_within_its_limits_stays() {
        let mut kept = Kept::new(LogLimits::default());
        for index in 1..=100_000 {
            kept.applied(index, 200);
        }
        assert_eq!(kept.surplus(0), None);
    }
}
