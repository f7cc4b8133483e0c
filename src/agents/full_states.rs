//! How much full state may be asked for: so many agents and so many bytes a second (design §3, C-310). What an
//! agent will send is estimated when it is asked, and set right when it has come.

use parking_lot::Mutex;

use super::budget::Budget;
use crate::telemetry::names;

/// What the first agents are thought to send.
const FIRST_ESTIMATE_KIB: u16 = 32;

/// A full state moves the estimate by this part of the difference.
const ESTIMATE_STEPS: i32 = 8;

const KIB: u32 = 1024;

/// The budget of a node.
#[derive(Debug)]
pub struct FullStates(Mutex<Budgets>);

#[derive(Debug)]
struct Budgets {
    agents: Budget,
    bytes: Budget,
    bytes_per_second: u32,
    estimate_kib: u16,
}

/// What was set aside for one agent that was asked, in KiB; zero for one that was not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetAside(u16);

impl SetAside {
    /// Whether the agent was asked and has not answered.
    pub fn is_open(self) -> bool {
        self.0 != 0
    }
}

impl FullStates {
    /// Full budgets.
    pub fn new(agents_per_second: u32, bytes_per_second: u32, now_ms: u64) -> Self {
        Self(Mutex::new(Budgets::new(
            agents_per_second,
            bytes_per_second,
            now_ms,
        )))
    }

    /// Sets aside what one more agent will send; `None` when it has to be asked later.
    pub fn ask(&self, now_ms: u64) -> Option<SetAside> {
        let granted = self.0.lock().ask(now_ms);
        let name = if granted.is_some() {
            names::FULL_STATES_ASKED
        } else {
            names::FULL_STATES_DEFERRED
        };
        metrics::counter!(name).increment(1);
        granted
    }

    /// Whether nobody can be asked now.
    pub fn is_spent(&self, now_ms: u64) -> bool {
        !self.0.lock().has_one(now_ms)
    }

    /// An agent that was asked has answered with so many bytes.
    pub fn arrived(&self, set_aside: SetAside, bytes: usize, now_ms: u64) {
        metrics::counter!(names::FULL_STATE_BYTES).increment(bytes as u64);
        self.0.lock().arrived(set_aside, bytes, now_ms);
    }
}

impl Budgets {
    fn new(agents_per_second: u32, bytes_per_second: u32, now_ms: u64) -> Self {
        Self {
            agents: Budget::new(agents_per_second, now_ms),
            bytes: Budget::new(bytes_per_second, now_ms),
            bytes_per_second,
            estimate_kib: FIRST_ESTIMATE_KIB,
        }
    }

    fn has_one(&mut self, now_ms: u64) -> bool {
        // who sends more than a second's worth is asked when all of it is there
        let bytes = (u32::from(self.estimate_kib) * KIB).min(self.bytes_per_second);
        self.bytes.has(bytes, now_ms) && self.agents.has(1, now_ms)
    }

    fn ask(&mut self, now_ms: u64) -> Option<SetAside> {
        if !self.has_one(now_ms) {
            return None;
        }
        self.agents.spend(1, now_ms);
        self.bytes.owe(u32::from(self.estimate_kib) * KIB, now_ms);
        Some(SetAside(self.estimate_kib))
    }

    fn arrived(&mut self, set_aside: SetAside, bytes: usize, now_ms: u64) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let expected = u32::from(set_aside.0) * KIB;
        match bytes.checked_sub(expected) {
            Some(more) => self.bytes.owe(more, now_ms),
            None => self.bytes.give_back(expected - bytes),
        }
        let kib = u16::try_from(bytes.div_ceil(KIB)).unwrap_or(u16::MAX);
        let (old, new) = (i32::from(self.estimate_kib), i32::from(kib));
        // away from zero, so that it arrives
        let step = (new - old) / ESTIMATE_STEPS + (new - old).signum();
        let estimate = if (new - old).abs() <= step.abs() {
            new
        } else {
            old + step
        };
        self.estimate_kib = u16::try_from(estimate).unwrap_or(u16::MAX).max(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that come in `seconds` when everybody is asked as soon as it may be and sends `size`.
    fn bytes_of(size: usize, seconds: u64, budgets: &mut Budgets) -> (usize, u32) {
        let (mut bytes, mut agents) = (0, 0);
        for now_ms in 0..seconds * 1000 {
            while let Some(set_aside) = budgets.ask(now_ms) {
                agents += 1;
                bytes += size;
                budgets.arrived(set_aside, size, now_ms);
            }
        }
        (bytes, agents)
    }

    #[test]
    fn small_states_are_bounded_by_their_number() {
        let mut budgets = Budgets::new(200, 8 << 20, 0);
        let (_, agents) = bytes_of(2_000, 10, &mut budgets);
        assert!((2_150..=2_200).contains(&agents), "{agents}");
    }

    #[test]
    fn large_states_are_bounded_by_their_bytes() {
        for size in [100_000, 1 << 20, 20 << 20] {
            let mut budgets = Budgets::new(200, 8 << 20, 0);
            let (bytes, _) = bytes_of(size, 20, &mut budgets);
            let most = 21 * (8 << 20) + size;
            assert!((most / 2..=most).contains(&bytes), "{size}: {bytes}");
        }
    }

    #[test]
    fn who_never_answers_costs_what_was_expected_of_it() {
        let mut budgets = Budgets::new(1_000_000, 1 << 20, 0);
        let asked = (0..).take_while(|_| budgets.ask(0).is_some()).count();
        assert_eq!(asked, 32);
        assert!(budgets.ask(500).is_some());
    }

    #[test]
    fn what_is_set_aside_follows_what_comes() {
        let mut budgets = Budgets::new(1_000_000, u32::MAX, 0);
        for (size, kib) in [(5 << 20, 5 << 10), (1_000, 1)] {
            for _ in 0..200 {
                let set_aside = budgets.ask(0).expect("allowed");
                budgets.arrived(set_aside, size, 0);
                budgets.bytes.give_back(u32::MAX);
            }
            assert_eq!(budgets.estimate_kib, kib);
        }
    }
}
