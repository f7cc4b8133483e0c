//! What is in the tables, and whether it is there exactly once.

use crate::cluster::{Cluster, SOON};
use crate::postgres::{Database, Server};
use crate::support::eventually;

/// Reasons for which an event that has a number does not get into the table.
const LATER: [&str; 3] = ["collapsed", "spool_full", "damaged"];

/// A database, and who is asked.
pub(crate) struct Tables<'a> {
    pub(crate) server: &'a Server,
    pub(crate) database: &'a Database,
}

/// One stream of events, as the table has it.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) id: String,
    rows: u64,
    distinct: u64,
    first: u64,
    last: u64,
    cursor: u64,
}

impl Tables<'_> {
    pub(crate) fn sql(&self, sql: &str) -> String {
        self.server.sql(&self.database.name, sql)
    }

    pub(crate) fn number(&self, sql: &str) -> u64 {
        let said = self.sql(sql);
        said.parse().unwrap_or_else(|_| panic!("{sql}: {said}"))
    }

    /// Whether the tables are there.
    pub(crate) fn are_there(&self) -> bool {
        self.number("SELECT count(*) FROM pg_class WHERE relname = 'history_lease'") == 1
    }

    /// How many events of a kind there are.
    pub(crate) fn events(&self, kind: &str) -> u64 {
        self.number(&format!(
            "SELECT count(*) FROM agent_status_history WHERE kind = '{kind}'"
        ))
    }

    /// Waits until so many events of a kind are there.
    pub(crate) fn until(&self, kind: &str, events: u64) {
        eventually("what was said is in the table", 2 * SOON, || {
            (self.are_there() && self.events(kind) >= events).then_some(())
        });
        assert_eq!(self.events(kind), events, "{kind}");
    }

    /// Every stream.
    pub(crate) fn streams(&self) -> Vec<Stream> {
        let all = self.sql(
            "SELECT h.stream, count(*), count(DISTINCT h.seq), min(h.seq), max(h.seq), max(c.seq) \
             FROM agent_status_history h LEFT JOIN history_cursor c \
             ON c.stream = 'events:' || replace(h.stream::text, '-', '') \
             GROUP BY 1 ORDER BY min(h.at)",
        );
        let stream = |line: &str| {
            let (id, rest) = line.split_once('|').expect("columns");
            let mut numbers = rest.split('|').map(|text| text.parse().expect("a number"));
            let mut next = || numbers.next().expect("a column");
            Stream {
                id: id.replace('-', ""),
                rows: next(),
                distinct: next(),
                first: next(),
                last: next(),
                cursor: next(),
            }
        };
        all.lines().map(stream).collect()
    }

    /// That every stream is there from its first event on, each event once and none missing.
    pub(crate) fn whole(&self) -> Vec<Stream> {
        let streams = self.streams();
        for stream in &streams {
            assert_eq!(stream.rows, stream.distinct, "twice: {stream:?}");
            let all = (1, stream.rows, stream.rows);
            assert_eq!(
                (stream.first, stream.last, stream.cursor),
                all,
                "{stream:?}"
            );
        }
        streams
    }

    /// That what a node counted is what is there, once its one start has brought everything over: each number is in the
    /// table once, or counted as gone.
    pub(crate) fn counted(&self, all: &Cluster, slot: u64) {
        let streams = self.streams();
        let [stream] = &*streams else {
            panic!("one start has one stream: {streams:?}");
        };
        assert_eq!(stream.rows, stream.distinct, "twice: {stream:?}");
        assert_eq!(stream.last, stream.cursor, "{stream:?}");
        let written = "ampora_history_written_total";
        #[expect(clippy::cast_precision_loss, reason = "metrics are floats")]
        let (rows, last) = (stream.rows as f64, stream.last as f64);
        eventually("what was written is counted", SOON, || {
            (all.metric(slot, written) >= rows).then_some(())
        });
        let written = all.metric(slot, written);
        let gone: f64 = LATER.map(|reason| dropped(all, slot, reason)).iter().sum();
        assert!((written - rows).abs() < 0.5, "{written} of {stream:?}");
        let known = written + gone;
        assert!(
            (known - last).abs() < 0.5,
            "{written} and {gone} of {stream:?}"
        );
    }

    /// That every audit record stands behind the one before it, whichever lineage that is of; how many there are.
    pub(crate) fn chain(&self) -> u64 {
        let loose = self.sql(
            "SELECT lineage, seq FROM audit_events AS this WHERE seq <> 1 AND NOT EXISTS \
             (SELECT FROM audit_events AS before WHERE before.hash = this.previous AND before.seq = this.seq - 1)",
        );
        assert_eq!(loose, "", "records whose chain is broken");
        let twice = "SELECT lineage, seq FROM audit_events GROUP BY 1, 2 HAVING count(*) > 1";
        assert_eq!(self.sql(twice), "");
        self.number("SELECT count(*) FROM audit_events")
    }
}

/// How many events a node has let go for a reason.
pub(crate) fn dropped(all: &Cluster, slot: u64, reason: &str) -> f64 {
    let name = format!("ampora_history_dropped_total{{reason=\"{reason}\"}}");
    all.metric(slot, &name)
}
