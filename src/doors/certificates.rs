//! The certificates of one door, as they are now: files are looked at again and again, a good change is taken up for
//! new connections, a bad one is refused and named, and what worked before goes on.

use std::sync::Arc;
use std::time::Duration;

use ampora_raft::time::Clock;
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::ServerConfig;
use tokio::signal::unix::{SignalKind, signal};

use super::pem::{Files, TlsError};
use super::validity::Validity;
use crate::clock::SystemClock;
use crate::config::Tls;
use crate::tasks::Tasks;
use crate::telemetry::names;

/// Between two looks at the files. They are read whole: a link that is turned to other files, as Kubernetes does it,
/// changes neither the time nor the size of any of them for sure.
const LOOK_PERIOD: Duration = Duration::from_secs(2);

/// The certificates of a door.
#[derive(Debug)]
pub struct Certificates {
    door: &'static str,
    files: Files,
    current: ArcSwap<ServerConfig>,
    seen: Mutex<Seen>,
}

/// What the files held.
#[derive(Debug)]
struct Seen {
    /// What is in use.
    used: [u8; 32],
    /// What was found by the last look; not yet judged when it is neither used nor refused: somebody may be
    /// writing one file after the other.
    last: [u8; 32],
    /// What was refused, so that it is said once.
    refused: Option<[u8; 32]>,
    /// For how many looks the files could not be read.
    unreadable: u32,
    /// From when to when what is in use is valid.
    validity: Validity,
}

/// What became of a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    /// Nothing is new.
    Same,
    /// Something may be under way.
    Waiting,
    /// The new contents are in use.
    TakenUp,
    /// The new contents cannot be used.
    Refused,
}

impl Certificates {
    /// Reads the certificates of a door; `None` when it has no TLS. Holds its thread.
    ///
    /// # Errors
    /// When they cannot be used; nothing stands in for them.
    pub fn load(door: &'static str, tls: &Tls) -> Result<Option<Arc<Self>>, TlsError> {
        let Some(files) = Files::of(door, tls) else {
            return Ok(None);
        };
        let contents = files.read()?;
        let (settings, validity) = files.settings(&contents)?;
        let used = contents.fingerprint();
        let this = Self {
            door,
            files,
            current: ArcSwap::from_pointee(settings),
            seen: Mutex::new(Seen {
                used,
                last: used,
                refused: None,
                unreadable: 0,
                validity,
            }),
        };
        this.warn(validity);
        Ok(Some(Arc::new(this)))
    }

    /// The settings for a new connection.
    pub(super) fn current(&self) -> Arc<ServerConfig> {
        self.current.load_full()
    }

    /// Looks at the files until `tasks` is stopped, and at each SIGHUP at once.
    pub fn watch(self: &Arc<Self>, tasks: &Tasks) {
        let validity = self.seen.lock().validity;
        self.measure(validity);
        for result in ["taken_up", "refused"] {
            metrics::counter!(names::TLS_RELOADS, "door" => self.door, "result" => result)
                .absolute(0);
        }
        let (this, looking, stopping) = (self.clone(), tasks.clone(), tasks.stopping());
        tasks.spawn(async move {
            let mut hangups = signal(SignalKind::hangup()).ok();
            loop {
                let hangup = async {
                    match &mut hangups {
                        Some(hangups) => hangups.recv().await,
                        None => std::future::pending().await,
                    }
                };
                let at_once = tokio::select! {
                    () = tokio::time::sleep(LOOK_PERIOD) => false,
                    _ = hangup => true,
                    () = stopping.cancelled() => return,
                };
                let this = this.clone();
                let look = looking.spawn_blocking(move || this.look(at_once));
                // a look that panicked has said so; the next one may go better
                drop(look.await);
            }
        });
    }

    /// Looks at the files. What is new has to stay the same from one look to the next, unless somebody said that it
    /// is complete.
    fn look(&self, is_complete: bool) -> Look {
        let mut seen = self.seen.lock();
        let contents = match self.files.read() {
            Ok(contents) => contents,
            Err(error) => {
                // a file that is replaced may be missing for a moment
                let looks = if is_complete {
                    2
                } else {
                    seen.unreadable.saturating_add(1)
                };
                seen.unreadable = looks;
                return match looks {
                    1 => Look::Waiting,
                    2 => self.refuse(&error),
                    _ => Look::Same,
                };
            }
        };
        seen.unreadable = 0;
        let found = contents.fingerprint();
        let is_settled = found == std::mem::replace(&mut seen.last, found);
        if found == seen.used {
            seen.refused = None;
            return Look::Same;
        }
        if !is_settled && !is_complete {
            return Look::Waiting;
        }
        if seen.refused == Some(found) && !is_complete {
            return Look::Same;
        }
        match self.files.settings(&contents) {
            Ok((settings, validity)) => {
                self.current.store(Arc::new(settings));
                (seen.used, seen.refused, seen.validity) = (found, None, validity);
                self.count("taken_up");
                tracing::info!(door = self.door, "new certificates are in use");
                self.measure(validity);
                self.warn(validity);
                Look::TakenUp
            }
            Err(error) => {
                seen.refused = Some(found);
                self.refuse(&error)
            }
        }
    }

    fn refuse(&self, error: &TlsError) -> Look {
        self.count("refused");
        let mut why = error.to_string();
        let mut cause = std::error::Error::source(error);
        while let Some(error) = cause {
            why.push_str(&format!(": {error}"));
            cause = error.source();
        }
        tracing::error!(
            door = self.door,
            "new certificates are refused, the old ones stay in use: {why}"
        );
        Look::Refused
    }

    fn count(&self, result: &'static str) {
        metrics::counter!(names::TLS_RELOADS, "door" => self.door, "result" => result).increment(1);
    }

    fn measure(&self, validity: Validity) {
        #[expect(
            clippy::cast_precision_loss,
            reason = "a gauge holds seconds since 1970 exactly"
        )]
        let until_s = validity.until_s as f64;
        metrics::gauge!(names::TLS_EXPIRY, "door" => self.door).set(until_s);
    }

    fn warn(&self, validity: Validity) {
        let now_s = i64::try_from(SystemClock.wall_ms() / 1000).unwrap_or(i64::MAX);
        if let Some(why) = validity.objection(now_s) {
            tracing::warn!(
                door = self.door,
                "clients will refuse the certificate of this door: {why}"
            );
        }
    }
}

#[cfg(test)]
mod tests;
