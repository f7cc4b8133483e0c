//! Who may use a uid, and which new one somebody gets who may not. It decides by connections, times and
//! fingerprints of descriptions that are told to it; it sends nothing and draws no random bytes.
//!
//! A message of a uid, by where it comes from (`fp` is the fingerprint of the description it carries):
//!
//! | from | and | verdict |
//! |---|---|---|
//! | anywhere | `fp` is that of a newcomer turned away in the last 10 min | `NewUid`, the same one again (C-276) |
//! | the holder | `fp` is new and the sequence goes on | `Serve`: a change |
//! | the holder | `fp` is new and the sequence is broken | `Serve`, and the `fp` before is kept for 60 s |
//! | the holder | `fp` is the one so kept: A → B → A | `Serve`: A was first; B is turned away when it comes |
//! | the displaced connection | both `fp` known, and they differ | `Keep`: it holds again, the newcomer gets a new uid |
//! | the displaced connection | within 1 s of the takeover | `Bystander`: it may have been under way |
//! | the displaced connection | later, the first time in 60 s | `Bystander` |
//! | the displaced connection | later, the second time in 60 s | `Keep` |
//! | another connection | its `fp` is that of the displaced one, the holder's differs | `Keep` |
//! | another connection | contested, and less than 5 s after a takeover | `Bystander` |
//! | another connection | else | `TakeOver`: a reconnect, or half-open before (C-272) |
//!
//! A pong on the displaced connection counts like a message without a description, if that socket carries this
//! agent alone. A silent old socket and an equal description never cost the uid.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::InstanceUid;
use crate::session::ConnectionKey;

/// An alias that nobody used for this long goes; agents adopt a new uid with their next message.
pub const ALIAS_MS: u64 = 600_000;
/// Aliases of one node, about 6 MiB; the one unused longest goes first.
pub const ALIASES_MAX: usize = 65_536;
/// Signs of two live users within this time belong to one contest.
pub const CONTEST_MS: u64 = 60_000;
/// Messages of the old connection that were under way when the new one came.
pub const GRACE_MS: u64 = 1_000;
/// Once contested, a uid changes its connection at most this often.
pub const TAKEOVER_MS: u64 = 5_000;

/// A `UUIDv7` of the given wall time and chance (C-066).
pub fn uuid_v7(wall_ms: u64, random: [u8; 10]) -> InstanceUid {
    uuid::Builder::from_unix_timestamp_millis(wall_ms, &random).into_uuid()
}

/// For whom an alias holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Everybody under the old uid: it was a temporary one (C-065).
    Anywhere,
    /// What comes over this connection.
    Connection(ConnectionKey),
    /// What has a description of this fingerprint.
    Description(u64),
}

#[derive(Clone, Copy, Debug)]
struct Alias {
    new: InstanceUid,
    used_at_ms: u64,
}

/// Old uids and the new ones given out for them (C-068, C-070).
#[derive(Debug)]
pub struct Aliases {
    limit: usize,
    by_old: BTreeMap<(Scope, Uuid), Alias>,
    by_use: BTreeSet<(u64, Scope, Uuid)>,
}

impl Default for Aliases {
    fn default() -> Self {
        Self::with_limit(ALIASES_MAX)
    }
}

impl Aliases {
    /// Holds at most `limit` aliases.
    pub fn with_limit(limit: usize) -> Self {
        Self {
            limit,
            by_old: BTreeMap::new(),
            by_use: BTreeSet::new(),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_old.len()
    }

    /// There are none, as on most nodes: nothing needs to be looked up then.
    pub fn is_empty(&self) -> bool {
        self.by_old.is_empty()
    }

    /// The new uid for a message under `old` that comes over `connection`.
    pub fn resolve(
        &mut self,
        connection: ConnectionKey,
        old: InstanceUid,
        now_ms: u64,
    ) -> Option<InstanceUid> {
        self.expire(now_ms);
        let scopes = [Scope::Connection(connection), Scope::Anywhere];
        scopes
            .into_iter()
            .find_map(|scope| self.renew(scope, old, now_ms))
    }

    /// The uid to hand out to whom `scopes` describe: the one given before, else `fresh`.
    pub fn issue(
        &mut self,
        scopes: &[Scope],
        old: InstanceUid,
        fresh: InstanceUid,
        now_ms: u64,
    ) -> InstanceUid {
        self.expire(now_ms);
        let given = scopes
            .iter()
            .find_map(|scope| self.renew(*scope, old, now_ms));
        let new = given.unwrap_or(fresh);
        for scope in scopes {
            self.insert(
                *scope,
                old,
                Alias {
                    new,
                    used_at_ms: now_ms,
                },
            );
        }
        new
    }

    /// The connection is gone, and with it the aliases that hold for it alone.
    pub fn connection_gone(&mut self, connection: ConnectionKey) {
        let scope = Scope::Connection(connection);
        let gone: Vec<Uuid> = self
            .by_old
            .range((scope, Uuid::nil())..=(scope, Uuid::max()))
            .map(|((_, old), _)| *old)
            .collect();
        for old in gone {
            self.remove(scope, old);
        }
    }

    fn renew(&mut self, scope: Scope, old: Uuid, now_ms: u64) -> Option<InstanceUid> {
        let new = self.by_old.get(&(scope, old))?.new;
        self.insert(
            scope,
            old,
            Alias {
                new,
                used_at_ms: now_ms,
            },
        );
        Some(new)
    }

    fn insert(&mut self, scope: Scope, old: Uuid, alias: Alias) {
        self.remove(scope, old);
        if self.by_old.len() >= self.limit
            && let Some((_, scope, old)) = self.by_use.pop_first()
        {
            self.by_old.remove(&(scope, old));
        }
        self.by_use.insert((alias.used_at_ms, scope, old));
        self.by_old.insert((scope, old), alias);
    }

    fn remove(&mut self, scope: Scope, old: Uuid) {
        if let Some(alias) = self.by_old.remove(&(scope, old)) {
            self.by_use.remove(&(alias.used_at_ms, scope, old));
        }
    }

    /// Each alias is removed once, so the loop is paid for by the inserts.
    fn expire(&mut self, now_ms: u64) {
        while let Some((used_at_ms, scope, old)) = self.by_use.first().copied()
            && now_ms >= used_at_ms.saturating_add(ALIAS_MS)
        {
            self.remove(scope, old);
        }
    }
}

/// What to do with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Hand it to the session.
    Serve,
    /// Hand it to the session, which moves here; detach the agent from `displaced`. Its socket is better left
    /// open until it was silent for one ping: closing it makes a live duplicate come back as a newcomer.
    TakeOver {
        /// Who held the uid.
        displaced: ConnectionKey,
    },
    /// Hand it to the session, which moves back here; give `newcomer` a new uid.
    Keep {
        /// Who loses the uid.
        newcomer: ConnectionKey,
        /// The fingerprint of its description, when it tells the two apart: a scope of the alias.
        fingerprint: Option<u64>,
    },
    /// Answer with a plain reply; nothing of it counts.
    Bystander,
    /// Give the sender the uid issued for its description, and serve it under that.
    NewUid {
        /// The scope of the alias.
        fingerprint: u64,
    },
}

/// Who held the uid before.
#[derive(Clone, Copy, Debug)]
struct Displaced {
    connection: ConnectionKey,
    fingerprint: Option<u64>,
    at_ms: u64,
    /// Signs of life since then.
    signs: u8,
}

/// A description that was turned away.
#[derive(Clone, Copy, Debug)]
struct Newcomer {
    fingerprint: u64,
    at_ms: u64,
}

/// Which connection uses one uid on this node.
#[derive(Debug, Default)]
pub struct Holder {
    connection: Option<ConnectionKey>,
    fingerprint: Option<u64>,
    /// Rare, hence boxed, as is the next.
    displaced: Option<Box<Displaced>>,
    newcomer: Option<Box<Newcomer>>,
}

/// What is known of a message before the session sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sender {
    /// Where it came from; plain HTTP has one key per agent.
    pub connection: ConnectionKey,
    /// Of the description it carries, if any.
    pub fingerprint: Option<u64>,
    /// Its sequence number is not the one after the last.
    pub sequence_broken: bool,
}

impl Holder {
    /// Judges one message by the table above.
    pub fn message(&mut self, sender: Sender, now_ms: u64) -> Verdict {
        self.forget(now_ms);
        if let (Some(newcomer), Some(fingerprint)) = (&self.newcomer, sender.fingerprint)
            && newcomer.fingerprint == fingerprint
        {
            return Verdict::NewUid { fingerprint };
        }
        match self.connection {
            None => self.hold(sender),
            Some(holder) if holder == sender.connection => self.described(sender, now_ms),
            Some(holder) => self.challenged(holder, sender, now_ms),
        }
    }

    /// A pong came over a socket that carries this agent alone: of use when that is the displaced one.
    pub fn pong(&mut self, connection: ConnectionKey, now_ms: u64) -> Option<Verdict> {
        self.forget(now_ms);
        let holder = self.connection?;
        let from_displaced = self.displaced.as_ref()?.connection == connection;
        let sender = Sender {
            connection,
            fingerprint: None,
            sequence_broken: true,
        };
        (from_displaced && holder != connection)
            .then(|| self.sign_of_life(holder, sender, now_ms))
            .filter(|verdict| *verdict != Verdict::Bystander)
    }

    /// A connection is gone: whoever comes next takes nothing from it.
    pub fn connection_gone(&mut self, connection: ConnectionKey) {
        if self.connection == Some(connection) {
            self.connection = None;
        }
    }

    /// The connection that holds the uid.
    pub fn connection(&self) -> Option<ConnectionKey> {
        self.connection
    }

    fn forget(&mut self, now_ms: u64) {
        self.displaced
            .take_if(|displaced| now_ms >= displaced.at_ms.saturating_add(CONTEST_MS));
        self.newcomer
            .take_if(|newcomer| now_ms >= newcomer.at_ms.saturating_add(ALIAS_MS));
    }

    fn hold(&mut self, sender: Sender) -> Verdict {
        self.connection = Some(sender.connection);
        self.learn(sender);
        Verdict::Serve
    }

    /// A sequence that goes on is the same agent, described or not.
    fn learn(&mut self, sender: Sender) {
        let kept = self.fingerprint.filter(|_| !sender.sequence_broken);
        self.fingerprint = sender.fingerprint.or(kept);
    }

    /// The holder may say that it is another than before.
    fn described(&mut self, sender: Sender, now_ms: u64) -> Verdict {
        let Some(fingerprint) = sender.fingerprint else {
            return Verdict::Serve;
        };
        let before = self.fingerprint.replace(fingerprint);
        let Some(before) = before.filter(|before| *before != fingerprint) else {
            return Verdict::Serve;
        };
        let first = self
            .displaced
            .as_ref()
            .and_then(|displaced| displaced.fingerprint);
        if first == Some(fingerprint) {
            self.displaced = None;
            self.newcomer = Some(Box::new(Newcomer {
                fingerprint: before,
                at_ms: now_ms,
            }));
        } else if sender.sequence_broken {
            self.displaced = Some(Box::new(Displaced {
                connection: sender.connection,
                fingerprint: Some(before),
                at_ms: now_ms,
                signs: 0,
            }));
        }
        Verdict::Serve
    }

    /// Somebody else than the holder speaks.
    fn challenged(&mut self, holder: ConnectionKey, sender: Sender, now_ms: u64) -> Verdict {
        if let Some(displaced) = self.displaced.as_deref().copied() {
            if displaced.connection == sender.connection {
                return self.sign_of_life(holder, sender, now_ms);
            }
            let is_first =
                sender.fingerprint.is_some() && sender.fingerprint == displaced.fingerprint;
            if is_first
                && self
                    .fingerprint
                    .is_some_and(|held| Some(held) != sender.fingerprint)
            {
                return self.keep(holder, sender.connection, sender.fingerprint, now_ms);
            }
            if displaced.signs > 0 && now_ms < displaced.at_ms.saturating_add(TAKEOVER_MS) {
                return Verdict::Bystander;
            }
        }
        self.displaced = Some(Box::new(Displaced {
            connection: holder,
            fingerprint: self.fingerprint,
            at_ms: now_ms,
            signs: self
                .displaced
                .as_ref()
                .map_or(0, |displaced| displaced.signs),
        }));
        self.connection = Some(sender.connection);
        self.learn(sender);
        Verdict::TakeOver { displaced: holder }
    }

    /// The displaced connection is alive.
    fn sign_of_life(&mut self, holder: ConnectionKey, sender: Sender, now_ms: u64) -> Verdict {
        let held = self.fingerprint;
        let Some(displaced) = self.displaced.as_mut() else {
            return Verdict::Bystander;
        };
        displaced.fingerprint = sender.fingerprint.or(displaced.fingerprint);
        let first = displaced.fingerprint;
        let differ = first.is_some() && held.is_some() && first != held;
        if !differ {
            if now_ms < displaced.at_ms.saturating_add(GRACE_MS) {
                return Verdict::Bystander;
            }
            displaced.signs = displaced.signs.saturating_add(1);
            if displaced.signs < 2 {
                return Verdict::Bystander;
            }
        }
        self.keep(holder, sender.connection, first, now_ms)
    }

    /// The first holder has the uid again, on `connection`.
    fn keep(
        &mut self,
        newcomer: ConnectionKey,
        connection: ConnectionKey,
        first: Option<u64>,
        now_ms: u64,
    ) -> Verdict {
        let fingerprint = self
            .fingerprint
            .filter(|held| first.is_some_and(|first| first != *held));
        self.newcomer = fingerprint.map(|fingerprint| {
            Box::new(Newcomer {
                fingerprint,
                at_ms: now_ms,
            })
        });
        self.displaced = None;
        self.connection = Some(connection);
        self.fingerprint = first;
        Verdict::Keep {
            newcomer,
            fingerprint,
        }
    }
}

#[cfg(test)]
mod tests;
