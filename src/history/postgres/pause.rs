//! How long one waits who was refused: longer each time, and not all at the same moment.

use std::time::Duration;

use crate::entropy::Entropy;

/// After the first failure.
const FIRST: Duration = Duration::from_millis(500);

/// Between two tries at most: a server that comes back is found within this.
const LONGEST: Duration = Duration::from_secs(15);

/// The next pause.
#[derive(Debug)]
pub(super) struct Pause {
    next: Duration,
    entropy: Entropy,
}

impl Pause {
    pub(super) fn new() -> Self {
        Self {
            next: FIRST,
            entropy: Entropy::system(),
        }
    }

    /// It works again.
    pub(super) fn reset(&mut self) {
        self.next = FIRST;
    }

    /// How long to wait now: between half of the time and all of it.
    pub(super) fn take(&mut self) -> Duration {
        let [drawn]: [u8; 1] = self.entropy.bytes();
        let pause = self.next.mul_f64(0.5 + f64::from(drawn) / 512.0);
        self.next = (self.next * 2).min(LONGEST);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_longest_and_begin_anew() {
        let mut pause = Pause::new();
        let mut bound = FIRST;
        for _ in 0..20 {
            let taken = pause.take();
            assert!(
                taken >= bound / 2 && taken <= bound,
                "{taken:?} of {bound:?}"
            );
            bound = (bound * 2).min(LONGEST);
        }
        assert_eq!(bound, LONGEST);
        pause.reset();
        assert!(pause.take() <= FIRST);
    }
}
