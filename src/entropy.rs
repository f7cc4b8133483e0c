//! Randomness of this process: the only file that draws any. Pure rooms take what they need as arguments.

use std::fmt;
use std::sync::Arc;

use rand::RngCore;

/// Where a part of the node takes random numbers from: the operating system, or the seed of a simulated world.
#[derive(Clone)]
pub struct Entropy(Arc<dyn Fn() -> u64 + Send + Sync>);

impl Entropy {
    /// The thread's cryptographic generator.
    pub fn system() -> Self {
        Self(Arc::new(number))
    }

    /// Whatever `draw` answers.
    pub fn drawn(draw: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(draw))
    }

    /// A fresh random number.
    pub fn number(&self) -> u64 {
        (self.0)()
    }

    /// Fresh random bytes.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut out = [0; N];
        for chunk in out.chunks_mut(size_of::<u64>()) {
            let drawn = self.number().to_le_bytes();
            chunk
                .iter_mut()
                .zip(drawn)
                .for_each(|(to, from)| *to = from);
        }
        out
    }
}

impl fmt::Debug for Entropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Entropy")
    }
}

/// Fresh random bytes from the thread's cryptographic generator, which is seeded by the operating system.
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut out = [0; N];
    generator().fill_bytes(&mut out);
    out
}

/// A fresh random number.
pub fn number() -> u64 {
    generator().next_u64()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place where randomness enters"
)]
fn generator() -> rand::rngs::ThreadRng {
    rand::rng()
}
