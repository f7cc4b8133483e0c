//! Randomness and real time of a simulated process: what the operating system would give comes from the seed.
//!
//! The standard library, tokio and every generator of this project take their first bytes from `getrandom`. The
//! symbol of an executable wins over libc's, so this function decides for the thread that simulates, and hash maps,
//! `select!` and identifiers are the same for the same seed. Other threads get what the system has: they write files,
//! and would draw at moments that nobody can repeat. The same holds for the clocks behind `Instant` and `SystemTime`:
//! whoever asks them in the simulating thread is told true time, however fast the run is.
#![expect(
    unsafe_code,
    reason = "the symbol override is the whole purpose of this file"
)]

use std::cell::Cell;

thread_local! {
    /// Nothing until somebody seeds: then the system is asked.
    static STATE: Cell<Option<u64>> = const { Cell::new(None) };
    /// Microseconds that every clock of this thread shows once it is seeded.
    static NOW_US: Cell<u64> = const { Cell::new(FIRST_US) };
}

/// What clocks show first: nobody may take it for a clock that was not set.
const FIRST_US: u64 = 1_795_000_000_000_000;

/// From here on all chance of this thread follows from `seed`.
pub fn seed(seed: u64) {
    STATE.set(Some(crate::dice::mixed(seed)));
}

/// True time goes on for the clocks of this thread.
pub fn pass(us: u64) {
    NOW_US.set(NOW_US.get().saturating_add(us));
}

/// Replaces libc's function of this name.
///
/// # Safety
/// `now` must be writable, as libc asks.
#[cfg(target_os = "linux")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(
    clock: libc::clockid_t,
    now: *mut libc::timespec,
) -> libc::c_int {
    let seeded = STATE.try_with(Cell::get).ok().flatten();
    let shown_us = seeded.and_then(|_| NOW_US.try_with(Cell::get).ok());
    let Some(us) = shown_us else {
        // SAFETY: the caller's promise is the one that the system asks for
        let given = unsafe { libc::syscall(libc::SYS_clock_gettime, clock, now) };
        return libc::c_int::try_from(given).unwrap_or(-1);
    };
    // SAFETY: `now` is writable
    unsafe {
        (*now).tv_sec = libc::time_t::try_from(us / 1_000_000).unwrap_or(0);
        (*now).tv_nsec = libc::c_long::try_from(us % 1_000_000 * 1_000).unwrap_or(0);
    }
    0
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
