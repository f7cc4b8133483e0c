//! A real file system that fills up: changes are refused in time and taken again by themselves; where a write
//! fails all the same the process ends, and the next one has everything that was acknowledged.
//!
//! Each test mounts a small tmpfs in a mount namespace of its own, which needs the rights of root.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::process::{Api, Process, answer, ends, eventually, program, serve_args};

/// Of which a tenth is the watermark.
const DISK_BYTES: u64 = 96 * 1024 * 1024;

const SOON: Duration = Duration::from_secs(30);

/// A disk of its own: a process that holds the namespace in which it is mounted.
struct Disk {
    holder: Child,
    home: tempfile::TempDir,
}

impl Disk {
    fn new() -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let data = home.path().join("data");
        fs::create_dir(&data).expect("made");
        let mount = format!(
            "mount -t tmpfs -o size={DISK_BYTES} tmpfs '{}' && echo mounted && exec sleep 600",
            data.display()
        );
        let mut holder = Command::new("unshare")
            .args(["-m", "sh", "-c", &mount])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare runs");
        let mut said = [0; 8];
        let out = holder.stdout.as_mut().expect("piped");
        let mounted = std::io::Read::read_exact(out, &mut said);
        assert!(
            mounted.is_ok() && said == *b"mounted\n",
            "no tmpfs could be mounted: this test needs the rights of root"
        );
        Self { holder, home }
    }

    /// The data directory as the program sees it.
    fn data(&self) -> PathBuf {
        self.home.path().join("data")
    }

    /// The same directory as this process sees it.
    fn seen(&self) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.holder.id()));
        root.join(self.data().strip_prefix("/").expect("absolute"))
    }

    fn enter(&self) -> Vec<String> {
        let namespace = format!("--mount=/proc/{}/ns/mnt", self.holder.id());
        let mut args = vec![namespace, program().to_owned()];
        args.extend(serve_args(&self.data()));
        args
    }

    fn start(&self) -> Process {
        let mut command = Command::new("nsenter");
        command.args(self.enter());
        Process::of(command, self.home.path(), &self.data())
    }

    async fn ready(&self) -> (Process, Api) {
        let mut process = self.start();
        let api = process.ready_in(&self.seen()).await;
        (process, api)
    }

    fn free(&self) -> u64 {
        let stat = rustix::fs::statvfs(self.seen()).expect("it answers");
        stat.f_bavail * stat.f_frsize
    }

    fn filler(&self) -> PathBuf {
        self.seen().join("filler")
    }

    /// Takes the room away at once, but for so much.
    fn fill(&self, left: u64) {
        let file = fs::File::options()
            .create(true)
            .append(true)
            .open(self.filler());
        let file = file.expect("made");
        // whoever writes meanwhile may leave less than was asked for
        while self.free() > left {
            let size = file.metadata().expect("it answers").len();
            let flags = rustix::fs::FallocateFlags::empty();
            let more = (self.free() - left) / 4096 * 4096;
            if more == 0 || rustix::fs::fallocate(&file, flags, size, more).is_err() {
                return;
            }
        }
    }

    fn make_room(&self) {
        fs::remove_file(self.filler()).expect("there");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(self.holder.kill());
        drop(self.holder.wait());
    }
}

fn body(n: usize, bytes: usize) -> Vec<u8> {
    let mut body = format!("n: {n}\ntext: ").into_bytes();
    body.resize(bytes.max(body.len()), b'a');
    body
}

async fn put(api: &Api, n: usize, bytes: usize) -> Option<StatusCode> {
    let name = format!("c{n}");
    let response = api.version(&name, body(n, bytes)).send().await.ok()?;
    let status = response.status();
    response.bytes().await.ok()?;
    Some(status)
}

async fn has(api: &Api, n: usize, bytes: usize) -> bool {
    let (_, found) = api
        .get(&format!("/api/v1/configurations/c{n}/versions/1"))
        .await;
    found["files"][0]["body"].as_str().map(str::as_bytes) == Some(&body(n, bytes)[..])
}

async fn storage(api: &Api) -> (String, String) {
    let (_, ready) = api.get("/health/ready").await;
    let part = &ready["parts"]["storage"];
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    (text(&part["status"]), text(&part["reason"]))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_the_watermark_changes_are_refused_and_room_lets_them_in_again() {
    let disk = Disk::new();
    let (mut process, api) = disk.ready().await;
    assert_eq!(put(&api, 1, 100_000).await, Some(StatusCode::CREATED));
    assert_eq!(storage(&api).await.0, "ok");
    disk.fill(DISK_BYTES / 20);
    let refused = api
        .version("c2", body(2, 100))
        .send()
        .await
        .expect("it answers");
    let (status, problem) = answer(refused).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{problem}");
    assert_eq!(problem["code"], "unavailable");
    assert_eq!(problem["retryable"], true);
    assert_eq!(problem["may_have_taken_effect"], "no");
    let detail = problem["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("disk is almost full"), "{problem}");
    let (state, reason) = storage(&api).await;
    assert_eq!(state, "degraded");
    assert!(reason.contains("disk is almost full"), "{reason}");
    assert!(has(&api, 1, 100_000).await, "reads go on");
    let (status, _) = api.get("/api/v1/configurations/c2").await;
    assert_eq!(status, StatusCode::NOT_FOUND, "it was refused");
    disk.make_room();
    assert_eq!(put(&api, 2, 100).await, Some(StatusCode::CREATED));
    assert_eq!(storage(&api).await.0, "ok");
    assert!(process.ended().is_none());
    process.kill();
    disk.fill(DISK_BYTES / 20);
    let (status, said) = ends("nsenter", &disk.enter());
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("make room before the start"), "{said}");
    disk.make_room();
    let (_process, api) = disk.ready().await;
    assert!(has(&api, 1, 100_000).await && has(&api, 2, 100).await);
}

/// Bytes of what is written under load.
const BYTES: usize = 300_000;

/// How often the room may go away while nothing is on its way.
const TRIES: usize = 20;

/// Writes until it is told to stop, and answers what was acknowledged.
async fn load(api: Api, first: usize, stop: Arc<AtomicBool>) -> Vec<usize> {
    let mut acknowledged = Vec::new();
    for n in (first..).step_by(4) {
        match put(&api, n, BYTES).await {
            Some(StatusCode::CREATED) => acknowledged.push(n),
            Some(_) => {}
            None => break,
        }
        if stop.load(Ordering::Relaxed) {
            break;
        }
    }
    acknowledged
}

/// The room goes away at once, under load: what is on its way cannot be written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_fails_ends_the_process_and_loses_nothing() {
    for _ in 0..TRIES {
        // each time with all the room there is: load that goes on for longer takes it for itself
        if is_ended_by_a_full_disk(Disk::new()).await {
            return;
        }
    }
    panic!("no write failed on a full disk");
}

/// False when nothing was on its way: the watermark was in time.
async fn is_ended_by_a_full_disk(disk: Disk) -> bool {
    let (mut process, api) = disk.ready().await;
    let stop = Arc::new(AtomicBool::new(false));
    let clients = (0..4).map(|first| tokio::spawn(load(api.clone(), first, stop.clone())));
    let clients: Vec<_> = clients.collect();
    eventually("some load", SOON, async || {
        let asked = api.ask(Method::GET, "/api/v1/configurations?limit=1000");
        let found: Value = asked.send().await.ok()?.json().await.ok()?;
        (found["items"].as_array()?.len() > 8).then_some(())
    })
    .await;
    // the last step is a short one: who looks before writing has hardly a moment to see it
    disk.fill(DISK_BYTES / 5);
    disk.fill(0);
    let status = ended(&mut process).await;
    stop.store(true, Ordering::Relaxed);
    let Some(status) = status else {
        return false;
    };
    assert!(!status.success(), "{status}");
    let log = process.log();
    let why = log.lines().find(|line| line.starts_with("ampora: "));
    assert!(why.is_some(), "it says why it ends: {log}");
    let mut acknowledged = Vec::new();
    for client in clients {
        acknowledged.extend(client.await.expect("it ends"));
    }
    assert!(acknowledged.len() > 4, "{acknowledged:?}");
    disk.make_room();
    let (_process, api) = disk.ready().await;
    for n in acknowledged {
        assert!(has(&api, n, BYTES).await, "lost c{n}");
    }
    assert_eq!(put(&api, 1_000_000, 100).await, Some(StatusCode::CREATED));
    let blobs = blobs(&disk.seen());
    assert_eq!(blobs, 0);
    true
}

/// Whether a process on a full disk ends; five seconds are many times what it needs.
async fn ended(process: &mut Process) -> Option<std::process::ExitStatus> {
    for _ in 0..200 {
        if let Some(status) = process.ended() {
            return Some(status);
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    None
}

fn blobs(data: &Path) -> usize {
    fs::read_dir(data.join("store/blobs")).map_or(0, Iterator::count)
}
