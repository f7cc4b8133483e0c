//! What a serving process sets for itself before anything is opened: who may read its files, and how many it may
//! have open.

use rustix::{
    fs::Mode,
    process::{Resource, Rlimit, getrlimit, setrlimit, umask},
};

/// Files that a node needs besides connections: its store, listeners, bodies in flight.
const FILES_BESIDE_CONNECTIONS: u64 = 1024;

/// Makes every file of this process readable by its owner only, whatever starts it.
pub(super) fn keep_files_private() {
    umask(Mode::RWXG | Mode::RWXO);
}

/// Raises the limit of open files as far as it may be raised. Answers a sentence when that is not enough for the
/// connections that the configuration allows.
pub(super) fn allow_open_files(connections: u32) -> Option<String> {
    let wanted = u64::from(connections) + FILES_BESIDE_CONNECTIONS;
    let limit = getrlimit(Resource::Nofile);
    let (current, most) = (
        limit.current.unwrap_or(u64::MAX),
        limit.maximum.unwrap_or(u64::MAX),
    );
    let raised = if current >= wanted {
        current
    } else {
        let target = wanted.min(most);
        let ask = Rlimit {
            current: Some(target),
            maximum: limit.maximum,
        };
        if setrlimit(Resource::Nofile, ask).is_ok() {
            target
        } else {
            current
        }
    };
    (raised < wanted).then(|| {
        format!(
            "only {raised} files may be open, fewer than `opamp.max_connections` of {connections} needs ({wanted}): \
             raise LimitNOFILE"
        )
    })
}
