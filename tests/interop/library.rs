//! Small agents of ours on the client libraries that others use, one program for each library, all with the same words.

use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::clients::{Transport, built};
use crate::process::Process;
use crate::stage::Stage;
use crate::wait::{POLLED, SOON, until};

/// A client library at a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Library {
    Go022,
    Go023,
    Node,
    Python,
    Java,
}

impl Library {
    /// Its program, and the service name of its agents.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Go022 => "opamp-go-0.22.0",
            Self::Go023 => "opamp-go-0.23.0",
            Self::Node => "opamp-node",
            Self::Python => "opamp-python",
            Self::Java => "opamp-java",
        }
    }

    /// What its agents announce. The library decides most of it.
    pub(crate) fn capabilities(self) -> &'static [&'static str] {
        match self {
            Self::Go022 | Self::Go023 => &[
                "ReportsStatus",
                "AcceptsRemoteConfig",
                "ReportsEffectiveConfig",
                "ReportsHealth",
                "ReportsRemoteConfig",
                "ReportsHeartbeat",
            ],
            Self::Node => &[
                "ReportsStatus",
                "AcceptsRemoteConfig",
                "ReportsRemoteConfig",
                "ReportsHeartbeat",
            ],
            Self::Python => &[
                "ReportsStatus",
                "AcceptsRemoteConfig",
                "ReportsEffectiveConfig",
                "ReportsRemoteConfig",
                "ReportsHeartbeat",
            ],
            // ReportsStatus is missing
            Self::Java => &[
                "AcceptsRemoteConfig",
                "ReportsEffectiveConfig",
                "ReportsRemoteConfig",
            ],
        }
    }
}

/// A running agent.
#[derive(Debug)]
pub(crate) struct Agent {
    process: Process,
    dir: PathBuf,
    pub(crate) library: Library,
    pub(crate) transport: Transport,
}

impl Agent {
    pub(crate) fn start(dir: &Path, opamp: &str, library: Library, transport: Transport) -> Self {
        Self::with(dir, opamp, library, transport, &[])
    }

    /// One that speaks every few seconds, whatever its library thinks of that.
    pub(crate) fn restless(
        dir: &Path,
        opamp: &str,
        library: Library,
        transport: Transport,
    ) -> Self {
        let more: &[&str] = match library {
            Library::Java => &["restless"],
            Library::Go022 | Library::Go023 | Library::Node | Library::Python => &[],
        };
        Self::with(dir, opamp, library, transport, more)
    }

    fn with(
        dir: &Path,
        opamp: &str,
        library: Library,
        transport: Transport,
        more: &[&str],
    ) -> Self {
        let scheme = match transport {
            Transport::WebSocket => "ws",
            Transport::Http => "http",
        };
        let name = library.name();
        let program = built(name).join(name);
        let endpoint = format!("{scheme}://{opamp}/v1/opamp");
        let arguments = [&[endpoint.as_str(), name], more].concat();
        let process = Process::start("agent", &program, &arguments, dir);
        Self::of(process, dir, library, transport)
    }

    /// One on Go that speaks TLS and trusts the authority of a file.
    pub(crate) fn secure(dir: &Path, opamp: &str, transport: Transport, authority: &Path) -> Self {
        let scheme = match transport {
            Transport::WebSocket => "wss",
            Transport::Http => "https",
        };
        let name = Library::Go023.name();
        let program = built(name).join(name).display().to_string();
        let endpoint = format!("{scheme}://{opamp}/v1/opamp");
        let trusts = format!("SSL_CERT_FILE={}", authority.display());
        let arguments = [trusts.as_str(), &program, &endpoint, name];
        let process = Process::start("agent", Path::new("env"), &arguments, dir);
        Self::of(process, dir, Library::Go023, transport)
    }

    fn of(process: Process, dir: &Path, library: Library, transport: Transport) -> Self {
        Self {
            process,
            dir: dir.to_owned(),
            library,
            transport,
        }
    }

    /// Whether it says nothing unless something about it changes.
    pub(crate) fn is_silent(&self) -> bool {
        (self.library, self.transport) == (Library::Java, Transport::WebSocket)
    }

    /// The uid that it chose, in the words of REST.
    pub(crate) async fn uid(&self) -> String {
        let uid = until("the agent says its uid", SOON, async || {
            let said = self.process.said();
            let uid = said.lines().find_map(|line| line.strip_prefix("uid "));
            uid.map(|uid| uid.replace('-', "")).ok_or(said)
        });
        let uid = uid.await;
        let cuts = [0..8, 8..12, 12..16, 16..20, 20..32];
        cuts.map(|cut| uid[cut].to_owned()).join("-")
    }

    /// Changes something about an agent, which makes it speak.
    pub(crate) fn touch(&self) {
        fs::write(self.dir.join("touch"), "").unwrap();
    }

    /// What it was told to run last, and took.
    pub(crate) fn runs(&self) -> String {
        fs::read_to_string(self.dir.join("applied.yaml")).unwrap_or_default()
    }

    /// How often it was offered a configuration.
    pub(crate) fn offers(&self) -> usize {
        self.times("offered ")
    }

    /// How often it saw a connection or a request fail.
    pub(crate) fn failures(&self) -> usize {
        self.times("failed ")
    }

    /// How often the server told it that it cannot be served.
    pub(crate) fn refusals(&self) -> usize {
        let said = self.process.said();
        let lines = said.lines().filter(|line| {
            let line = line.to_lowercase();
            line.contains("unavailable") || line.starts_with("error ")
        });
        lines.count()
    }

    /// How often it connected.
    pub(crate) fn connects(&self) -> usize {
        self.times("connected")
    }

    fn times(&self, what: &str) -> usize {
        let said = self.process.said();
        said.lines().filter(|line| line.starts_with(what)).count()
    }

    /// Asserts that it lives, keeps its uid and was never told off.
    pub(crate) fn assert_well(&mut self) {
        self.process.check_alive();
        let said = self.process.said();
        for word in ["rekeyed ", "error ", "cannot start "] {
            let heard = said.lines().any(|line| line.starts_with(word));
            assert!(!heard, "{:?}: {word}\n{said}", self.library);
        }
    }

    /// Waits until the server knows it; its record.
    pub(crate) async fn known(&self, stage: &Stage) -> Value {
        if self.is_silent() {
            until("the agent is connected", SOON, async || {
                let seen = self.connects();
                (seen > 0).then_some(()).ok_or_else(|| self.process.said())
            })
            .await;
            self.touch();
        }
        stage.connected(SOON).await
    }

    /// Waits until the server has it on record that it runs what it should, and sees that it does.
    pub(crate) async fn applied(&self, stage: &Stage, uid: &str, marker: &str) -> Value {
        let is_so = |agent: &Value| {
            let config = &agent["config"];
            self.runs().contains(marker)
                && config["status"] == "applied"
                && config["desired_hash"].is_string()
                && config["reported_hash"] == config["desired_hash"]
                && config["drifted"] == false
        };
        stage
            .agent(uid, "the configuration is applied", POLLED, is_so)
            .await
    }

    /// Stops it the way it stops well.
    pub(crate) async fn stop(self) {
        self.process.signal(Signal::SIGINT);
        self.process.ended().await;
    }
}
