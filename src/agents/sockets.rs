//! Open sockets by the enrollment token that they came with, so that a token's end is theirs as well.

use std::collections::BTreeMap;
use std::sync::Arc;

use ampora_raft::fleet::Fleet;
use parking_lot::Mutex;

use super::wake::Wake;

/// Bells by connection.
type Bells = BTreeMap<u64, Arc<Wake>>;

/// Bells of sockets by token and connection; at most one for each connection of the door.
#[derive(Debug, Default)]
pub struct Sockets {
    by_token: Mutex<BTreeMap<Arc<str>, Bells>>,
}

impl Sockets {
    /// A socket came with a token.
    pub fn add(&self, token: &Arc<str>, connection: u64, wake: Arc<Wake>) {
        let mut by_token = self.by_token.lock();
        let sockets = by_token.entry(token.clone()).or_default();
        sockets.insert(connection, wake);
    }

    /// It has ended.
    pub fn remove(&self, token: &Arc<str>, connection: u64) {
        let mut by_token = self.by_token.lock();
        if let Some(sockets) = by_token.get_mut(token) {
            sockets.remove(&connection);
            if sockets.is_empty() {
                by_token.remove(token);
            }
        }
    }

    /// Tells every socket whose token is gone.
    pub fn end_revoked(&self, fleet: &Fleet) {
        let by_token = self.by_token.lock();
        let gone = by_token
            .iter()
            .filter(|(token, _)| fleet.enrollment_token(token).is_none());
        for wake in gone.flat_map(|(_, sockets)| sockets.values()) {
            wake.revoke();
        }
    }
}
