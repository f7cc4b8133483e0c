//! A hundred kills: whatever was acknowledged is there, byte for byte, and the next start needs no help.
//!
//! `AMPORA_SEED` repeats the dice of a run, `AMPORA_KILLS` changes how many there are.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::load::{Client, count_dispatches, verify};
use super::process::{Api, Process};

const CLIENTS: usize = 4;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn assert_no_blobs(data: &Path) {
    let blobs = std::fs::read_dir(data.join("store/blobs"));
    assert_eq!(blobs.map_or(0, Iterator::count), 0, "blobs/ is not empty");
}

/// Loads the process for a while, and kills it somewhere within.
async fn load_and_kill(
    process: &mut Process,
    api: &Api,
    clients: &mut [Client],
    round: usize,
    dice: &mut StdRng,
) {
    let stop = Arc::new(AtomicBool::new(false));
    let lasts = Duration::from_millis(dice.random_range(20..900));
    let loads = clients
        .iter_mut()
        .map(|client| client.run(api, round, stop.clone()));
    let kill = async {
        tokio::time::sleep(lasts).await;
        process.kill();
        stop.store(true, Ordering::Relaxed);
    };
    tokio::join!(futures_util::future::join_all(loads), kill);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_kills_lose_nothing() {
    let seed = number("AMPORA_SEED").unwrap_or_else(|| rand::rng().random_range(0..1_000_000));
    let kills = usize::try_from(number("AMPORA_KILLS").unwrap_or(100)).expect("small");
    println!("AMPORA_SEED={seed}");
    let mut dice = StdRng::seed_from_u64(seed);
    let home = tempfile::tempdir().expect("a directory");
    let data = home.path().join("data");
    let mut clients: Vec<_> = (0..CLIENTS)
        .map(|name| Client::new(name, dice.random()))
        .collect();
    let mut starts = Vec::new();
    for round in 1..=kills {
        let mut process = Process::spawn(home.path(), &data);
        let began = Instant::now();
        if dice.random_ratio(1, 5) {
            tokio::time::sleep(Duration::from_millis(dice.random_range(0..400))).await;
            process.kill();
            assert_no_blobs(&data);
            continue;
        }
        let api = process.ready().await;
        starts.push(began.elapsed());
        for client in &mut clients {
            client.retry(&api).await;
            let newest = client.told.versions.keys();
            let rounds: BTreeSet<_> = newest.map(|(name, _)| round_of(name)).collect();
            if let Some(last) = rounds.last() {
                verify(&api, &client.told, *last).await;
            }
        }
        load_and_kill(&mut process, &api, &mut clients, round, &mut dice).await;
        assert_no_blobs(&data);
    }
    let mut process = Process::spawn(home.path(), &data);
    let api = process.ready().await;
    let mut told = (0, 0);
    for client in &mut clients {
        client.retry(&api).await;
        verify(&api, &client.told, 0).await;
        told.0 += client.told.versions.len();
        told.1 += client.told.dispatches.len();
    }
    assert_eq!(count_dispatches(&api).await, told.1, "each key once");
    starts.sort();
    let share = |n: usize| starts[(starts.len() - 1) * n / 100];
    println!(
        "{kills} kills, {} versions and {} dispatches acknowledged; a start took {:?}, at most {:?}",
        told.0,
        told.1,
        share(50),
        share(100)
    );
    assert!(told.0 > kills, "the load was no load");
    assert!(
        share(50) < Duration::from_secs(5),
        "starts are slow: {:?}",
        share(50)
    );
}

fn round_of(name: &str) -> usize {
    let (_, round) = name.rsplit_once('-').expect("a name of ours");
    round.parse().expect("a number")
}
