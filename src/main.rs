//! The `ampora` binary: takes what the process has and hands it on.

fn main() {}
