//! Power cuts: the disk of a machine is copied while the program is under load, and a machine with the copy starts.
//! Whatever was acknowledged before the copy began is there, byte for byte, and the store opens without help.
//!
//! The writer stands still while its disk is copied. A disk that loses its own cache is not modelled.
//! `AMPORA_SEED` repeats the dice of a run.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test of a process looks at it from outside: by real time, dice, and what it prints"
)]

#[path = "../crash/load.rs"]
mod load;
mod machine;
#[expect(dead_code, reason = "shared with the suite of killed processes")]
#[path = "../crash/process.rs"]
mod process;

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use load::{Client, count_dispatches, verify};
use machine::Machine;
use process::{Api, Process};

const CUTS: usize = 20;
const CLIENTS: usize = 4;
/// From the last answer that a stopped process has sent until its client has read it.
const ANSWERS_ARRIVE: Duration = Duration::from_millis(50);

/// Loads the process, stops it somewhere within, and copies the disk. What the clients were told by then was
/// acknowledged before the copy began.
async fn load_and_cut(
    machine: Machine,
    process: &mut Process,
    api: &Api,
    clients: &mut [Client],
    cut: usize,
    lasts: Duration,
) -> Machine {
    let stop = Arc::new(AtomicBool::new(false));
    let loads = clients
        .iter_mut()
        .map(|client| client.run(api, cut, stop.clone()));
    let copy = async {
        tokio::time::sleep(lasts).await;
        let pid = i32::try_from(process.id()).expect("a process id");
        kill(Pid::from_raw(pid), Signal::SIGSTOP).expect("it is there");
        tokio::time::sleep(ANSWERS_ARRIVE).await;
        let disk = machine.copy_disk(cut);
        process.kill();
        stop.store(true, Ordering::Relaxed);
        disk
    };
    let (_, disk) = tokio::join!(futures_util::future::join_all(loads), copy);
    machine.boot_again(disk)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_power_cuts_lose_nothing() {
    let seed = std::env::var("AMPORA_SEED").ok();
    let seed = seed.and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| rand::rng().random_range(0..1_000_000));
    println!("AMPORA_SEED={seed}");
    let began = Instant::now();
    let mut dice = StdRng::seed_from_u64(seed);
    let home = tempfile::tempdir().expect("a directory");
    let mut machine = Machine::new(home.path());
    let mut clients: Vec<_> = (0..CLIENTS)
        .map(|name| Client::new(name, dice.random()))
        .collect();
    for cut in 1..=CUTS {
        let mut process = machine.start();
        let api = process.ready_in(&machine.data()).await;
        for client in &mut clients {
            client.retry(&api).await;
            if cut > 1 {
                verify(&api, &client.told, cut - 1).await;
            }
        }
        let lasts = Duration::from_millis(dice.random_range(20..2_000));
        machine = load_and_cut(machine, &mut process, &api, &mut clients, cut, lasts).await;
        let blobs = fs::read_dir(machine.data().join("store/blobs"));
        assert_eq!(blobs.map_or(0, Iterator::count), 0, "blobs/ is not empty");
    }
    let mut process = machine.start();
    let api = process.ready_in(&machine.data()).await;
    let mut told = (0, 0);
    for client in &mut clients {
        client.retry(&api).await;
        verify(&api, &client.told, 0).await;
        told.0 += client.told.versions.len();
        told.1 += client.told.dispatches.len();
    }
    assert_eq!(count_dispatches(&api).await, told.1, "each key once");
    println!(
        "{CUTS} power cuts, {} versions and {} dispatches acknowledged, {:?}",
        told.0,
        told.1,
        began.elapsed()
    );
    assert!(told.0 > 2 * CUTS, "the load was no load");
}
