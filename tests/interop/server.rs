//! The real `ampora` binary with a data directory of its own.

use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::process::Process;
use crate::rest::Rest;
use crate::wait::{SOON, until};

/// A running node.
#[derive(Debug)]
pub(crate) struct Server {
    process: Process,
    dir: PathBuf,
    settings: Vec<String>,
    /// Where agents connect, `host:port`; the same after each start.
    pub(crate) opamp: String,
    pub(crate) rest: Rest,
}

impl Server {
    /// Starts a node in `dir` on ports that the system chooses, with further `key=value` settings.
    pub(crate) async fn start(dir: &Path, settings: &[&str]) -> Self {
        let settings: Vec<String> = settings.iter().map(|&setting| setting.to_owned()).collect();
        Self::serve(dir.to_owned(), settings, "127.0.0.1:0").await
    }

    /// Starts the node again on the same data and the same port for agents.
    pub(crate) async fn again(stopped: Stopped) -> Self {
        Self::serve(stopped.dir, stopped.settings, &stopped.opamp).await
    }

    async fn serve(dir: PathBuf, settings: Vec<String>, opamp: &str) -> Self {
        let opamp = format!("opamp.listen={opamp}");
        let mut arguments = vec!["serve", "--data-dir", "data", "--set", &opamp];
        arguments.extend(["--set", "admin.listen=127.0.0.1:0"]);
        for setting in &settings {
            arguments.extend(["--set", setting]);
        }
        let program = Path::new(env!("CARGO_BIN_EXE_ampora"));
        let process = Process::start("ampora", program, &arguments, &dir);
        let process = std::cell::RefCell::new(process);
        let running = until("the server is ready", SOON, async || {
            process.borrow_mut().check_alive();
            let text = fs::read_to_string(dir.join("data/node.json")).unwrap_or_default();
            let running: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
            // what a killed node left behind names another process
            let pid = process.borrow().id();
            (running["pid"].as_u64() == Some(pid.into()))
                .then_some(running)
                .ok_or(text)
        })
        .await;
        let token = fs::read_to_string(dir.join("data/admin.token")).unwrap();
        let address = |key: &str| running[key].as_str().unwrap().to_owned();
        Self {
            process: process.into_inner(),
            settings,
            opamp: address("opamp_address"),
            rest: Rest::new(&address("admin_address"), token.trim()),
            dir,
        }
    }

    /// Sends the node a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Stops the node as a service manager does, and sees it end well.
    pub(crate) async fn stop(self) -> Stopped {
        self.process.signal(Signal::SIGTERM);
        let status = self.process.ended().await;
        assert!(status.success(), "the server ended with {status}");
        Stopped {
            dir: self.dir,
            settings: self.settings,
            opamp: self.opamp,
        }
    }

    /// Kills the node in the middle of whatever it does.
    pub(crate) async fn kill(self) -> Stopped {
        self.process.signal(Signal::SIGKILL);
        self.process.ended().await;
        Stopped {
            dir: self.dir,
            settings: self.settings,
            opamp: self.opamp,
        }
    }
}

/// What remains of a node that does not run.
#[derive(Debug)]
pub(crate) struct Stopped {
    dir: PathBuf,
    settings: Vec<String>,
    opamp: String,
}

impl Stopped {
    /// The same, to be started with other settings.
    pub(crate) fn with(mut self, settings: &[&str]) -> Self {
        self.settings = settings.iter().map(|&setting| setting.to_owned()).collect();
        self
    }
}
