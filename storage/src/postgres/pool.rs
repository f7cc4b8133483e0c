//! The connections of this node, and transactions over them. Every wait has an end, every query is observed.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use deadpool_postgres::{Object, Pool, PoolError, Runtime, TimeoutType};
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{FromSqlOwned, ToSql, Type};
use tokio_postgres::{IsolationLevel, Row, SimpleQueryMessage};

use super::connect::{Door, Options};
use super::reader::Watched;
use super::{Error, Observer, Target};

/// How long a caller waits for a connection while all are in use.
const FULL_AFTER: Duration = Duration::from_secs(5);
/// How long a new connection may take: addresses, TLS and password together.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// How long an old one may take to show that it still works.
const RECYCLE_WITHIN: Duration = Duration::from_secs(2);
/// How long a caller waits at most, whatever comes together: a frozen server may have many old connections, each of
/// which is asked.
const CONNECTION_WITHIN: Duration = Duration::from_secs(15);
/// How much longer than the server we wait ourselves: a server that is frozen keeps no time.
const GRACE: Duration = Duration::from_secs(5);
/// How long a transaction may lie still before the server ends it: a node that is gone holds no locks.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// What a transaction is for, which says how long its statements may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Somebody waits for an answer: 10 s a statement, read only.
    Read,
    /// A batch is written: 30 s.
    Write,
    /// Partitions come and go: 120 s, but only 2 s of waiting for a lock, behind which everybody else would wait.
    Upkeep,
}

impl Purpose {
    /// How long a statement may take.
    pub fn statement_limit(self) -> Duration {
        Duration::from_secs(match self {
            Self::Read => 10,
            Self::Write => 30,
            Self::Upkeep => 120,
        })
    }

    fn lock_limit(self) -> Duration {
        Duration::from_secs(match self {
            Self::Read | Self::Upkeep => 2,
            Self::Write => 10,
        })
    }
}

/// Connections, as a gauge shows them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolStatus {
    /// Open and unused.
    pub idle: usize,
    /// In use.
    pub used: usize,
    /// Callers that wait for one.
    pub waiting: usize,
}

/// A server with its pool.
pub(super) struct Server {
    pub(super) door: Door,
    pool: Pool,
    target: Target,
    observer: Arc<dyn Observer>,
}

/// Postgres, as this node reaches it. Nobody is connected to before something is asked.
pub struct Postgres {
    pub(super) primary: Server,
    pub(super) replica: Option<Server>,
    pub(super) watched: Watched,
}

impl std::fmt::Debug for Postgres {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let replica = self.replica.as_ref().map(|server| &server.door.shown);
        f.debug_struct("Postgres")
            .field("primary", &self.primary.door.shown)
            .field("replica", &replica)
            .finish_non_exhaustive()
    }
}

impl Postgres {
    /// Checks what is asked for. Connects to nobody.
    ///
    /// # Errors
    /// When a URL or the authorities of TLS cannot be used: [`Error::Url`], [`Error::Authorities`],
    /// [`Error::TlsSettings`].
    pub fn new(options: &Options) -> Result<Self, Error> {
        let server = |url: &str, target| Server::new(url, target, options);
        let replica = options.read_url.as_deref();
        Ok(Self {
            primary: server(&options.url, Target::Primary)?,
            replica: replica
                .map(|url| server(url, Target::Replica))
                .transpose()?,
            watched: Watched::default(),
        })
    }

    /// A connection to where history is written.
    ///
    /// # Errors
    /// When the server is away, does not let us in, or the pool is full: after 15 s at the latest.
    pub async fn primary(&self) -> Result<Connection, Error> {
        self.primary.connection().await
    }

    /// Connections to both servers together.
    pub fn status(&self) -> PoolStatus {
        let mut sum = PoolStatus::default();
        for server in std::iter::once(&self.primary).chain(&self.replica) {
            let status = server.pool.status();
            sum.idle += status.available;
            sum.used += status.size.saturating_sub(status.available);
            sum.waiting += status.waiting;
        }
        sum
    }

    /// Closes what is open; whoever asks from now on gets nothing.
    pub fn close(&self) {
        self.primary.pool.close();
        if let Some(replica) = &self.replica {
            replica.pool.close();
        }
    }
}

impl Server {
    fn new(url: &str, target: Target, options: &Options) -> Result<Self, Error> {
        let door = Door::new(url, options.tls)?;
        let pool = pool_of(&door, options.max_pool_size);
        Ok(Self {
            door,
            pool,
            target,
            observer: Arc::clone(&options.observer),
        })
    }

    /// The time of whoever observes.
    pub(super) fn now(&self) -> Duration {
        self.observer.now()
    }

    /// # Errors
    /// When the server is away, does not let us in, or the pool is full.
    pub(super) async fn connection(&self) -> Result<Connection, Error> {
        let object = tokio::time::timeout(CONNECTION_WITHIN, self.pool.get()).await;
        let object = object
            .map_err(|_| self.late(CONNECTION_WITHIN))?
            .map_err(|error| self.refused(error))?;
        Ok(Connection {
            object: Some(object),
            watch: Watch {
                server: Arc::clone(&self.door.shown),
                target: self.target,
                observer: Arc::clone(&self.observer),
                running: AtomicUsize::new(0),
                is_broken: AtomicBool::new(false),
            },
        })
    }

    fn late(&self, within: Duration) -> Error {
        Error::Timeout {
            server: self.door.shown.to_string(),
            what: "connect",
            seconds: within.as_secs(),
        }
    }

    fn refused(&self, error: PoolError) -> Error {
        let server = self.door.shown.to_string();
        match error {
            PoolError::Timeout(TimeoutType::Create) => self.late(CONNECT_WITHIN),
            PoolError::Timeout(TimeoutType::Recycle) => self.late(RECYCLE_WITHIN),
            PoolError::Backend(error) => Error::connecting(&server, error),
            PoolError::Timeout(TimeoutType::Wait)
            | PoolError::Closed
            | PoolError::NoRuntimeSpecified
            | PoolError::PostCreateHook(_) => Error::Full {
                size: self.pool.status().max_size,
                server,
            },
        }
    }
}

fn pool_of(door: &Door, size: u32) -> Pool {
    Pool::builder(door.manager())
        .max_size(usize::try_from(size).unwrap_or(usize::MAX))
        .wait_timeout(Some(FULL_AFTER))
        .create_timeout(Some(CONNECT_WITHIN))
        .recycle_timeout(Some(RECYCLE_WITHIN))
        .runtime(Runtime::Tokio1)
        .build()
        .expect("a pool with timeouts has a runtime")
}

/// What is known of a connection while it is in use.
struct Watch {
    server: Arc<str>,
    target: Target,
    observer: Arc<dyn Observer>,
    /// Queries whose end nobody has seen: a caller that went away leaves them behind.
    running: AtomicUsize,
    is_broken: AtomicBool,
}

impl Watch {
    async fn timed<T>(
        &self,
        name: &'static str,
        limit: Duration,
        query: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, Error> {
        self.running.fetch_add(1, Ordering::Relaxed);
        let begun = self.observer.now();
        let result = tokio::time::timeout(limit + GRACE, query).await;
        let passed = self.observer.now().saturating_sub(begun);
        self.observer.query(name, self.target, passed.as_secs_f64());
        let result = match result {
            Ok(result) => {
                self.running.fetch_sub(1, Ordering::Relaxed);
                result.map_err(|error| Error::querying(name, &self.server, error))
            }
            Err(_) => Err(Error::Timeout {
                server: self.server.to_string(),
                what: name,
                seconds: (limit + GRACE).as_secs(),
            }),
        };
        if result.as_ref().is_err_and(Error::ends_connection) {
            self.is_broken.store(true, Ordering::Relaxed);
        }
        result
    }
}

/// A connection out of the pool. Dropping it gives it back, or closes it when it may be in the middle of something.
pub struct Connection {
    object: Option<Object>,
    watch: Watch,
}

impl Connection {
    /// Which server it is to.
    pub fn target(&self) -> Target {
        self.watch.target
    }

    /// Begins a transaction, with limits that last as long as it does.
    ///
    /// # Errors
    /// When the server is away or does not answer in time.
    pub async fn begin(&mut self, purpose: Purpose) -> Result<Transaction<'_>, Error> {
        let Self { object, watch } = self;
        let client: &mut tokio_postgres::Client = object.as_mut().expect("until it is dropped");
        let limit = purpose.statement_limit();
        let is_read = purpose == Purpose::Read;
        // a cursor that was waited for must be seen as it was left, whatever the default of the database is
        let start = client
            .build_transaction()
            .isolation_level(IsolationLevel::ReadCommitted)
            .read_only(is_read)
            .start();
        let inner = watch.timed("begin", limit, start).await?;
        // limits of a session would stay with whatever backend a pooler has chosen; so would prepared statements, of
        // whoever had this one before
        let limits = format!(
            "SET LOCAL statement_timeout = {}; SET LOCAL lock_timeout = {}; \
             SET LOCAL idle_in_transaction_session_timeout = {}; DEALLOCATE ALL",
            limit.as_millis(),
            purpose.lock_limit().as_millis(),
            IDLE_MAX.as_millis(),
        );
        watch
            .timed("limits", limit, inner.batch_execute(&limits))
            .await?;
        Ok(Transaction {
            inner,
            watch,
            limit,
        })
    }

    /// Statements outside of any transaction, for those that Postgres allows nowhere else. No limit is set in the
    /// server; ours is that of the purpose.
    ///
    /// # Errors
    /// When the server is away, refuses, or does not answer in time.
    pub async fn alone(
        &self,
        name: &'static str,
        purpose: Purpose,
        sql: &str,
    ) -> Result<Vec<SimpleQueryMessage>, Error> {
        let client = self.object.as_ref().expect("until it is dropped");
        let query = client.simple_query(sql);
        self.watch
            .timed(name, purpose.statement_limit(), query)
            .await
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let is_sound = self.watch.running.get_mut() == &0 && !*self.watch.is_broken.get_mut();
        if let Some(object) = self.object.take()
            && !is_sound
        {
            drop(Object::take(object));
        }
    }
}

/// A transaction. Dropping it rolls it back.
///
/// Statements have no names, so that they work through a pooler that gives every transaction another backend: types
/// of parameters are stated, and only types that every server has are asked for. `COPY`, which the library prepares under
/// a name, works because whatever had that name before is forgotten at the start.
pub struct Transaction<'a> {
    inner: tokio_postgres::Transaction<'a>,
    watch: &'a Watch,
    limit: Duration,
}

impl Transaction<'_> {
    /// Which server it is on.
    pub fn target(&self) -> Target {
        self.watch.target
    }

    /// The rows of a query. Its name is for the metric.
    ///
    /// # Errors
    /// When the server is away, refuses, or does not answer in time.
    pub async fn query(
        &self,
        name: &'static str,
        sql: &str,
        params: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Vec<Row>, Error> {
        let query = self.inner.query_typed(sql, params);
        self.watch.timed(name, self.limit, query).await
    }

    /// How many rows a statement touched.
    ///
    /// # Errors
    /// When the server is away, refuses, or does not answer in time.
    pub async fn execute(
        &self,
        name: &'static str,
        sql: &str,
        params: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<u64, Error> {
        let statement = self.inner.execute_typed(sql, params);
        self.watch.timed(name, self.limit, statement).await
    }

    /// Several statements without parameters.
    ///
    /// # Errors
    /// When the server is away, refuses, or does not answer in time.
    pub async fn batch(&self, name: &'static str, sql: &str) -> Result<(), Error> {
        self.watch
            .timed(name, self.limit, self.inner.batch_execute(sql))
            .await
    }

    /// Writes rows with `COPY … FROM STDIN BINARY`, and says how many. The types are those of the columns.
    ///
    /// # Errors
    /// When the server is away, refuses, or does not answer in time.
    pub async fn copy<R: CopyRow>(
        &self,
        name: &'static str,
        sql: &str,
        types: &[Type],
        rows: &[R],
    ) -> Result<u64, Error> {
        let copied = async {
            let sink = self.inner.copy_in(sql).await?;
            let mut writer = pin!(BinaryCopyInWriter::new(sink, types));
            for row in rows {
                writer.as_mut().write(&row.columns()).await?;
            }
            writer.finish().await
        };
        self.watch.timed(name, self.limit, copied).await
    }

    /// Makes it last.
    ///
    /// # Errors
    /// When the server refuses; after any other error it may have taken effect.
    pub async fn commit(self) -> Result<(), Error> {
        self.watch
            .timed("commit", self.limit, self.inner.commit())
            .await
    }
}

/// A row of a copy.
pub trait CopyRow: Sync {
    /// Its values, in the order of the columns.
    fn columns(&self) -> Vec<&(dyn ToSql + Sync)>;
}

/// The only value of an answer.
pub(super) fn value<T: FromSqlOwned>(rows: &[Row], name: &'static str) -> Result<T, Error> {
    let Some(row) = rows.first() else {
        return Err(Error::Empty { name });
    };
    row.try_get(0)
        .map_err(|source| Error::Misfit { name, source })
}
