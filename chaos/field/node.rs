//! A node as a process in a namespace of its own.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;

use crate::lab;
use crate::wait::until;

/// How long a node may take until it serves: a log to replay, on a busy machine.
const START_WITHIN: Duration = Duration::from_secs(60);

/// How long it may take to end: the default of `node.drain_seconds`, and some.
const STOP_WITHIN: Duration = Duration::from_secs(45);

/// A running node. Dropping it kills it.
pub(crate) struct Node {
    child: Child,
    home: PathBuf,
}

impl Node {
    /// Starts it below `field`, and waits until it serves.
    pub(crate) async fn start(field: &Path, slot: u64, join: Option<&str>) -> anyhow::Result<Self> {
        let home = field.join(slot.to_string());
        fs::create_dir_all(&home)?;
        let log = File::options()
            .create(true)
            .append(true)
            .open(home.join("serve.log"))?;
        let address = lab::address(slot);
        let mut sets = vec![
            format!("opamp.listen={address}:4320"),
            "opamp.auth=open".to_owned(),
            format!("admin.listen={address}:4321"),
            "admin.insecure=true".to_owned(),
            format!("peer.listen={address}:4322"),
            format!("node.name=node-{slot}"),
        ];
        sets.extend(join.map(|token| format!("cluster.join={token}")));
        let program = std::env::current_exe()?.with_file_name("ampora");
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &lab::namespace(slot)])
            .arg(program)
            .args(["serve", "--data-dir", "data"])
            .args(sets.iter().flat_map(|set| ["--set", set]))
            .current_dir(&home)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // a key that ends this program does not drain the nodes
            .process_group(0);
        let mut node = Self {
            child: command.spawn().context("`ip` does not start")?,
            home,
        };
        let served = until("node.json", START_WITHIN, async || {
            if let Ok(Some(status)) = node.child.try_wait() {
                return Some(Err(status));
            }
            node.is_serving().then_some(Ok(()))
        });
        if let Err(status) = served.await? {
            bail!("node {slot} ended with {status}:\n{}", node.log());
        }
        Ok(node)
    }

    /// Whether this very process says where it listens.
    fn is_serving(&self) -> bool {
        let bytes = fs::read(self.home.join("data/node.json")).unwrap_or_default();
        let running: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        running["pid"] == self.child.id()
    }

    /// The first admin token, where this node made it.
    pub(crate) fn token(&self) -> anyhow::Result<String> {
        let text = fs::read_to_string(self.home.join("data/admin.token"))?;
        Ok(text.trim_end().to_owned())
    }

    /// What it has written to its standard output and error.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.home.join("serve.log")).unwrap_or_default()
    }

    /// Bytes that it made the system write to its disk so far.
    pub(crate) fn bytes_written(&self) -> anyhow::Result<u64> {
        let text = fs::read_to_string(format!("/proc/{}/io", self.child.id()))?;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("write_bytes: "));
        Ok(line.context("write_bytes")?.parse()?)
    }

    /// Ends it as a power cut would.
    pub(crate) fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks it to end.
    pub(crate) fn ask_to_end(&self) -> anyhow::Result<()> {
        lab::run("kill", &["-TERM", &self.child.id().to_string()]).map(drop)
    }

    /// Waits until it has ended.
    pub(crate) async fn ended(&mut self) -> anyhow::Result<ExitStatus> {
        until("the end of a node", STOP_WITHIN, async || {
            self.child.try_wait().ok().flatten()
        })
        .await
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // one that has ended already cannot be killed
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
