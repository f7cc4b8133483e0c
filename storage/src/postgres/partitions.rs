//! Partitions of `agent_status_history`: one for each day (UTC), made ahead and as old events need them.
//!
//! Partitions of other shapes, which operators made, are used as they are and never touched.

use std::time::SystemTime;

use tokio_postgres::types::Type;

use super::days::{self, Day};
use super::rows::get;
use super::{Connection, Error, Purpose, Transaction};

/// Days that are made ahead.
pub const AHEAD_DAYS: u64 = 7;

/// Days that one call makes at most: those of a long retention.
pub const MADE_MAX: usize = 400;

/// The key of the advisory lock of who makes partitions, of one transaction.
const LOCK: i64 = 0x616d_706f_7261_0070;

/// The server's time, and the bounds of all partitions that take rows: one row without a name where there is none. A
/// missing bound is that of a partition without one.
const BOUNDS: &str = "\
SELECT now(), name, bound = 'DEFAULT',
       (regexp_match(bound, 'FROM \\(''([^'']*)''\\)'))[1]::timestamptz AS from_at,
       (regexp_match(bound, 'TO \\(''([^'']*)''\\)'))[1]::timestamptz
FROM (VALUES (1)) AS clock LEFT JOIN (
    SELECT c.relname::text AS name, pg_get_expr(c.relpartbound, c.oid) AS bound
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'agent_status_history'::regclass AND NOT i.inhdetachpending) AS bounds ON true
ORDER BY from_at NULLS FIRST";

/// Settings under which a bound reads as it was written.
pub(super) const PLAIN: &str = "SET LOCAL timezone = 'UTC'; SET LOCAL datestyle = 'ISO, YMD'";

/// How long a change of the table waits for others, who would wait behind it.
const WAIT: &str = "SET LOCAL lock_timeout = '500ms'";

/// One partition: from its first millisecond to that behind its last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) name: String,
    pub(super) from_ms: u64,
    pub(super) to_ms: u64,
}

impl Span {
    /// The day that it is the partition of, if it is one of ours.
    pub(super) fn day(&self) -> Option<Day> {
        let day = Day::of(self.from_ms);
        let is_whole = self.from_ms == day.start_ms() && self.to_ms == day.after(1).start_ms();
        (is_whole && self.name == day.partition()).then_some(day)
    }
}

/// All partitions, in the order of time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Spans {
    spans: Vec<Span>,
    has_default: bool,
    /// The server's clock, for which days may be made.
    pub(super) now_ms: u64,
}

impl Spans {
    /// Reads them, under [`PLAIN`]. They stay as they are while the table is locked against changes.
    pub(super) async fn read(tx: &Transaction<'_>) -> Result<Self, Error> {
        let mut all = Self::default();
        for row in tx.query("partitions", BOUNDS, &[]).await? {
            all.now_ms = days::millis(get(&row, 0)?);
            let Some(name) = get(&row, 1)? else {
                continue;
            };
            let bound = |at| get::<Option<SystemTime>>(&row, at).map(|at| at.map(days::millis));
            if get::<Option<bool>>(&row, 2)? == Some(true) {
                all.has_default = true;
                continue;
            }
            all.spans.push(Span {
                name,
                from_ms: bound(3)?.unwrap_or(0),
                to_ms: bound(4)?.unwrap_or(u64::MAX),
            });
        }
        Ok(all)
    }

    /// Whether no row can be taken at all.
    pub(super) fn is_empty(&self) -> bool {
        !self.has_default && self.spans.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Span> {
        self.spans.iter()
    }

    /// Whether a row of this time would be taken.
    pub(super) fn has(&self, at_ms: u64) -> bool {
        self.has_default || self.place(at_ms) == Some(at_ms)
    }

    /// The nearest time that a partition takes.
    pub(super) fn place(&self, at_ms: u64) -> Option<u64> {
        if self.has_default {
            return Some(at_ms);
        }
        let behind = self.spans.partition_point(|span| span.from_ms <= at_ms);
        let before = behind.checked_sub(1).and_then(|at| self.spans.get(at));
        let earlier = before.map(|span| at_ms.min(span.to_ms.saturating_sub(1)));
        let later = self.spans.get(behind).map(|span| span.from_ms);
        match (earlier, later) {
            (Some(earlier), Some(later)) if later - at_ms < at_ms - earlier => Some(later),
            (None, later) => later,
            (earlier, _) => earlier,
        }
    }

    /// Whether any part of a day is taken.
    fn touches(&self, day: Day) -> bool {
        let (from, to) = (day.start_ms(), day.after(1).start_ms());
        self.spans
            .iter()
            .any(|span| span.from_ms < to && from < span.to_ms)
    }
}

/// The server's clock, in milliseconds since 1970: the one that all nodes have in common.
///
/// # Errors
/// Those of Postgres.
pub async fn now_ms(connection: &mut Connection) -> Result<u64, Error> {
    let tx = connection.begin(Purpose::Read).await?;
    let rows = tx.query("now", "SELECT now()", &[]).await?;
    let row = rows.first().ok_or(Error::Empty { name: "now" })?;
    Ok(days::millis(get(row, 0)?))
}

/// Makes the partitions of yesterday, today and the [`AHEAD_DAYS`] to come, and says how many were missing. Any node may.
///
/// # Errors
/// A day that cannot be made, after those that can.
pub async fn ensure_ahead(connection: &mut Connection, now_ms: u64) -> Result<usize, Error> {
    let first = Day::of(now_ms).before(1);
    ensure(
        connection,
        (0..AHEAD_DAYS + 2).map(|days| first.after(days)),
    )
    .await
}

/// Makes the partitions of some days where they are missing; days beyond [`MADE_MAX`] are left.
pub(super) async fn ensure(
    connection: &mut Connection,
    days: impl IntoIterator<Item = Day>,
) -> Result<usize, Error> {
    let mut made = 0;
    let mut failed = None;
    for day in days.into_iter().take(MADE_MAX) {
        match ensure_day(connection, day).await {
            Ok(is_new) => made += usize::from(is_new),
            Err(error) => failed = Some(error),
        }
    }
    failed.map_or(Ok(made), Err)
}

async fn ensure_day(connection: &mut Connection, day: Day) -> Result<bool, Error> {
    let tx = connection.begin(Purpose::Upkeep).await?;
    tx.batch("settings", PLAIN).await?;
    if Spans::read(&tx).await?.touches(day) {
        return Ok(false);
    }
    let lock = "SELECT pg_advisory_xact_lock($1)";
    tx.query("partition_lock", lock, &[(&LOCK, Type::INT8)])
        .await?;
    // somebody may have made it while this one waited
    if Spans::read(&tx).await?.touches(day) {
        return Ok(false);
    }
    // made beside the table and then attached: whoever writes and reads meanwhile does not wait
    let (name, next) = (day.partition(), day.after(1));
    let sql = format!(
        "CREATE TABLE {name} (LIKE agent_status_history INCLUDING DEFAULTS INCLUDING STORAGE); \
         ALTER TABLE agent_status_history ATTACH PARTITION {name} \
         FOR VALUES FROM ('{day} 00:00:00+00') TO ('{next} 00:00:00+00')"
    );
    tx.batch("make_partition", &sql).await?;
    tx.commit().await?;
    Ok(true)
}

/// Takes away one partition of ours with all its rows. Waits for nobody longer than half a second.
pub(super) async fn drop_day(tx: &Transaction<'_>, day: Day) -> Result<(), Error> {
    let name = day.partition();
    let sql = format!(
        "{WAIT}; ALTER TABLE agent_status_history DETACH PARTITION {name}; DROP TABLE {name}"
    );
    tx.batch("drop_partition", &sql).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(bounds: &[(u64, u64)]) -> Spans {
        let span = |&(from_ms, to_ms): &(u64, u64)| Span {
            name: format!("p{from_ms}"),
            from_ms,
            to_ms,
        };
        Spans {
            spans: bounds.iter().map(span).collect(),
            ..Spans::default()
        }
    }

    #[test]
    fn rows_stand_in_the_nearest_partition() {
        let gap = spans(&[(100, 200), (200, 300), (400, 500)]);
        for (at, place) in [
            (0, 100),
            (100, 100),
            (199, 199),
            (200, 200),
            (299, 299),
            (300, 299),
            (349, 299),
            (350, 400),
            (399, 400),
            (400, 400),
            (500, 499),
            (u64::MAX, 499),
        ] {
            assert_eq!(gap.place(at), Some(place), "{at}");
            assert_eq!(gap.has(at), at == place, "{at}");
        }
        assert_eq!(spans(&[]).place(7), None);
        assert_eq!(spans(&[(0, u64::MAX)]).place(7), Some(7));
        let default = Spans {
            has_default: true,
            ..spans(&[])
        };
        assert_eq!(default.place(7), Some(7));
        assert!(default.has(7));
    }

    #[test]
    fn days_that_others_cover_are_not_made() {
        let day = Day(20_000);
        let (from, to) = (day.start_ms(), day.after(1).start_ms());
        assert!(spans(&[(from, to)]).touches(day));
        assert!(spans(&[(from + 1, from + 2)]).touches(day));
        assert!(spans(&[(0, u64::MAX)]).touches(day));
        assert!(!spans(&[(to, to + 1), (from - 1, from)]).touches(day));
    }
}
