//! The processes of one server: the first, which is our child, and those that it starts. All of them work in one
//! directory, by which they are found.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// Between two looks at a predicate.
const LOOK: Duration = Duration::from_millis(10);
/// Looks until a start or an end has failed: 30 s, on a busy machine.
const LOOKS: usize = 3_000;

pub(super) struct Process {
    child: Mutex<Option<Child>>,
    /// Where it works.
    dir: PathBuf,
    log: PathBuf,
}

impl Process {
    pub(super) fn new(dir: &Path, log: &Path) -> Self {
        Self {
            child: Mutex::new(None),
            dir: dir.to_owned(),
            log: log.to_owned(),
        }
    }

    /// Starts it and waits until it is ready, which is asked with its number; `false` when it found its address taken.
    pub(super) fn start(&self, mut command: Command, is_ready: impl Fn(u32) -> bool) -> bool {
        let log = File::options().create(true).append(true).open(&self.log);
        let log = log.expect("a log");
        let begun = log.metadata().expect("its length").len();
        command
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            // a signal to the group of the tests is not for it
            .process_group(0);
        let mut child = command.spawn().expect("a server that starts");
        for _ in 0..LOOKS {
            if let Some(status) = child.try_wait().expect("a child") {
                let log = fs::read(&self.log).expect("a log");
                let begun = usize::try_from(begun).expect("a length");
                let said = String::from_utf8_lossy(&log[begun..]);
                let is_taken = said.contains("ddress already in use");
                assert!(is_taken, "{command:?} ended with {status}:\n{said}");
                return false;
            }
            if is_ready(child.id()) {
                *self.child.lock().expect("a child") = Some(child);
                return true;
            }
            thread::park_timeout(LOOK);
        }
        drop(child.kill());
        let said = fs::read_to_string(&self.log).unwrap_or_default();
        panic!("{command:?} is not ready in time:\n{said}");
    }

    /// The number of the first process.
    pub(super) fn id(&self) -> u32 {
        let child = self.child.lock().expect("a child");
        child.as_ref().expect("a process").id()
    }

    /// Signals the first process.
    pub(super) fn signal(&self, signal: Signal) {
        if let Some(child) = &*self.child.lock().expect("a child") {
            // it may have ended by itself
            let _ = kill_process(Pid::from_child(child), signal);
        }
    }

    /// Signals all processes.
    pub(super) fn signal_all(&self, signal: Signal) {
        self.signal(signal);
        for pid in self.others() {
            let _ = kill_process(pid, signal);
        }
    }

    /// Ends it by a signal that it obeys.
    pub(super) fn end(&self, signal: Signal) {
        self.signal(signal);
        self.wait();
    }

    /// Ends all processes at once.
    pub(super) fn kill(&self) {
        self.signal_all(Signal::KILL);
        self.wait();
    }

    fn wait(&self) {
        if let Some(mut child) = self.child.lock().expect("a child").take() {
            child.wait().expect("a child");
        }
        for _ in 0..LOOKS {
            if self.others().is_empty() {
                return;
            }
            thread::park_timeout(LOOK);
        }
        panic!("processes in {} do not end", self.dir.display());
    }

    /// Every process that works in the directory.
    fn others(&self) -> Vec<Pid> {
        let all = fs::read_dir("/proc").expect("the processes").flatten();
        let there = all.filter(|entry| {
            fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd == self.dir)
        });
        let numbers = there.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        numbers.filter_map(Pid::from_raw).collect()
    }
}
