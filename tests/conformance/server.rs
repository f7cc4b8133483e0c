//! The running binary: started with a directory of its own on ports of the system's choice, asked through REST
//! and `/metrics`, stopped, killed and started again.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex};

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

use crate::deadline::until;
use crate::http::{self, Response};
use crate::support::{self, Node};

/// Files of a configuration: name, content type, body.
pub(crate) type Files<'a> = [(&'a str, &'a str, &'a [u8])];

/// One node.
pub(crate) struct Server {
    node: Node,
    directory: Arc<TempDir>,
    settings: Vec<String>,
    /// Where agents connect.
    pub(crate) opamp: SocketAddr,
    /// Where operators connect.
    pub(crate) admin: SocketAddr,
    token: String,
}

static SHARED: Mutex<BTreeMap<&str, Arc<Server>>> = Mutex::new(BTreeMap::new());

/// The server with the defaults, for all rows that need nothing else.
pub(crate) fn shared() -> Arc<Server> {
    shared_with("defaults", &[])
}

/// A server that takes and sends small messages alone.
pub(crate) fn small() -> Arc<Server> {
    shared_with("small", &["opamp.max_message_bytes=65536"])
}

/// A server that soon misses who is silent.
pub(crate) fn brisk() -> Arc<Server> {
    let settings = [
        "opamp.heartbeat_window_seconds=2",
        "opamp.ping_interval_seconds=1",
    ];
    shared_with("brisk", &settings)
}

/// A server with the limit that the specification recommends.
pub(crate) fn large() -> Arc<Server> {
    shared_with("large", &["opamp.max_message_bytes=67108864"])
}

/// A server whose agents need an enrollment token.
pub(crate) fn guarded() -> Arc<Server> {
    shared_with("guarded", &["opamp.auth=token"])
}

fn shared_with(name: &'static str, settings: &[&str]) -> Arc<Server> {
    let mut shared = SHARED.lock().expect("servers");
    shared
        .entry(name)
        .or_insert_with(|| Arc::new(Server::start(settings)))
        .clone()
}

/// Ends the servers that tests share.
pub(crate) fn stop_shared() {
    SHARED.lock().expect("servers").clear();
}

impl Server {
    /// Starts a node with an empty directory.
    pub(crate) fn start(settings: &[&str]) -> Server {
        let directory = Arc::new(TempDir::new().expect("a directory"));
        let settings = settings.iter().map(|text| (*text).to_owned()).collect();
        Server::start_in(directory, settings)
    }

    /// Starts two nodes of one cluster. The first one votes alone, so that it goes on when the second one is gone.
    pub(crate) fn two() -> [Server; 2] {
        let door = "peer.listen=127.0.0.1:0";
        let first = Server::start(&[door]);
        let (status, made) = first.ask("POST", "/cluster/join-tokens", &json!({"uses": 1}));
        assert_eq!(status, 201, "{made}");
        let token = made["token"].as_str().expect("a text");
        let second = Server::start(&[door, &format!("cluster.join={token}")]);
        [first, second]
    }

    fn start_in(directory: Arc<TempDir>, settings: Vec<String>) -> Server {
        let mut args = vec!["--set", "log.format=json"];
        for setting in &settings {
            args.extend(["--set", setting]);
        }
        let node = support::start_in(directory.path(), &args);
        let admin = node.admin_url.strip_prefix("http://").expect("a URL");
        Server {
            opamp: node.opamp_addr,
            admin: admin.parse().expect("an address"),
            token: node.token.clone(),
            node,
            directory,
            settings,
        }
    }

    /// The path of agents.
    pub(crate) const PATH: &str = "/v1/opamp";

    /// What it has written.
    pub(crate) fn log(&self) -> String {
        self.node.log()
    }

    /// What the node keeps.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.node.data_dir()
    }

    /// Asks the node to end.
    pub(crate) fn terminate(&self) {
        self.node.signal(Signal::SIGTERM);
    }

    /// Waits for the end.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        self.node.ended()
    }

    /// Kills the node and starts it again with the same directory.
    pub(crate) fn killed_and_started(self) -> Server {
        self.node.kill();
        Server::start_in(self.directory, self.settings)
    }

    /// Stops the node in order and starts it again with the same directory.
    pub(crate) fn stopped_and_started(self) -> Server {
        assert!(self.node.stop().success(), "a stop in order");
        Server::start_in(self.directory, self.settings)
    }

    /// Memory of the process that is resident, in bytes, at its highest so far.
    pub(crate) fn peak_memory(&self) -> u64 {
        let pid = self.node.pid();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a status");
        let line = status.lines().find(|line| line.starts_with("VmHWM:"));
        let kib = line.and_then(|line| line.split_whitespace().nth(1));
        kib.and_then(|kib| kib.parse::<u64>().ok()).expect("a size") * 1024
    }

    /// Asks REST without a token.
    pub(crate) fn ask_as_nobody(&self, method: &str, path: &str) -> Response {
        http::once(self.admin, method, path, &[("Connection", "close")], b"")
    }

    /// Asks REST for JSON.
    pub(crate) fn ask(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let body = if body.is_null() {
            Vec::new()
        } else {
            body.to_string().into_bytes()
        };
        let authorization = format!("Bearer {}", self.token);
        let headers = [
            ("Authorization", authorization.as_str()),
            ("Content-Type", "application/json"),
            ("Connection", "close"),
        ];
        let path = format!("/api/v1{path}");
        let response = http::once(self.admin, method, &path, &headers, &body);
        let answer = serde_json::from_slice(&response.body).unwrap_or(Value::Null);
        (response.status, answer)
    }

    /// Asks for something that must be there.
    pub(crate) fn get(&self, path: &str) -> Value {
        let (status, answer) = self.ask("GET", path, &Value::Null);
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }

    /// The agent as REST shows it, once it is so.
    pub(crate) fn agent(&self, what: &str, uid: Uuid, so: impl Fn(&Value) -> bool) -> Value {
        self.below_agent(what, uid, "", so)
    }

    /// What hangs below an agent, such as `/health`, once it is so.
    pub(crate) fn below_agent(
        &self,
        what: &str,
        uid: Uuid,
        below: &str,
        so: impl Fn(&Value) -> bool,
    ) -> Value {
        let path = format!("/agents/{uid}{below}");
        let mut seen = Value::Null;
        let wait = std::panic::AssertUnwindSafe(|| {
            until(what, || {
                let (status, answer) = self.ask("GET", &path, &Value::Null);
                seen = answer;
                (status == 200 && so(&seen)).then(|| seen.clone())
            })
        });
        std::panic::catch_unwind(wait)
            .unwrap_or_else(|_| panic!("{what} did not happen; last seen: {seen}"))
    }

    /// Whether there is a record of the agent.
    pub(crate) fn knows(&self, uid: Uuid) -> bool {
        self.ask("GET", &format!("/agents/{uid}"), &Value::Null).0 == 200
    }

    /// Makes a version; its number and hash.
    pub(crate) fn version(&self, name: &str, files: &Files<'_>) -> (u64, Vec<u8>) {
        use base64::Engine;
        use base64::engine::general_purpose::STANDARD;
        let files: Vec<Value> = files
            .iter()
            .map(|(name, content_type, body)| {
                let body = STANDARD.encode(body);
                json!({"name": name, "content_type": content_type, "body_base64": body})
            })
            .collect();
        let form = json!({"files": files, "allow_empty": true});
        let (status, made) = self.ask("POST", &format!("/configurations/{name}/versions"), &form);
        assert!(matches!(status, 200 | 201), "{status}: {made}");
        let hash = hex::decode(made["hash"].as_str().expect("a hash")).expect("hex");
        (made["version"].as_u64().expect("a number"), hash)
    }

    /// Assigns files to the agents whose label `conf` has this value; the hash.
    pub(crate) fn assign(&self, label: &str, files: &Files<'_>) -> Vec<u8> {
        let (version, hash) = self.version(label, files);
        let configuration = json!({"name": label, "version": version});
        self.group(
            label,
            &json!({"selector": format!("conf={label}"), "configuration": configuration}),
        );
        hash
    }

    /// Assigns one YAML file.
    pub(crate) fn assign_yaml(&self, label: &str, yaml: &str) -> Vec<u8> {
        self.assign(label, &[("", "text/yaml", yaml.as_bytes())])
    }

    /// Writes a group; what it assigns is offered at once, unless the form says otherwise.
    pub(crate) fn group(&self, name: &str, form: &Value) {
        let mut form = form.clone();
        if form.get("pace").is_none() {
            form["pace"] = json!("all-at-once");
        }
        let (status, answer) = self.ask("PUT", &format!("/groups/{name}"), &form);
        assert!(matches!(status, 200 | 201), "{status}: {answer}");
    }

    /// Makes an enrollment token; its id and its text.
    pub(crate) fn enrollment_token(&self, form: &Value) -> (String, String) {
        let mut form = form.clone();
        form["name"] = json!("conformance");
        let (status, made) = self.ask("POST", "/enrollment-tokens", &form);
        assert_eq!(status, 201, "{made}");
        let text = |field: &str| made[field].as_str().expect("a text").to_owned();
        (text("id"), text("token"))
    }

    /// Revokes an enrollment token.
    pub(crate) fn revoke_enrollment(&self, id: &str) {
        let path = format!("/enrollment-tokens/{id}");
        let (status, answer) = self.ask("DELETE", &path, &Value::Null);
        assert_eq!(status, 204, "{answer}");
    }

    /// The text of the admin token.
    pub(crate) fn admin_token(&self) -> &str {
        &self.token
    }

    /// Instructs one agent; the status and the dispatch.
    pub(crate) fn dispatch(&self, action: &str, uid: Uuid) -> (u16, Value) {
        let form = json!({"action": {action: {}}, "target": {"agent": uid.to_string()}});
        self.ask("POST", "/dispatches", &form)
    }

    /// The value of a metric, labels included in the name; 0 while it is not there.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let headers = [("Connection", "close")];
        let response = http::once(self.admin, "GET", "/metrics", &headers, b"");
        let text = String::from_utf8(response.body).expect("text");
        let line = text.lines().find(|line| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with(' '))
        });
        let value = line.and_then(|line| line.rsplit(' ').next());
        value.map_or(0.0, |value| value.parse().expect("a number"))
    }

    /// How often a message was rejected for a reason.
    pub(crate) fn rejected(&self, reason: &str) -> f64 {
        self.metric(&format!(
            "ampora_opamp_frames_rejected_total{{reason=\"{reason}\"}}"
        ))
    }
}
