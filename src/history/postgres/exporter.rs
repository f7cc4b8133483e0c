//! The events of this node on their way from its spool into Postgres.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use ampora_raft::consensus::Consensus;
use ampora_raft::time::Clock;
use ampora_storage::history::export::{ExportLimits, Exporter, Progress, SinkError};
use ampora_storage::history::spool::Spool;
use ampora_storage::postgres::Error;
use ampora_storage::postgres::sink::PostgresSink;
use tokio_util::sync::CancellationToken;

use super::pause::Pause;
use super::{External, Part, prepare};
use crate::history::writer::Flushed;
use crate::telemetry::history as counted;
use crate::telemetry::names;

/// Between two looks while nothing is flushed.
const LOOK: Duration = Duration::from_secs(1);

/// After so long without a word Postgres is asked whether it is there: readiness tells of it although nothing happens.
const ASKED_EVERY_MS: u64 = 5_000;

/// The latest state is written at least this often while events come one by one.
const SETTLES_EVERY_MS: u64 = 1_000;

/// Between two looks at whether the schema and the partitions are there.
const PREPARED_FOR_MS: u64 = 600_000;

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
    /// Knows when the cluster was founded.
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
        // a node that joins another cluster goes on in this process
        let sink = PostgresSink::new(
            export.external.servers.clone(),
            export.kept_days,
            export.consensus.view().fleet.meta().founded_ms,
        );
        match run(&export, &mut exporter, &sink, &mut contact).await {
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
    sink: &PostgresSink,
    contact: &mut Contact,
) -> Result<(), SinkError> {
    let now_ms = export.clock.boot_ms();
    let within = |at_ms: Option<u64>, ms| at_ms.is_some_and(|at_ms| now_ms < at_ms + ms);
    if !within(contact.prepared_ms, PREPARED_FOR_MS) {
        prepare(&export.external, export.clock.wall_ms()).await?;
        contact.prepared_ms = Some(now_ms);
        contact.last_ms = Some(now_ms);
    } else if !within(contact.last_ms, ASKED_EVERY_MS) {
        export.external.servers.check().await?;
        contact.last_ms = Some(now_ms);
    }
    loop {
        let Progress { more, exported } = exporter.step(&export.spool, sink).await?;
        counted::written(exported);
        if exported > 0 {
            contact.last_ms = Some(now_ms);
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
