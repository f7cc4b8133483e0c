//! Randomness of a simulated process: what the operating system would give comes from the seed.
//!
//! The standard library, tokio and every generator of this project take their first bytes from `getrandom`. The
//! symbol of an executable wins over libc's, so this function decides for the thread that simulates, and hash maps,
//! `select!` and identifiers are the same for the same seed. Other threads get what the system has: they write files,
//! and would draw at moments that nobody can repeat.
#![expect(
    unsafe_code,
    reason = "the symbol override is the whole purpose of this file"
)]

use std::cell::Cell;

thread_local! {
    /// Nothing until somebody seeds: then the system is asked.
    static STATE: Cell<Option<u64>> = const { Cell::new(None) };
}

/// From here on all chance of this thread follows from `seed`.
pub fn seed(seed: u64) {
    STATE.set(Some(crate::dice::mixed(seed)));
}

/// Replaces libc's function of this name.
///
/// # Safety
/// `buffer` must be writable for `length` bytes, as libc asks.
#[cfg(target_os = "linux")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getrandom(
    buffer: *mut libc::c_void,
    length: libc::size_t,
    flags: libc::c_uint,
) -> libc::ssize_t {
    let Some(mut state) = STATE.try_with(Cell::get).ok().flatten() else {
        // SAFETY: the caller's promise is the one that the system asks for
        let given = unsafe { libc::syscall(libc::SYS_getrandom, buffer, length, flags) };
        return libc::ssize_t::try_from(given).unwrap_or(-1);
    };
    for at in 0..length {
        state = state.wrapping_add(crate::dice::STEP);
        let byte = crate::dice::mixed(state).to_le_bytes()[0];
        // SAFETY: `at` is within the caller's buffer
        unsafe { buffer.cast::<u8>().add(at).write(byte) };
    }
    STATE.set(Some(state));
    libc::ssize_t::try_from(length).unwrap_or(libc::ssize_t::MAX)
}
