//! One process of the program: started, waited for, asked, killed, and never left behind.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::Value;

/// How long a start may take on a busy machine, in the debug profile.
const START_WITHIN: Duration = Duration::from_secs(60);

/// Between two looks at a predicate.
const LOOK: Duration = Duration::from_millis(5);

/// A running process.
pub(crate) struct Process {
    child: Child,
    home: PathBuf,
    data: PathBuf,
}

/// Where a process is asked, and with what token; clones ask the same.
#[derive(Clone)]
pub(crate) struct Api {
    client: reqwest::Client,
    url: String,
    token: String,
}

/// The program, with nothing of this environment that it would take for its own.
pub(crate) fn program() -> &'static str {
    env!("CARGO_BIN_EXE_ampora")
}

/// What follows the program's name to serve `data` on free ports.
pub(crate) fn serve_args(data: &Path) -> Vec<String> {
    let data = data.to_str().expect("a path of text");
    let args = ["serve", "--data-dir", data];
    let ports = ["opamp.listen=127.0.0.1:0", "admin.listen=127.0.0.1:0"];
    let sets = ports.iter().flat_map(|set| ["--set", set]);
    args.into_iter().chain(sets).map(str::to_owned).collect()
}

impl Process {
    /// Starts `data` in `home`, where its log goes.
    pub(crate) fn spawn(home: &Path, data: &Path) -> Self {
        let mut command = Command::new(program());
        command.args(serve_args(data));
        Self::of(command, home, data)
    }

    /// Starts a command that becomes the program.
    pub(crate) fn of(mut command: Command, home: &Path, data: &Path) -> Self {
        let log = || {
            let opened = File::options()
                .create(true)
                .append(true)
                .open(home.join("log"));
            opened.expect("a log")
        };
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().contains("AMPORA_") {
                command.env_remove(name);
            }
        }
        let child = command
            .current_dir(home)
            .stdin(Stdio::null())
            .stdout(log())
            .stderr(log())
            .spawn()
            .expect("the program starts");
        Self {
            child,
            home: home.to_owned(),
            data: data.to_owned(),
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.home.join("log")).unwrap_or_default()
    }

    /// The end of the process, if it has ended.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child")
    }

    /// Waits until it serves.
    pub(crate) async fn ready(&mut self) -> Api {
        let data = self.data.clone();
        self.ready_in(&data).await
    }

    /// Waits until it serves a directory that is seen from here under another path.
    pub(crate) async fn ready_in(&mut self, seen: &Path) -> Api {
        let began = Instant::now();
        loop {
            if let Some(status) = self.ended() {
                panic!("it ended with {status} at its start:\n{}", self.log());
            }
            if let Some(api) = Api::of(seen, self.id()) {
                return api;
            }
            assert!(began.elapsed() < START_WITHIN, "no start:\n{}", self.log());
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Ends it as a power cut would, and waits for the end.
    pub(crate) fn kill(&mut self) {
        drop(self.child.kill());
        self.child.wait().expect("a child");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- the log\n{}", tail(&self.log()));
        }
    }
}

fn tail(log: &str) -> String {
    let lines: Vec<_> = log.lines().collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}

/// Waits until `look` finds what it looks for.
pub(crate) async fn eventually<T>(
    what: &str,
    within: Duration,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(began.elapsed() < within, "{what}: not within {within:?}");
        tokio::time::sleep(LOOK).await;
    }
}

/// Runs something that ends by itself, and answers its status and what it said.
pub(crate) fn ends(program: impl AsRef<OsStr>, args: &[String]) -> (ExitStatus, String) {
    let output = Command::new(program).args(args).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status, said)
}

impl Api {
    /// What the process `pid` says of itself in its directory.
    fn of(data: &Path, pid: u32) -> Option<Self> {
        let running = fs::read(data.join("node.json")).ok()?;
        let running: Value = serde_json::from_slice(&running).ok()?;
        if running["pid"] != pid {
            return None;
        }
        let token = fs::read_to_string(data.join("admin.token")).ok()?;
        Some(Self {
            client: reqwest::Client::builder().no_proxy().build().ok()?,
            url: format!("http://{}", running["admin_address"].as_str()?),
            token: token.trim_end().to_owned(),
        })
    }

    pub(crate) fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.url));
        request.bearer_auth(&self.token)
    }

    pub(crate) async fn get(&self, path: &str) -> (StatusCode, Value) {
        answer(
            self.ask(Method::GET, path)
                .send()
                .await
                .expect("it answers"),
        )
        .await
    }

    /// A new version of a configuration from bytes.
    pub(crate) fn version(&self, name: &str, body: Vec<u8>) -> RequestBuilder {
        let path = format!("/api/v1/configurations/{name}/versions");
        self.ask(Method::POST, &path)
            .header("content-type", "text/yaml")
            .body(body)
    }
}

/// The status and the JSON of an answer.
pub(crate) async fn answer(response: Response) -> (StatusCode, Value) {
    let status = response.status();
    let bytes = response.bytes().await.expect("a whole answer");
    (
        status,
        serde_json::from_slice(&bytes).unwrap_or(Value::Null),
    )
}
