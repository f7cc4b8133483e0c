//! One simulated machine: a runtime with a clock of its own that the world moves step by step, clocks that people and
//! programs read, and a disk that forgets what was not flushed.
//!
//! A crash drops the runtime with every task in it; a pause does not run it while its clocks go on; a suspend lets
//! boot time alone go on.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use ampora_raft::ids::NodeId;
use ampora_storage::kv::CrashKv;
use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;

use crate::clocks::{Clocks, at_rate};

/// Whether a machine does anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    /// It runs.
    On,
    /// Its processes stand still (SIGSTOP, a stalled hypervisor): clocks go on.
    Paused,
    /// It sleeps: the monotonic clock stands, boot time goes on.
    Suspended,
    /// It is off.
    Off,
}

/// A machine.
#[derive(Debug)]
pub struct Machine {
    /// The node that lives on it.
    pub node: NodeId,
    /// Its clocks.
    pub clocks: Arc<Clocks>,
    /// Its disk.
    pub disk: CrashKv,
    /// Whether a flush of its disk takes long.
    pub stalls: Arc<AtomicBool>,
    /// Whether it does anything.
    pub power: Power,
    /// Millionths at which its clocks run.
    pub rate: u64,
    /// What its wall clock is off by.
    pub wall_off_ms: i64,
    runtime: Option<Awake>,
}

/// A runtime and how far its clock has got.
#[derive(Debug)]
struct Awake {
    runtime: Runtime,
    began: Instant,
    passed_us: u64,
    /// What a pause owes to its timers.
    owed_us: u64,
}

impl Machine {
    /// A machine that is off.
    pub fn new(node: NodeId, rate: u64, wall_ms: u64) -> Self {
        Self {
            node,
            clocks: Arc::new(Clocks::new(wall_ms)),
            disk: CrashKv::default(),
            stalls: Arc::default(),
            power: Power::Off,
            rate,
            wall_off_ms: 0,
            runtime: None,
        }
    }

    /// Switches it on with this one task, which starts all others; `seed` decides what its runtime leaves to chance.
    ///
    /// # Errors
    /// Fails when the runtime cannot be made.
    pub fn start(
        &mut self,
        seed: u64,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<()> {
        let runtime = seeded(seed).enable_time().start_paused(true).build()?;
        // the timer is asked inside of the runtime alone
        let began = runtime.block_on(async { now() });
        runtime.spawn(task);
        self.runtime = Some(Awake {
            runtime,
            began,
            passed_us: 0,
            owed_us: 0,
        });
        self.power = Power::On;
        Ok(())
    }

    /// Everything that runs on it is gone at once, and of what was not flushed all but the first `survivors` batches.
    pub fn crash(&mut self, survivors: usize) {
        if let Some(awake) = self.runtime.take() {
            awake.runtime.shutdown_background();
        }
        self.disk.crash(survivors);
        self.power = Power::Off;
    }

    /// How many tasks live on it.
    pub fn tasks(&self) -> usize {
        let awake = self.runtime.as_ref();
        awake.map_or(0, |awake| awake.runtime.metrics().num_alive_tasks())
    }

    /// Lets `true_us` of true time pass, and everything happen that is due in it.
    pub fn step(&mut self, true_us: u64, wall_ms: u64) {
        let own_us = at_rate(true_us, self.rate);
        self.clocks.pass(own_us, self.power != Power::Suspended);
        self.clocks
            .set_wall(wall_ms.saturating_add_signed(self.wall_off_ms));
        let Some(awake) = &mut self.runtime else {
            return;
        };
        match self.power {
            Power::Off | Power::Suspended => {}
            Power::Paused => awake.owed_us += own_us,
            Power::On => {
                let owed = Duration::from_micros(std::mem::take(&mut awake.owed_us));
                awake.passed_us += own_us;
                if !owed.is_zero() {
                    awake.began += owed;
                    awake
                        .runtime
                        .block_on(async move { tokio::time::advance(owed).await });
                }
                let until = awake.began + Duration::from_micros(awake.passed_us);
                // the timer is made inside of the runtime alone
                awake
                    .runtime
                    .block_on(async move { tokio::time::sleep_until(until).await });
            }
        }
    }
}

/// Whether runs repeat: `select!` and the order in which waiters wake are drawn by tokio, which lets itself be seeded
/// in a build of its own alone.
pub const REPEATS: bool = cfg!(tokio_unstable);

#[cfg(tokio_unstable)]
fn seeded(seed: u64) -> Builder {
    let mut builder = Builder::new_current_thread();
    builder.rng_seed(tokio::runtime::RngSeed::from_bytes(&seed.to_le_bytes()));
    builder
}

#[cfg(not(tokio_unstable))]
fn seeded(_seed: u64) -> Builder {
    Builder::new_current_thread()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the clock of the simulated runtime, which stands until the world moves it"
)]
fn now() -> Instant {
    Instant::now()
}
