//! Fleet time: how a leader stamps entries from its own boot-time clock. Pure: clocks are arguments.

/// The clocks of a node, read at the edge.
pub trait Clock: Send + Sync + 'static {
    /// Milliseconds of `CLOCK_BOOTTIME`: never jumps, runs through suspend.
    fn boot_ms(&self) -> u64;
    /// Wall time in milliseconds since 1970, for people.
    fn wall_ms(&self) -> u64;
}
