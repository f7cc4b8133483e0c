//! The schema: migrations run one after the other, by one node at a time, and nobody works with a schema that is not
//! theirs.

use std::time::Duration;

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use super::connect::Door;
use super::pool::{Postgres, Purpose};
use super::{Error, pool};

/// Which migrations have run: the table of the library that runs them.
const TABLE: &str = "ampora_schema_history";

/// The advisory lock of whoever migrates: "ampora" and a number.
const LOCK: i64 = 0x616d_706f_7261_0001;

/// How long a migrator waits for another one.
const LOCK_WITHIN: Duration = Duration::from_secs(60);

/// How long a migration waits for locks on tables, behind which everybody else waits.
const TABLE_WITHIN: Duration = Duration::from_secs(10);

/// How long all migrations may take: an index over years of history is made in minutes.
const MIGRATION_WITHIN: Duration = Duration::from_secs(3600);

/// How long anything else may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(90);

/// Which version a database has, and which this binary knows.
const APPLIED: &str = "SELECT coalesce(max(version), 0)::bigint FROM ampora_schema_history";
const HAS_TABLE: &str = "SELECT to_regclass('ampora_schema_history') IS NOT NULL";

const BACKEND: &str = "SELECT pg_backend_pid()";
const HOLDS_LOCK: &str = "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted \
     AND pid = pg_backend_pid() AND objsubid = 1 AND (classid::bigint << 32 | objid::bigint) = $1)";

mod embedded {
    //! The files of `migrations/`.
    refinery::embed_migrations!("../migrations");
}

/// What migrating has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// The version that was found; 0 is an empty database.
    pub from: u32,
    /// The version that is there now.
    pub to: u32,
}

/// The version of the schema that this binary works with.
pub fn known_version() -> u32 {
    let runner = embedded::migrations::runner();
    let versions = runner.get_migrations().iter().map(|one| one.version());
    versions.max().map_or(0, |version| version.unsigned_abs())
}

impl Postgres {
    /// Whether the schema is that of this binary; says its version. Needs no rights but to read, and works through any
    /// pooler.
    ///
    /// # Errors
    /// [`Error::SchemaNewer`] and [`Error::SchemaOlder`], and when the server cannot be asked.
    pub async fn check(&self) -> Result<u32, Error> {
        let mut connection = self.primary().await?;
        let transaction = connection.begin(Purpose::Read).await?;
        let has = transaction.query("schema", HAS_TABLE, &[]).await?;
        let mut found = 0;
        if pool::value(&has, "schema")? {
            found = version_of(pool::value(
                &transaction.query("schema", APPLIED, &[]).await?,
                "schema",
            )?);
        }
        let known = known_version();
        if found < known {
            return Err(Error::SchemaOlder { found, known });
        }
        not_newer(found, known)?;
        Ok(found)
    }

    /// Brings the schema to that of this binary. Safe to be called by many at once and again: one does it, the others
    /// wait for it, up to 60 s.
    ///
    /// # Errors
    /// [`Error::Pooled`] where this is no connection of our own, [`Error::SchemaNewer`], [`Error::Migrating`] when
    /// another one does not come to its end, [`Error::Migration`] when one fails: those before it stay.
    pub async fn migrate(&self) -> Result<Migrated, Error> {
        let door = &self.primary.door;
        let mut session = Session::open(door).await?;
        session.lock().await?;
        let from = session.version().await?;
        let known = known_version();
        not_newer(from, known)?;
        session.run().await?;
        // the end of the session is the end of the lock, but this is sooner
        session.unlock().await?;
        Ok(Migrated { from, to: known })
    }
}

fn not_newer(found: u32, known: u32) -> Result<(), Error> {
    if found > known {
        return Err(Error::SchemaNewer { found, known });
    }
    Ok(())
}

fn version_of(number: i64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// A connection of our own, on which settings and locks last.
struct Session<'a> {
    client: Client,
    door: &'a Door,
    backend: i32,
}

impl<'a> Session<'a> {
    /// Connects, and makes sure that nobody stands between who gives every transaction another backend.
    ///
    /// A pooler with a quiet backend gives it to the same client again and again, so that asking twice shows nothing. It
    /// also gives it to the next client that comes: while a second connection is in a transaction, the backend of the
    /// first is either with that one, or still ours alone.
    async fn open(door: &'a Door) -> Result<Self, Error> {
        let client = in_time(door, "connect", door.connect()).await?;
        let mut session = Self {
            client,
            door,
            backend: 0,
        };
        session.backend = session.backend_now().await?;
        let other = in_time(door, "connect", door.connect()).await?;
        let begun = other.batch_execute("BEGIN");
        session.asked("begin", begun).await?;
        let taken = session
            .asked("backend", other.query_typed(BACKEND, &[]))
            .await?;
        let taken: i32 = pool::value(&taken, "backend")?;
        let is_pooled = taken == session.backend || session.backend_now().await? != session.backend;
        // a pooler would close the backend of a client that goes away in the middle
        session
            .asked("rollback", other.batch_execute("ROLLBACK"))
            .await?;
        if is_pooled {
            return Err(session.pooled());
        }
        Ok(session)
    }

    /// Takes the lock, and looks whether this very backend has it.
    async fn lock(&self) -> Result<(), Error> {
        let wait = format!(
            "SET statement_timeout = 0; SET lock_timeout = {}",
            LOCK_WITHIN.as_millis()
        );
        self.asked("limits", self.client.batch_execute(&wait))
            .await?;
        let key = [(&LOCK as _, Type::INT8)];
        let lock = self.client.query_typed("SELECT pg_advisory_lock($1)", &key);
        match self.asked("lock", lock).await {
            Err(Error::Query { code, .. }) if code == SqlState::LOCK_NOT_AVAILABLE => {
                let server = self.door.shown.to_string();
                return Err(Error::Migrating { server });
            }
            taken => drop(taken?),
        }
        let held = self.client.query_typed(HOLDS_LOCK, &key);
        let held = self.asked("lock", held).await?;
        if !pool::value::<bool>(&held, "lock")? || self.backend_now().await? != self.backend {
            // wherever it is, it is not to stay there
            self.unlock().await?;
            return Err(self.pooled());
        }
        let wait = format!("SET lock_timeout = {}", TABLE_WITHIN.as_millis());
        self.asked("limits", self.client.batch_execute(&wait)).await
    }

    async fn unlock(&self) -> Result<(), Error> {
        let key = [(&LOCK as _, Type::INT8)];
        let unlock = self
            .client
            .query_typed("SELECT pg_advisory_unlock($1)", &key);
        self.asked("unlock", unlock).await.map(drop)
    }

    async fn version(&self) -> Result<u32, Error> {
        let has = self.client.query_typed(HAS_TABLE, &[]);
        let has = self.asked("schema", has).await?;
        if !pool::value::<bool>(&has, "schema")? {
            return Ok(0);
        }
        let applied = self.client.query_typed(APPLIED, &[]);
        let applied = self.asked("schema", applied).await?;
        pool::value(&applied, "schema").map(version_of)
    }

    /// Each migration is a transaction of its own.
    async fn run(&mut self) -> Result<(), Error> {
        let mut runner = embedded::migrations::runner()
            .set_abort_divergent(true)
            .set_abort_missing(true);
        runner.set_migration_table_name(TABLE);
        let server = || self.door.shown.to_string();
        let run = runner.run_async(&mut self.client);
        match tokio::time::timeout(MIGRATION_WITHIN, run).await {
            Ok(run) => run.map(drop).map_err(|source| Error::Migration {
                server: server(),
                source: Box::new(source),
            }),
            Err(_) => Err(Error::Timeout {
                server: server(),
                what: "migrate",
                seconds: MIGRATION_WITHIN.as_secs(),
            }),
        }
    }

    async fn backend_now(&self) -> Result<i32, Error> {
        let backend = self.client.query_typed(BACKEND, &[]);
        pool::value(&self.asked("backend", backend).await?, "backend")
    }

    fn pooled(&self) -> Error {
        Error::Pooled {
            server: self.door.shown.to_string(),
        }
    }

    async fn asked<T>(
        &self,
        name: &'static str,
        query: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, Error> {
        let server = &self.door.shown;
        let named = async {
            query
                .await
                .map_err(|error| Error::querying(name, server, error))
        };
        in_time(self.door, name, named).await
    }
}

async fn in_time<T>(
    door: &Door,
    what: &'static str,
    asked: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let answer = tokio::time::timeout(ANSWER_WITHIN, asked).await;
    answer.unwrap_or_else(|_| {
        Err(Error::Timeout {
            server: door.shown.to_string(),
            what,
            seconds: ANSWER_WITHIN.as_secs(),
        })
    })
}
