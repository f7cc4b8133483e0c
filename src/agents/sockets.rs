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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::wake::Call;

    #[test]
    fn sockets_of_a_token_that_is_gone_are_told_once() {
        let sockets = Sockets::default();
        let wakes = [(); 3].map(|()| Arc::new(Wake::default()));
        let token: Arc<str> = "gone".into();
        for (connection, wake) in (0..).zip(&wakes) {
            sockets.add(&token, connection, wake.clone());
        }
        sockets.remove(&token, 2);
        sockets.end_revoked(&Fleet::default());
        let heard = wakes.each_ref().map(|wake| wake.take());
        assert_eq!(heard, [Some(Call::Revoked), Some(Call::Revoked), None]);
        assert!(!wakes[0].is_rung());
        for connection in 0..2 {
            sockets.remove(&token, connection);
        }
        assert!(sockets.by_token.lock().is_empty());
    }
}
