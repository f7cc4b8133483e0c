//! History in Postgres, as a node uses it: its events leave the spool, one node exports what the fleet keeps of its own,
//! and one looks after the tables.
//!
//! [`exporter`] is every node's, [`ledger`] and [`upkeep`] are duties under a lease, [`exported`] says what may leave the
//! fleet. Postgres may be away at any moment and for as long as it likes: what waits for it waits where it is.

pub mod exported;
pub mod exporter;
pub mod ledger;
mod measured;
mod pause;
pub mod upkeep;
pub mod watcher;

use std::sync::Arc;

use ampora_storage::postgres::lease::Held;
use ampora_storage::postgres::{self, Error, Options, Postgres, Tls};
use parking_lot::Mutex;
use tokio::sync::watch;

use self::measured::Measured;
use crate::config::{self, PostgresTls};
use crate::node::leases::Tenure;

/// Postgres with what is known of how it goes; clones are the same one.
#[derive(Clone, Debug)]
pub struct External {
    /// Its servers.
    pub servers: Arc<Postgres>,
    standing: Arc<Mutex<Standing>>,
    /// The tables are those of this program.
    prepared: Arc<watch::Sender<bool>>,
}

/// How the last tries went.
#[derive(Debug)]
struct Standing {
    export: Option<String>,
    days: Option<String>,
    ledger: Option<String>,
    upkeep: Option<String>,
}

/// Who tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The export of the spool.
    Export,
    /// Partitions for the days to come.
    Days,
    /// That of audit and deliveries.
    Ledger,
    /// Retention.
    Upkeep,
}

impl External {
    /// What is configured; `None` where history stays with the nodes. Connects to nobody yet.
    ///
    /// # Errors
    /// When what is configured can never work, such as a file of authorities that is none.
    pub fn of(config: &config::Postgres) -> Result<Option<Self>, Error> {
        let Some(options) = options(config) else {
            return Ok(None);
        };
        Ok(Some(Self {
            servers: Arc::new(Postgres::new(&options)?),
            standing: Arc::new(Mutex::new(Standing {
                export: Some("Postgres was not reached yet".to_owned()),
                days: None,
                ledger: None,
                upkeep: None,
            })),
            prepared: Arc::new(watch::Sender::new(false)),
        }))
    }

    /// Why history does not go to Postgres as it should; nothing while it does.
    pub fn trouble(&self) -> Option<String> {
        let standing = self.standing.lock();
        let all = [
            &standing.export,
            &standing.days,
            &standing.ledger,
            &standing.upkeep,
        ];
        all.into_iter().flatten().next().cloned()
    }

    /// Waits until the tables are those of this program, as far as this node knows.
    async fn prepared(&self) {
        // the sender is in `self`: it is not closed
        drop(self.prepared.subscribe().wait_for(|ready| *ready).await);
    }

    /// A part does what it should.
    fn goes(&self, part: Part) {
        if self.note(part, None).is_some() {
            tracing::info!(?part, "history goes to Postgres");
        }
    }

    /// A part does not.
    fn fails(&self, part: Part, reason: String) {
        let before = self.note(part, Some(reason.clone()));
        if before.as_ref() != Some(&reason) {
            tracing::warn!(?part, %reason, "history does not go to Postgres: it waits");
        }
    }

    /// Notes how it goes, and answers how it went before.
    fn note(&self, part: Part, trouble: Option<String>) -> Option<String> {
        let mut standing = self.standing.lock();
        let noted = match part {
            Part::Export => &mut standing.export,
            Part::Days => &mut standing.days,
            Part::Ledger => &mut standing.ledger,
            Part::Upkeep => &mut standing.upkeep,
        };
        std::mem::replace(noted, trouble)
    }

    /// While this is kept, the duty is this node's, and its troubles are.
    fn performs(&self, part: Part) -> Performs {
        Performs(self.clone(), part)
    }
}

/// A duty that this node performs.
struct Performs(External, Part);

impl Drop for Performs {
    fn drop(&mut self) {
        self.0.note(self.1, None);
    }
}

/// How to reach Postgres by this configuration.
pub fn options(config: &config::Postgres) -> Option<Options> {
    let url = config.url.as_ref()?.expose().clone();
    Some(Options {
        url,
        read_url: config.read_url.as_ref().map(|url| url.expose().clone()),
        max_pool_size: config.max_pool_size,
        tls: config.tls.map(|tls| match tls {
            PostgresTls::Disable => Tls::Disable,
            PostgresTls::Require => Tls::Require,
            PostgresTls::VerifyCa => Tls::VerifyCa,
            PostgresTls::VerifyFull => Tls::VerifyFull,
        }),
        observer: Arc::new(Measured),
    })
}

/// What a duty shows Postgres of its lease.
fn held(tenure: &Tenure, name: &'static str) -> Held {
    Held {
        lineage: tenure.room().consensus.view().fleet.meta().lineage,
        name,
        // a fleet that knows no leases has one node
        fence: tenure.fence().map_or(0, |fence| fence.0),
    }
}

/// Makes the schema ready: the tables of this program, and partitions for the days to come.
async fn prepare(external: &External) -> Result<(), Error> {
    let servers = &external.servers;
    match servers.check().await {
        Ok(_version) => {}
        Err(error @ Error::SchemaNewer { .. }) => {
            // nobody here writes to it any more
            external.prepared.send_replace(false);
            return Err(error);
        }
        Err(Error::SchemaOlder { .. }) => {
            let migrated = servers.migrate().await?;
            tracing::info!(
                from = migrated.from,
                to = migrated.to,
                "the tables of history are those of this program"
            );
        }
        Err(error) => return Err(error),
    }
    let mut connection = servers.primary().await?;
    // not of this node's clock: days that nobody asked for would stay
    let now_ms = postgres::partitions::now_ms(&mut connection).await?;
    match postgres::partitions::ensure_ahead(&mut connection, now_ms).await {
        Ok(_made) => external.goes(Part::Days),
        Err(error) if error.is_away() => return Err(error),
        // rows go to the nearest day meanwhile
        Err(error) => external.fails(Part::Days, error.reason()),
    }
    external.prepared.send_replace(true);
    Ok(())
}
