//! A process in a group of its own, which ends with its owner.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use crate::wait::{SOON, until};

/// A running program. Its whole group is killed when this is dropped, and the program when the test process dies.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a program in `dir`; what it prints is added to `NAME.log` there.
    pub(crate) fn start(name: &str, program: &Path, arguments: &[&str], dir: &Path) -> Self {
        let log = dir.join(format!("{name}.log"));
        let out = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .unwrap();
        // SIGINT is ignored by what inherits that, as everything does that a script starts in the background
        let mut command = Command::new("setpriv");
        let ours = std::env::vars_os().map(|(name, _)| name);
        for name in ours.filter(|name| name.to_string_lossy().contains("AMPORA_")) {
            command.env_remove(name);
        }
        let child = command
            .args(["--pdeathsig", "KILL", "env", "--default-signal=INT,TERM"])
            .arg(program)
            .args(arguments)
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        let name = name.to_owned();
        Self { name, child, log }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap_or_else(|error| panic!("{}: {error}", self.name));
    }

    /// Waits until the process has ended by itself.
    pub(crate) async fn ended(self) -> ExitStatus {
        self.ended_within(SOON).await
    }

    /// The same for one that has more to do.
    pub(crate) async fn ended_within(self, within: Duration) -> ExitStatus {
        let what = format!("{} has ended", self.name);
        let cell = std::cell::RefCell::new(self);
        until(&what, within, async || {
            let status = cell.borrow_mut().child.try_wait().unwrap();
            status.ok_or_else(|| "it runs".to_owned())
        })
        .await
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Complains when the process has ended.
    pub(crate) fn check_alive(&mut self) {
        if let Some(status) = self.child.try_wait().unwrap() {
            panic!("{} has ended with {status}\n{}", self.name, self.said());
        }
    }

    /// Everything that it has printed.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The processes that it has started, in order.
    pub(crate) fn children(&self) -> Vec<u32> {
        let parent = self.child.id().to_string();
        let mut children: Vec<u32> = fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter(|pid: &u32| {
                let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
                // the name in parentheses may hold anything
                let fields = stat.rsplit(')').next().unwrap_or_default();
                fields.split_whitespace().nth(1) == Some(&parent)
            })
            .collect();
        children.sort_unstable();
        children
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // the group outlives its leader when the leader left somebody behind; it may be gone as well
        let _ = killpg(self.pid(), Signal::SIGKILL);
        let _ = self.child.wait();
    }
}
