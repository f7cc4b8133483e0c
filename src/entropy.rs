//! Randomness of this process: the only file that draws any. Pure rooms take what they need as arguments.

use rand::RngCore;

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
