//! The real program on a real disk: killed at random moments under load, on a disk that fills and fails, and
//! in directories that are not its own.

mod directory;
mod disk;
mod kills;
mod load;
mod process;
