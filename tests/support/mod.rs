//! The real binary for black-box suites: started on free ports in a directory of its own, waited for, and never left
//! behind. A suite takes it in with `#[path = "../support/mod.rs"] mod support;`.

use std::{
    fs::{self, File},
    io::Write,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use tempfile::TempDir;

/// How long a node may take until it serves: a debug build on a busy machine, with a log to replay.
const START_WITHIN: Duration = Duration::from_secs(60);
/// How long it may take to end: the default of `node.drain_seconds`, and some.
const STOP_WITHIN: Duration = Duration::from_secs(45);
/// Between two looks at a predicate.
const LOOK: Duration = Duration::from_millis(20);

/// A running node. Dropping it kills it.
pub(crate) struct Node {
    child: Child,
    home: PathBuf,
    /// Keeps the directory of a node that was started without one.
    _own: Option<TempDir>,
    /// Where REST, health and metrics are, such as `http://127.0.0.1:39001`.
    pub(crate) admin_url: String,
    /// Where agents connect.
    pub(crate) opamp_addr: SocketAddr,
    /// The text of the admin token.
    pub(crate) token: String,
}

/// Starts a node in a fresh directory. `args` follow `ampora serve` and win over the ports chosen here.
pub(crate) fn start(args: &[&str]) -> Node {
    let own = tempfile::tempdir().expect("a directory");
    let home = own.path().to_owned();
    launch(home, Some(own), args)
}

/// Starts a node in a directory that outlives it: its data is in `data` there, so that a node started there again
/// is the same one.
pub(crate) fn start_in(home: &Path, args: &[&str]) -> Node {
    launch(home.to_owned(), None, args)
}

/// The binary, in a directory, with nothing of the environment that it would take for its own.
pub(crate) fn ampora(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ampora"));
    let ours = std::env::vars_os().map(|(name, _)| name);
    for name in ours.filter(|name| name.to_string_lossy().contains("AMPORA_")) {
        command.env_remove(name);
    }
    command.current_dir(home).stdin(Stdio::null());
    command
}

/// Waits until `look` finds what it looks for.
pub(crate) fn eventually<T>(
    what: &str,
    within: Duration,
    mut look: impl FnMut() -> Option<T>,
) -> T {
    let looks = within.as_millis() / LOOK.as_millis();
    for _ in 0..looks {
        if let Some(found) = look() {
            return found;
        }
        thread::park_timeout(LOOK);
    }
    panic!("{what}: not within {} s", within.as_secs());
}

fn launch(home: PathBuf, own: Option<TempDir>, args: &[&str]) -> Node {
    let log = || {
        let log = home.join("serve.log");
        let opened = File::options().create(true).append(true).open(log);
        opened.expect("a log")
    };
    let child = ampora(&home)
        .args(["serve", "--data-dir", "data"])
        .args(["--set", "opamp.listen=127.0.0.1:0"])
        .args(["--set", "admin.listen=127.0.0.1:0"])
        .args(args)
        .stdout(log())
        .stderr(log())
        .spawn()
        .expect("the binary starts");
    let mut node = Node {
        child,
        home,
        _own: own,
        admin_url: String::new(),
        opamp_addr: SocketAddr::from(([127, 0, 0, 1], 0)),
        token: String::new(),
    };
    let running = eventually("node.json of the new process", START_WITHIN, || {
        if let Some(status) = node.child.try_wait().expect("a child") {
            panic!("the node ended with {status}:\n{}", node.log());
        }
        node.running()
    });
    let address = |name: &str| running[name].as_str().expect("an address").to_owned();
    let has_tls = running["admin_certificate"].is_string();
    let scheme = if has_tls { "https" } else { "http" };
    node.admin_url = format!("{scheme}://{}", address("admin_address"));
    node.opamp_addr = address("opamp_address").parse().expect("an address");
    let token = fs::read_to_string(node.data_dir().join("admin.token")).expect("a token");
    token.trim_end().clone_into(&mut node.token);
    node
}

impl Node {
    /// Its data directory.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.home.join("data")
    }

    /// The binary, in the directory of this node.
    pub(crate) fn ampora(&self) -> Command {
        ampora(&self.home)
    }

    /// What it has written to its standard output and error.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.home.join("serve.log")).unwrap_or_default()
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).expect("a process id");
        kill(Pid::from_raw(pid), signal).expect("a process that takes signals");
    }

    /// Waits until it has ended by itself.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        eventually("the end of the node", STOP_WITHIN, || {
            self.child.try_wait().expect("a child")
        })
    }

    /// Asks it to end, and waits until it has.
    pub(crate) fn stop(mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.ended()
    }

    /// Ends it as a power cut would.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("a process that can be killed");
        self.child.wait().expect("a child");
    }

    /// What `node.json` says, when this very process wrote it.
    fn running(&self) -> Option<Value> {
        let bytes = fs::read(self.data_dir().join("node.json")).ok()?;
        let running: Value = serde_json::from_slice(&bytes).ok()?;
        (running["pid"] == self.child.id()).then_some(running)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // one that has ended already cannot be killed
        drop(self.child.kill());
        drop(self.child.wait());
        if thread::panicking() {
            drop(writeln!(std::io::stderr(), "--- serve.log\n{}", self.log()));
        }
    }
}

#[test]
fn node_is_started_stopped_killed_and_started_again() {
    let home = tempfile::tempdir().expect("a directory");
    let first = start_in(home.path(), &[]);
    let token = first.token.clone();
    assert!(first.stop().success());
    let second = start_in(home.path(), &[]);
    assert_eq!(second.token, token);
    assert_ne!(second.opamp_addr.port(), 0);
    second.kill();
    let third = start_in(home.path(), &[]);
    let ready = third
        .ampora()
        .args(["status", "--url", &third.admin_url])
        .output();
    assert!(ready.expect("the binary runs").status.success());
    drop(start(&[]));
}
