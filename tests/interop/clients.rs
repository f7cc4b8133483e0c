//! The real clients: what they are told, how they are started and stopped.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;

use crate::process::Process;

/// How a client reaches the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    WebSocket,
    Http,
}

impl Transport {
    /// As REST calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::Http => "http",
        }
    }
}

/// Builds a part of the clients when it is not current, and returns the directory of the programs.
pub(crate) fn built(part: &str) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/build.sh");
    let output = Command::new(script)
        .arg(part)
        .env("CARGO_TARGET_DIR", target)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
}

/// The time after a change in which a collector has to be healthy; the supervisor reports no sooner that it is applied.
/// One that is not by then, on a busy machine, has failed.
const APPLIES_WITHIN: &str = "8s";

/// A stock opampsupervisor, which runs a stock collector.
#[derive(Debug)]
pub(crate) struct Supervisor {
    process: Process,
    dir: PathBuf,
}

impl Supervisor {
    /// Starts a supervisor that may be configured and restarted.
    pub(crate) fn start(dir: &Path, opamp: &str, transport: Transport) -> Self {
        Self::patient(dir, opamp, transport, APPLIES_WITHIN)
    }

    /// The same, with the time after a change in which a collector has to be healthy.
    pub(crate) fn patient(dir: &Path, opamp: &str, transport: Transport, apply: &str) -> Self {
        Self::told(dir, opamp, transport, apply, "")
    }

    /// The same as [`Supervisor::start`], with an enrollment token.
    pub(crate) fn enrolled(dir: &Path, opamp: &str, transport: Transport, token: &str) -> Self {
        let headers = format!("\n  headers: {{Authorization: [\"Bearer {token}\"]}}");
        Self::told(dir, opamp, transport, APPLIES_WITHIN, &headers)
    }

    fn told(dir: &Path, opamp: &str, transport: Transport, apply: &str, headers: &str) -> Self {
        let scheme = match transport {
            Transport::WebSocket => "ws",
            Transport::Http => "http",
        };
        Self::with(
            dir,
            &format!("endpoint: {scheme}://{opamp}/v1/opamp{headers}"),
            apply,
        )
    }

    /// One that speaks TLS and trusts the authority of a file alone.
    pub(crate) fn secure(dir: &Path, opamp: &str, transport: Transport, authority: &Path) -> Self {
        let scheme = match transport {
            Transport::WebSocket => "wss",
            Transport::Http => "https",
        };
        let server = format!(
            "endpoint: {scheme}://{opamp}/v1/opamp\n  tls: {{ca_file: {}}}",
            authority.display()
        );
        Self::with(dir, &server, APPLIES_WITHIN)
    }

    fn with(dir: &Path, server: &str, apply: &str) -> Self {
        let collector = built("collector").join("otelcol-quiet");
        let settings = format!(
            "server:
  {server}
capabilities:
  accepts_remote_config: true
  reports_remote_config: true
  accepts_restart_command: true
  reports_available_components: true
agent:
  executable: {collector}
  config_apply_timeout: {apply}
  bootstrap_timeout: 30s
  orphan_detection_interval: 1s
  description:
    non_identifying_attributes: {{env: interop, team: core}}
storage: {{directory: ./supervisor-store}}
telemetry: {{logs: {{level: debug, output_paths: [stdout]}}}}
",
            collector = collector.display()
        );
        fs::write(dir.join("supervisor.yaml"), settings).unwrap();
        Self::run(dir)
    }

    fn run(dir: &Path) -> Self {
        let program = built("supervisor").join("opampsupervisor");
        let arguments = ["--config", "supervisor.yaml"];
        Self {
            process: Process::start("supervisor", &program, &arguments, dir),
            dir: dir.to_owned(),
        }
    }

    /// Stops it the way it stops well, with its collector and a goodbye.
    pub(crate) async fn stop(self) -> PathBuf {
        self.process.signal(Signal::SIGINT);
        self.process.ended().await;
        self.dir
    }

    /// Starts a stopped one again, with what it stored.
    pub(crate) fn again(dir: &Path) -> Self {
        Self::run(dir)
    }

    /// The process of the collector, when one runs.
    pub(crate) fn collector(&self) -> Option<u32> {
        self.process.children().last().copied()
    }

    /// How often it was offered a configuration, in all its runs.
    pub(crate) fn offers(&self) -> usize {
        self.said("Received remote config from server")
    }

    /// How often it was told to restart its collector.
    pub(crate) fn restarts(&self) -> usize {
        self.said("Received restart command")
    }

    /// How often its collector ended at once.
    pub(crate) fn failed_starts(&self) -> usize {
        self.said("Agent process exited unexpectedly")
    }

    fn said(&self, words: &str) -> usize {
        self.process.said().matches(words).count()
    }
}

/// A stock collector that speaks for itself, through its opamp extension.
#[derive(Debug)]
pub(crate) struct Collector {
    process: Process,
}

/// What stands in the configuration of a [`Collector`] and must not be shown.
pub(crate) const EXTENSION_SECRET: &str = "swordfish-4711";

impl Collector {
    /// Starts a collector with the extension and one pipeline.
    pub(crate) fn start(dir: &Path, opamp: &str, transport: Transport) -> Self {
        let server = match transport {
            Transport::WebSocket => {
                format!("ws: {{endpoint: \"ws://{opamp}/v1/opamp\", tls: {{insecure: true}}}}")
            }
            Transport::Http => format!(
                "http: {{endpoint: \"http://{opamp}/v1/opamp\", polling_interval: 1s, tls: {{insecure: true}}}}"
            ),
        };
        let settings = format!(
            "extensions:
  opamp:
    server: {{{server}}}
    agent_description: {{non_identifying_attributes: {{env: alone}}}}
receivers: {{nop: }}
exporters: {{nop: }}
service:
  extensions: [opamp]
  telemetry: {{metrics: {{level: none}}, resource: {{interop.api_key: {EXTENSION_SECRET}}}}}
  pipelines: {{traces: {{receivers: [nop], exporters: [nop]}}}}
"
        );
        fs::write(dir.join("collector.yaml"), settings).unwrap();
        let program = built("collector").join("otelcol");
        let arguments = ["--config", "collector.yaml"];
        Self {
            process: Process::start("collector", &program, &arguments, dir),
        }
    }

    /// Ends it without a word.
    pub(crate) fn kill(self) {
        drop(self);
    }

    /// Stops it the way it stops well.
    pub(crate) async fn stop(self) {
        self.process.signal(Signal::SIGINT);
        let status = self.process.ended().await;
        assert!(status.success(), "the collector ended with {status}");
    }
}
