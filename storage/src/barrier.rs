//! The disk barrier that sled's flush needs on Linux: `sync_file_range` becomes `fdatasync`.
//!
//! sled 0.34 makes its log stable by `sync_file_range`, which flushes neither file metadata nor the disk
//! cache. The symbol of an executable wins over libc's, so this function replaces it for the whole process.
#![expect(
    unsafe_code,
    reason = "the symbol override is the whole purpose of this file"
)]

use std::sync::atomic::{AtomicU64, Ordering};

static BARRIERS: AtomicU64 = AtomicU64::new(0);

/// How many barriers were asked for since the start of the process.
pub fn barriers() -> u64 {
    BARRIERS.load(Ordering::Relaxed)
}

/// Replaces libc's function of this name.
#[cfg(target_os = "linux")]
#[unsafe(no_mangle)]
pub extern "C" fn sync_file_range(
    fd: libc::c_int,
    _offset: libc::off64_t,
    _bytes: libc::off64_t,
    _flags: libc::c_uint,
) -> libc::c_int {
    BARRIERS.fetch_add(1, Ordering::Relaxed);
    // SAFETY: fdatasync has no memory effects; a bad descriptor is reported by errno
    unsafe { libc::fdatasync(fd) }
}
