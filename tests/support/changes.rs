//! What people and scripts change in a cluster of real processes: again, when nobody can say whether it was done.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use super::{Cluster, SOON};

/// Between two calls of which the first one was refused.
const BETWEEN: Duration = Duration::from_millis(50);

impl Cluster {
    /// Changes something, and repeats that with one key while nobody can say whether it was done: an election may be
    /// under way on a busy machine.
    #[expect(
        clippy::disallowed_methods,
        reason = "a call may take long, and what counts is real time"
    )]
    pub(crate) fn change(
        &self,
        slot: u64,
        method: Method,
        path: &str,
        form: &Value,
    ) -> (u16, Value) {
        static CHANGES: AtomicU64 = AtomicU64::new(0);
        let key = format!("change-{}", CHANGES.fetch_add(1, Ordering::Relaxed));
        let began = Instant::now();
        loop {
            let (status, answer) = self.keyed(slot, method.clone(), path, Some(form), &key);
            if !matches!(status, 0 | 503 | 504) || began.elapsed() > SOON {
                return (status, answer);
            }
            std::thread::park_timeout(BETWEEN);
        }
    }

    /// Makes a group.
    pub(crate) fn put(&self, slot: u64, group: &str) {
        let form = json!({"selector": "a=b"});
        let path = format!("/groups/{group}");
        let (status, answer) = self.change(slot, Method::PUT, &path, &form);
        assert!(matches!(status, 200 | 201), "{answer}");
    }

    /// Makes a version of the configuration `label`, and assigns it at once to the agents with that label; its hash.
    pub(crate) fn assign(&self, slot: u64, label: &str, text: &str) -> String {
        self.assign_to(slot, label, &format!("conf={label}"), text)
    }

    /// The same for the agents of a selector.
    pub(crate) fn assign_to(&self, slot: u64, name: &str, selector: &str, text: &str) -> String {
        let files = json!([{"name": "", "content_type": "text/yaml", "body": text}]);
        let form = json!({"files": files});
        let path = format!("/configurations/{name}/versions");
        let (status, made) = self.change(slot, Method::POST, &path, &form);
        assert!(matches!(status, 200 | 201), "{status}: {made}");
        let configuration = json!({"name": name, "version": made["version"]});
        let form = json!({
            "selector": selector,
            "configuration": configuration,
            "pace": "all-at-once",
        });
        let path = format!("/groups/{name}");
        let (status, answer) = self.change(slot, Method::PUT, &path, &form);
        assert!(matches!(status, 200 | 201), "{status}: {answer}");
        made["hash"].as_str().expect("a hash").to_owned()
    }

    /// Makes a group, again and again until it is made.
    #[expect(
        clippy::disallowed_methods,
        reason = "a call may take long, and what counts is real time"
    )]
    pub(crate) fn write_until(&self, slot: u64, group: &str, within: Duration) {
        let form = json!({"selector": "a=b"});
        let path = format!("/groups/{group}");
        let began = Instant::now();
        loop {
            let (status, answer) = self.try_ask(slot, Method::PUT, &path, Some(&form));
            if matches!(status, 200 | 201) {
                return;
            }
            assert!(
                began.elapsed() < within,
                "no write within {within:?}: {answer}"
            );
        }
    }
}
