//! The real program on a real disk: killed at random moments under load, on a disk that fills and fails, and
//! in directories that are not its own.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test of a process looks at it from outside: by real time, dice, and what it prints"
)]

mod directory;
mod disk;
mod kills;
mod load;
mod process;
