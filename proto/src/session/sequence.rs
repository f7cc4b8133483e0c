//! Where the agent's stream of messages stands, and whether its full state must be asked for. It knows numbers
//! and times only, not what the messages say.

use super::{Known, Session};

/// After a request, the next one waits this long; an agent answers within milliseconds, or with its next poll.
pub const FULL_STATE_FIRST_MS: u64 = 5_000;
/// The wait doubles up to this: an agent whose full report exceeds its own limit never answers (§3.2).
pub const FULL_STATE_MAX_MS: u64 = 600_000;

/// How a message follows the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// By one.
    Next,
    /// The same bytes again.
    Repeat,
    /// From 0, with a description: the agent began anew (C-097).
    Restart,
    /// Not at all.
    Gap,
    /// There is nothing to compare with.
    First,
}

impl Session {
    /// The last sequence number heard, if nothing that was said before it is missing here: whoever goes on from there
    /// need not ask for the full state.
    pub fn complete_to(&self) -> Option<u64> {
        self.stream
            .last()
            .filter(|_| !self.stream.needs_full_state())
    }
}

/// The state of one stream.
#[derive(Debug)]
pub(super) struct Stream {
    last: Option<u64>,
    /// Of the newest message; 0 before the first, which at worst costs one full report.
    digest: u64,
    /// Something of the agent is missing here.
    needed: bool,
    asked_at_ms: u64,
    /// 0 when no request is open.
    wait_ms: u64,
}

impl Stream {
    pub(super) fn new(known: &Known) -> Self {
        Self {
            last: known.last_sequence.filter(|_| known.known),
            digest: 0,
            needed: known.known && !known.has_description,
            asked_at_ms: 0,
            wait_ms: 0,
        }
    }

    pub(super) fn last(&self) -> Option<u64> {
        self.last
    }

    pub(super) fn need_full_state(&mut self) {
        self.needed = true;
    }

    pub(super) fn needs_full_state(&self) -> bool {
        self.needed
    }

    /// Notes a message. The number counts even if the message is a gap, so that one gap is one request (C-099).
    pub(super) fn step(
        &mut self,
        number: u64,
        digest: u64,
        described: bool,
        complete: bool,
    ) -> Step {
        let step = match self.last {
            Some(last) if last.checked_add(1) == Some(number) => Step::Next,
            Some(last) if last == number && self.digest == digest => Step::Repeat,
            Some(_) | None if number == 0 && described => Step::Restart,
            Some(_) => Step::Gap,
            None => Step::First,
        };
        self.last = Some(number);
        self.digest = digest;
        match step {
            Step::Next | Step::Restart if described => self.satisfied(),
            Step::Gap | Step::First if complete => self.satisfied(),
            Step::Gap | Step::First => self.needed = true,
            Step::Next | Step::Restart | Step::Repeat => {}
        }
        step
    }

    fn satisfied(&mut self) {
        self.needed = false;
        self.wait_ms = 0;
    }

    /// Whether the reply asks for the full state: needed, not asked within the wait, and granted.
    pub(super) fn ask_full_state(
        &mut self,
        now_ms: u64,
        allowed: &mut dyn FnMut() -> bool,
    ) -> bool {
        let waiting = now_ms < self.asked_at_ms.saturating_add(self.wait_ms);
        if !self.needed || waiting && self.wait_ms != 0 || !allowed() {
            return false;
        }
        self.asked_at_ms = now_ms;
        self.wait_ms = match self.wait_ms {
            0 => FULL_STATE_FIRST_MS,
            wait_ms => (wait_ms * 2).min(FULL_STATE_MAX_MS),
        };
        true
    }
}
