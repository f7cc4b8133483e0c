//! A server as a child process, and what the system says of it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use url::Url;

/// Clock ticks in a second, as `/proc` counts processor time.
const TICKS_PER_SECOND: f64 = 100.0;

/// How long a server may take to listen.
const START: Duration = Duration::from_secs(20);

/// A server that runs until it is dropped.
pub(crate) struct Server {
    child: Child,
    /// Where agents connect.
    pub(crate) agents: Url,
    /// Where operators ask, and with which token; a peer has none.
    pub(crate) admin: Option<(String, String)>,
    data: Option<TempDir>,
    /// One for all questions: making one reads the authorities of the system.
    client: reqwest::Client,
}

impl Server {
    /// Our server with an empty directory, held to one processor when `core` is given.
    pub(crate) async fn ampora(core: Option<u32>, set: &[&str]) -> anyhow::Result<Self> {
        Self::on(tempfile::tempdir()?, core, set).await
    }

    /// Our server on a directory that may have served before.
    pub(crate) async fn on(data: TempDir, core: Option<u32>, set: &[&str]) -> anyhow::Result<Self> {
        let file = data.path().join("node.json");
        // of a process that was killed
        drop(std::fs::remove_file(&file));
        let mut command = command(&super::beside("ampora")?, core);
        command.arg("serve").arg("--data-dir").arg(data.path());
        for key in ["admin.listen=127.0.0.1:0", "log.level=warn"]
            .iter()
            .chain(set)
        {
            command.arg("--set").arg(key);
        }
        if !set.iter().any(|key| key.starts_with("opamp.listen=")) {
            command.arg("--set").arg("opamp.listen=127.0.0.1:0");
        }
        let child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let node = tokio::time::timeout(START, async {
            loop {
                if let Ok(text) = tokio::fs::read_to_string(&file).await {
                    return text;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        let node: Value = serde_json::from_str(&node.await.context("the server did not start")?)?;
        let address = |key: &str| node[key].as_str().unwrap_or_default().to_owned();
        let token = tokio::fs::read_to_string(data.path().join("admin.token")).await?;
        let admin = format!("http://{}", address("admin_address"));
        Ok(Self {
            child,
            client: reqwest::Client::new(),
            agents: Url::parse(&format!("ws://{}/v1/opamp", address("opamp_address")))?,
            admin: Some((admin, token.trim().to_owned())),
            data: Some(data),
        })
    }

    /// Kills it and starts it again at the same address for agents, in the same directory or an empty one.
    pub(crate) async fn kill_and_start(&mut self, lost: bool) -> anyhow::Result<()> {
        self.child.kill().await?;
        let kept = self.data.take().filter(|_| !lost);
        let data = kept.map_or_else(tempfile::tempdir, Ok)?;
        let listen = format!("opamp.listen={}", self.agents_address()?);
        *self = Self::on(data, None, &[&listen]).await?;
        Ok(())
    }

    /// Where agents connect, as an address.
    pub(crate) fn agents_address(&self) -> anyhow::Result<SocketAddr> {
        let addresses = self.agents.socket_addrs(|| None)?;
        addresses.first().copied().context("an address")
    }

    /// Ends the process and returns its directory.
    pub(crate) async fn stop(mut self) -> anyhow::Result<TempDir> {
        let pid = self.pid()?.to_string();
        Command::new("kill").arg("-TERM").arg(pid).status().await?;
        self.child.wait().await?;
        let data = self.data.take().context("a peer has no directory")?;
        // the next start is waited for by it
        let node = data.path().join("node.json");
        if std::fs::exists(&node)? {
            std::fs::remove_file(node)?;
        }
        Ok(data)
    }

    /// A peer that prints where it listens.
    pub(crate) async fn peer(program: &Path, core: Option<u32>) -> anyhow::Result<Self> {
        let mut child = command(program, core).stdout(Stdio::piped()).spawn()?;
        let Some(out) = child.stdout.take() else {
            bail!("{} has no output", program.display());
        };
        let mut lines = BufReader::new(out).lines();
        let address = tokio::time::timeout(START, lines.next_line()).await??;
        let address = address.context("the peer did not say where it listens")?;
        Ok(Self {
            child,
            agents: Url::parse(&format!("ws://{address}/v1/opamp"))?,
            admin: None,
            data: None,
            client: reqwest::Client::new(),
        })
    }

    /// Resident memory in bytes.
    pub(crate) fn memory(&self) -> anyhow::Result<u64> {
        resident(self.pid()?)
    }

    /// Resident memory at its highest since [`Self::forget_peak`], in bytes.
    pub(crate) fn peak_memory(&self) -> anyhow::Result<u64> {
        status(self.pid()?, "VmHWM:")
    }

    /// The highest memory is what there is now.
    pub(crate) fn forget_peak(&self) -> anyhow::Result<()> {
        Ok(std::fs::write(
            format!("/proc/{}/clear_refs", self.pid()?),
            "5",
        )?)
    }

    /// The value of a metric, labels included in its name; 0 while it is not there.
    pub(crate) async fn metric(&self, name: &str) -> anyhow::Result<f64> {
        let (admin, _) = self.admin.as_ref().context("a peer has no metrics")?;
        let text = reqwest::get(format!("{admin}/metrics"))
            .await?
            .text()
            .await?;
        let value = text.lines().find_map(|line| {
            let rest = line.strip_prefix(name)?;
            rest.strip_prefix(' ')?.parse().ok()
        });
        Ok(value.unwrap_or(0.0))
    }

    /// Processor time so far, in seconds.
    pub(crate) fn processor(&self) -> anyhow::Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid()?))?;
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        let fields: Vec<&str> = after_name.split_whitespace().collect();
        let ticks = |index: usize| -> anyhow::Result<f64> {
            Ok(fields.get(index).context("a short stat")?.parse()?)
        };
        // utime and stime are fields 14 and 15 of all, 12 and 13 after the name
        Ok((ticks(11)? + ticks(12)?) / TICKS_PER_SECOND)
    }

    /// Sends a request of an operator and returns its answer.
    pub(crate) async fn ask(
        &self,
        method: reqwest::Method,
        path: &str,
        body: Option<(&str, String)>,
    ) -> anyhow::Result<Value> {
        let (admin, token) = self.admin.as_ref().context("a peer has no operators")?;
        let mut request = self
            .client
            .request(method, format!("{admin}/api/v1{path}"))
            .bearer_auth(token);
        if let Some((content_type, body)) = body {
            request = request.header("content-type", content_type).body(body);
        }
        let answer = request.send().await?.error_for_status()?;
        Ok(answer.json().await?)
    }

    fn pid(&self) -> anyhow::Result<u32> {
        self.child.id().context("the server has ended")
    }
}

/// Resident memory of a process in bytes.
pub(crate) fn resident(pid: u32) -> anyhow::Result<u64> {
    status(pid, "VmRSS:")
}

fn status(pid: u32, name: &'static str) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with(name));
    let kib = line
        .and_then(|line| line.split_whitespace().nth(1))
        .context(name)?;
    Ok(kib.parse::<u64>()? * 1024)
}

fn command(program: &Path, core: Option<u32>) -> Command {
    let mut command = match core {
        Some(core) => {
            let mut command = Command::new("taskset");
            command.arg("-c").arg(core.to_string()).arg(program);
            command
        }
        None => Command::new(program),
    };
    command.kill_on_drop(true);
    command
}
