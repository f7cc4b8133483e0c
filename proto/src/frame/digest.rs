//! A fixed, fast 64-bit hash of message bytes. It tells repetitions of one agent apart and nothing else: an
//! agent that constructs a collision deceives only itself.

/// Odd constants with about half of their bits set; any such pair would do.
const SEED: u64 = 0x8C3E_5D1B_A96F_4723;
const FACTOR: u64 = 0xD1B5_4A32_D192_ED03;

/// Hashes `bytes`; the value is the same on every machine and in every version.
pub fn digest(bytes: &[u8]) -> u64 {
    let mut state = SEED ^ length(bytes);
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        state = fold(state ^ u64::from_le_bytes(*word));
    }
    let mut last = [0; 8];
    last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    fold(fold(state ^ u64::from_le_bytes(last)))
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// Both halves of the 128-bit product; the constant keeps a zero from absorbing what follows.
fn fold(word: u64) -> u64 {
    let (low, high) = word.carrying_mul(FACTOR, 0);
    low ^ high ^ SEED.rotate_left(17)
}
