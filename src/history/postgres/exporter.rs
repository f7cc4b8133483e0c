//! The events of this node on their way from its spool into Postgres.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use ampora_raft::consensus::Consensus;
use ampora_raft::time::Clock;
use ampora_storage::history::export::{ExportLimits, Exporter, Progress, SinkError};
use ampora_storage::history::spool::Spool;
use ampora_storage::postgres::sink::PostgresSink;
use ampora_storage::postgres::{Error, lineage};
use tokio_util::sync::CancellationToken;

use super::pause::Pause;
use super::{External, Part, prepare};
use crate::history::writer::Flushed;
use crate::telemetry::history::{self as counted, Dropped};
use crate::telemetry::names;

/// Between two looks while nothing is flushed.
const LOOK: Duration = Duration::from_secs(1);

/// After so long without a word Postgres is asked whether it is there: readiness tells of it although nothing happens.
const ASKED_EVERY_MS: u64 = 5_000;

/// The latest state is written at least this often while events come one by one.
const SETTLES_EVERY_MS: u64 = 1_000;

/// Between two looks at whether the schema and the partitions are there.
const PREPARED_FOR_MS: u64 = 60_000;

/// What an export is about.
pub struct Export {
    /// Where to.
    pub external: External,
    /// Where from.
    pub spool: Arc<Spool>,
    /// That there is more.
    pub flushed: Flushed,
    /// The clocks.
    pub clock: Arc<dyn Clock>,
    /// Knows which cluster this is.
    pub consensus: Consensus,
    /// Days of history that are kept: older events share the oldest partition.
    pub kept_days: u32,
}

impl std::fmt::Debug for Export {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Export")
            .field("external", &self.external)
            .finish_non_exhaustive()
    }
}

/// Exports until `stop`.
///
/// On a thread of its own, because the spool is a disk.
pub async fn drive(export: Export, stop: CancellationToken) {
    let runtime = tokio::runtime::Handle::current();
    let work = move || {
        runtime.block_on(async {
            tokio::select! {
                never = work(export) => match never {},
                () = stop.cancelled() => {}
            }
        });
    };
    if let Err(error) = tokio::task::spawn_blocking(work).await {
        tracing::error!(%error, "the export of history has ended");
    }
}

/// Boot times at which Postgres answered.
#[derive(Debug, Default)]
struct Contact {
    /// That tables and partitions are there.
    prepared_ms: Option<u64>,
    /// At all.
    last_ms: Option<u64>,
    /// A lineage and its number there. A node that joins another cluster goes on in this process.
    lineage: Option<(u128, u64)>,
}

impl Contact {
    /// Makes sure that all is ready, as often as that is worth it, and that Postgres is there; answers the number of the
    /// cluster.
    async fn keep(&mut self, export: &Export) -> Result<u64, Error> {
        let now_ms = export.clock.boot_ms();
        let within = |at_ms: Option<u64>, ms| at_ms.is_some_and(|at_ms| now_ms < at_ms + ms);
        if !within(self.prepared_ms, PREPARED_FOR_MS) {
            prepare(&export.external).await?;
            self.prepared_ms = Some(now_ms);
            self.last_ms = Some(now_ms);
            self.lineage = None;
        } else if !within(self.last_ms, ASKED_EVERY_MS) {
            export.external.servers.check().await?;
            self.last_ms = Some(now_ms);
        }
        let lineage = export.consensus.view().fleet.meta().lineage;
        if let Some((known, number)) = self.lineage
            && known == lineage
        {
            return Ok(number);
        }
        let mut connection = export.external.servers.primary().await?;
        let number = lineage::number(&mut connection, lineage).await?;
        self.lineage = Some((lineage, number));
        Ok(number)
    }
}

async fn work(mut export: Export) -> Infallible {
    let mut exporter = Exporter::new(ExportLimits::default());
    let mut contact = Contact::default();
    let mut settled_ms = 0;
    let mut pause = Pause::new();
    loop {
        let now_ms = export.clock.boot_ms();
        if now_ms >= settled_ms + SETTLES_EVERY_MS {
            settled_ms = now_ms;
            exporter.settle();
        }
        match run(&export, &mut exporter, &mut contact).await {
            Ok(()) => {
                pause.reset();
                // when the writer has ended, what it left is exported by the next start
                let more = tokio::time::timeout(LOOK, export.flushed.more());
                if let Ok(false) = more.await {
                    tokio::time::sleep(LOOK).await;
                }
            }
            Err(error) => {
                export.external.fails(Part::Export, reason(&*error));
                contact = Contact::default();
                show_lag(&export);
                tokio::time::sleep(pause.take()).await;
            }
        }
    }
}

/// Exports what is there.
async fn run(
    export: &Export,
    exporter: &mut Exporter,
    contact: &mut Contact,
) -> Result<(), SinkError> {
    loop {
        let number = contact.keep(export).await?;
        let servers = export.external.servers.clone();
        let sink = PostgresSink::new(servers, export.kept_days, number);
        let progress = exporter.step(&export.spool, &sink).await?;
        let Progress {
            exported,
            set_back,
            more,
        } = progress;
        counted::written(exported);
        if set_back > 0 {
            tracing::warn!(
                events = set_back,
                "Postgres has less than it had, and the spool has not either"
            );
            Dropped::SetBack.count(set_back);
        }
        if exported > 0 {
            contact.last_ms = Some(export.clock.boot_ms());
        }
        // it may be long until there is nothing more to do
        export.external.goes(Part::Export);
        if !more {
            metrics::gauge!(names::HISTORY_LAG).set(0.0);
            return Ok(());
        }
        show_lag(export);
    }
}

/// How old the oldest event is that waits.
fn show_lag(export: &Export) {
    match export.spool.oldest_at_ms() {
        Ok(Some(at_ms)) => {
            let lag = Duration::from_millis(export.clock.wall_ms().saturating_sub(at_ms));
            metrics::gauge!(names::HISTORY_LAG).set(lag.as_secs_f64());
        }
        Ok(None) => metrics::gauge!(names::HISTORY_LAG).set(0.0),
        Err(error) => tracing::debug!(%error, "the spool does not say how old it is"),
    }
}

/// The whole chain of reasons in one line.
fn reason(error: &(dyn std::error::Error + 'static)) -> String {
    match error.downcast_ref::<Error>() {
        Some(error) => error.reason(),
        None => error.to_string(),
    }
}
