//! Which server answers readers: the replica while it is known to be fresh, else the primary.
//!
//! How far a replica is behind is told by places in the write-ahead log that the primary had at known moments: a replica
//! that has replayed such a place has everything from before that moment. Neither the clocks of servers nor how long
//! ago somebody wrote have a part in it, so that an idle primary does not look like lag, nor a cut line like none.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::Mutex;
use tokio_postgres::SimpleQueryMessage;

use super::Error;
use super::pool::{Connection, Postgres, Purpose, Server};

/// How far behind a replica still answers readers.
pub const BEHIND_MAX: Duration = Duration::from_secs(10);

/// How often to look: [`Postgres::look`].
pub const LOOK_EVERY: Duration = Duration::from_secs(3);

/// How long a look may take at each server.
const LOOK_WITHIN: Duration = Duration::from_secs(2);

/// How long a reader waits for the replica, before the primary is asked instead.
const REPLICA_WITHIN: Duration = Duration::from_secs(3);

/// Places that are remembered: more than there are looks in [`BEHIND_MAX`].
const PLACES_MAX: usize = 8;

/// Where a server is in the write-ahead log, and whether it only follows.
const PLACE: &str = "SELECT (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() \
     ELSE pg_current_wal_flush_lsn() END - '0/0')::bigint, pg_is_in_recovery()";

/// What is known of the replica.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Replica {
    /// There is none, or nobody has looked yet.
    #[default]
    Unknown,
    /// It has all that the primary had [`BEHIND_MAX`] ago: readers get it.
    Fresh,
    /// It lacks some of that.
    Behind,
    /// It answers, and the primary does not: readers get what there is.
    Alone,
    /// It does not answer.
    Away,
}

/// What was seen.
#[derive(Default)]
pub(super) struct Watched(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    replica: Replica,
    /// Where the primary was, and when; oldest first.
    places: VecDeque<(Duration, i64)>,
}

/// A server's own word.
#[derive(Clone, Copy, Debug)]
struct Place {
    at: i64,
    follows: bool,
}

impl Seen {
    /// Judges by what both servers said after `now`.
    fn judge(&mut self, now: Duration, primary: Option<Place>, replica: Option<Place>) -> Replica {
        let Some(replica) = replica else {
            return Replica::Away;
        };
        if !replica.follows {
            // no standby of anything: it answers for itself
            return Replica::Fresh;
        }
        let Some(primary) = primary.filter(|primary| !primary.follows) else {
            return Replica::Alone;
        };
        if self
            .places
            .back()
            .is_some_and(|(_, last)| *last > primary.at)
        {
            // another server has become the primary: old places mean nothing there
            self.places.clear();
        }
        while self.places.len() >= PLACES_MAX {
            self.places.pop_front();
        }
        self.places.push_back((now, primary.at));
        let mut replayed = self.places.iter().rev().filter(|(_, at)| *at <= replica.at);
        match replayed.next() {
            Some((when, _)) if now.saturating_sub(*when) <= BEHIND_MAX => Replica::Fresh,
            Some(_) | None => Replica::Behind,
        }
    }
}

impl Postgres {
    /// Looks at both servers, where there are two, and settles who answers readers until the next look. To be called
    /// every [`LOOK_EVERY`], by one task; takes at most twice 2 s.
    pub async fn look(&self) -> Replica {
        let Some(replica) = &self.replica else {
            return Replica::Unknown;
        };
        let now = self.primary.now();
        // the primary first: what it has later is no concern of this look
        let primary = place(&self.primary).await;
        let state = place(replica).await;
        let mut seen = self.watched.0.lock();
        let judged = seen.judge(now, primary, state);
        if judged != seen.replica {
            tracing::info!(
                replica = %replica.door.shown,
                before = ?seen.replica,
                after = ?judged,
                "what is known of the replica in `postgres.read_url` has changed"
            );
            seen.replica = judged;
        }
        judged
    }

    /// What the last look has found.
    pub fn replica(&self) -> Replica {
        self.watched.0.lock().replica
    }

    /// A connection for a reader: to the replica while it is fresh, else to the primary; to the other one when that
    /// does not answer.
    ///
    /// # Errors
    /// When neither can be reached, what the last one said.
    pub async fn reader(&self) -> Result<Reader, Error> {
        let fresh = |connection| Reader {
            connection,
            is_fresh: true,
        };
        let Some(replica) = &self.replica else {
            return self.primary().await.map(fresh);
        };
        let state = self.replica();
        match state {
            Replica::Unknown | Replica::Away => self.primary().await.map(fresh),
            Replica::Fresh | Replica::Alone => match in_time(replica).await {
                Some(connection) => Ok(Reader {
                    connection,
                    is_fresh: state == Replica::Fresh,
                }),
                None => {
                    // the next look will say more
                    self.watched.0.lock().replica = Replica::Away;
                    self.primary().await.map(fresh)
                }
            },
            Replica::Behind => match self.primary().await {
                Err(error) if error.is_away() => {
                    let connection = in_time(replica).await.ok_or(error)?;
                    Ok(Reader {
                        connection,
                        is_fresh: false,
                    })
                }
                answer => answer.map(fresh),
            },
        }
    }
}

/// Who answers a reader.
pub struct Reader {
    /// The connection.
    pub connection: Connection,
    /// Whether it has all that was there [`BEHIND_MAX`] ago. What a replica has whose primary is away may be old.
    pub is_fresh: bool,
}

/// A connection to the replica, unless that makes a reader wait who could have been served by the primary.
async fn in_time(replica: &Server) -> Option<Connection> {
    let connection = tokio::time::timeout(REPLICA_WITHIN, replica.connection()).await;
    connection.ok()?.ok()
}

/// Where a server is, if it says so in time.
async fn place(server: &Server) -> Option<Place> {
    let asked = async {
        let connection = server.connection().await.ok()?;
        let said = connection.alone("look", Purpose::Read, PLACE).await.ok()?;
        said.into_iter().find_map(|message| {
            let SimpleQueryMessage::Row(row) = message else {
                return None;
            };
            let at = row.get(0)?.parse().ok()?;
            let follows = row.get(1)? == "t";
            Some(Place { at, follows })
        })
    };
    tokio::time::timeout(LOOK_WITHIN, asked).await.ok()?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(at: i64, follows: bool) -> Place {
        Place { at, follows }
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn an_idle_primary_is_no_lag_and_a_stopped_replay_is() {
        let mut seen = Seen::default();
        for minute in 0..10 {
            let judged = seen.judge(
                seconds(minute * 60),
                Some(at(100, false)),
                Some(at(100, true)),
            );
            assert_eq!(judged, Replica::Fresh);
        }
        // the last place that it had was there at 540
        let judged = seen.judge(seconds(600), Some(at(101, false)), Some(at(100, true)));
        assert_eq!(judged, Replica::Behind);
    }

    #[test]
    fn lag_is_counted_from_the_newest_place_that_was_replayed() {
        let mut seen = Seen::default();
        let mut judge = |second: u64, primary: i64, replica: i64| {
            seen.judge(
                seconds(second),
                Some(at(primary, false)),
                Some(at(replica, true)),
            )
        };
        assert_eq!(judge(0, 100, 90), Replica::Behind, "nothing is known of 90");
        assert_eq!(
            judge(3, 110, 100),
            Replica::Fresh,
            "it has what was there at 0"
        );
        assert_eq!(judge(6, 120, 100), Replica::Fresh);
        assert_eq!(judge(9, 130, 109), Replica::Fresh);
        assert_eq!(judge(12, 140, 109), Replica::Behind, "12 s since 0");
        assert_eq!(judge(15, 150, 135), Replica::Fresh, "6 s since 9");
        assert_eq!(judge(18, 5, 3), Replica::Behind, "another primary");
        assert_eq!(judge(21, 6, 5), Replica::Fresh);
    }

    #[test]
    fn whoever_answers_alone_is_asked() {
        let mut seen = Seen::default();
        let now = seconds(1);
        let (primary, follower) = (Some(at(9, false)), Some(at(9, true)));
        assert_eq!(seen.judge(now, None, follower), Replica::Alone);
        assert_eq!(seen.judge(now, follower, follower), Replica::Alone);
        assert_eq!(seen.judge(now, primary, None), Replica::Away);
        assert_eq!(seen.judge(now, primary, Some(at(1, false))), Replica::Fresh);
    }
}
