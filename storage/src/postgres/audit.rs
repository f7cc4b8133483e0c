//! Audit records in `audit_events`, once each by their hash.

use std::sync::Arc;
use std::time::SystemTime;

use ampora_raft::records::AuditRecord;
use serde_json::Value;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::jsonb::Jsonb;
use super::lease::Held;
use super::refused::bigint;
use super::rows::{Columns, Form, Move, Parameter, get, put};
use super::storable::restored;
use super::{Connection, Error, Purpose, cursor, days};
use crate::history::query::PAGE_MAX;

/// Writes the records of a lineage above its cursor, which are in order, and moves it. Answers where it stands.
///
/// # Errors
/// Those of Postgres, [`Error::StaleFence`] and [`Error::SetBack`]; some of the records may be there then, the cursor does
/// not say so.
pub async fn write_audit(
    connection: &mut Connection,
    held: Held,
    way: Move,
    records: &[Arc<AuditRecord>],
) -> Result<u64, Error> {
    let lineage = held.lineage;
    let key = cursor::audit_key(lineage);
    let tx = connection.begin(Purpose::Read).await?;
    let done = cursor::read(&tx, &key).await?;
    drop(tx);
    let first = records.partition_point(|record| record.seq <= done);
    let rows: Vec<_> = records[first..]
        .iter()
        .map(|it| (lineage, Arc::clone(it)))
        .collect();
    if done >= way.upto {
        return Ok(done);
    }
    put::<Audit>(connection, held, (&key, way), &rows).await?;
    Ok(way.upto)
}

/// The columns of the table.
#[derive(Default)]
struct Audit {
    hashes: Vec<Vec<u8>>,
    lineages: Vec<uuid::Uuid>,
    numbers: [Vec<i64>; 3],
    at: Vec<SystemTime>,
    texts: [Vec<String>; 5],
    values: [Vec<Jsonb<String>>; 2],
    previous: Vec<Vec<u8>>,
}

impl Columns for Audit {
    type Row = (u128, Arc<AuditRecord>);

    const NAME: &'static str = "audit";

    const INSERT: &'static str = "\
INSERT INTO audit_events (hash, lineage, seq, log_index, deadline_ms, at, actor, from_address, request_id, action,
                          target, before, after, previous)
SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) AS x ORDER BY 1
ON CONFLICT (hash) DO NOTHING";

    fn of(rows: &[Self::Row], form: Form) -> Result<Self, Error> {
        let mut all = Self::default();
        for (lineage, it) in rows {
            all.hashes.push(it.hash.to_vec());
            all.lineages.push(uuid::Uuid::from_u128(*lineage));
            for (column, number) in all
                .numbers
                .iter_mut()
                .zip([it.seq, it.index, it.deadline_ms])
            {
                column.push(bigint(number)?);
            }
            all.at.push(days::instant(it.at_ms));
            let texts = [&it.actor, &it.from, &it.request_id, &it.action, &it.target];
            for (column, text) in all.texts.iter_mut().zip(texts) {
                column.push(form.text(text).into_owned());
            }
            for (column, json) in all.values.iter_mut().zip([&it.before, &it.after]) {
                column.push(Jsonb(form.json(json).into_owned()));
            }
            all.previous.push(it.previous.to_vec());
        }
        Ok(all)
    }

    fn parameters(&self) -> Vec<Parameter<'_>> {
        let mut all: Vec<Parameter<'_>> = vec![
            (&self.hashes, Type::BYTEA_ARRAY),
            (&self.lineages, Type::UUID_ARRAY),
        ];
        for column in &self.numbers {
            all.push((column, Type::INT8_ARRAY));
        }
        all.push((&self.at, Type::TIMESTAMPTZ_ARRAY));
        for column in &self.texts {
            all.push((column, Type::TEXT_ARRAY));
        }
        for column in &self.values {
            all.push((column, Type::JSONB_ARRAY));
        }
        all.push((&self.previous, Type::BYTEA_ARRAY));
        all
    }
}

/// The place of a record among those of all lineages: newest first.
pub type AuditPosition = (u64, u128, u64);

/// A page of the audit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditQuery {
    /// The name of a token, exactly.
    pub actor: Option<String>,
    /// What was done, exactly.
    pub action: Option<String>,
    /// To what, exactly.
    pub target: Option<String>,
    /// Not before this wall time.
    pub since_ms: Option<u64>,
    /// Before this wall time.
    pub until_ms: Option<u64>,
    /// Strictly below this place: time, lineage and number of the last record of the page before.
    pub below: Option<AuditPosition>,
    /// Records at most, up to [`PAGE_MAX`].
    pub limit: u16,
}

const PAGE: &str = "\
SELECT lineage, seq, log_index, deadline_ms, at, actor, from_address, request_id, action, target, before, after,
       previous, hash
FROM audit_events
WHERE at >= $1 AND at < $2 AND (at, lineage, seq) < ($3, $4, $5)
  AND ($6::text IS NULL OR actor = $6) AND ($7::text IS NULL OR action = $7) AND ($8::text IS NULL OR target = $8)
ORDER BY at DESC, lineage DESC, seq DESC LIMIT $9";

/// Records with their lineage, newest first. Their JSON is canonical again, so that their hashes can be computed.
///
/// # Errors
/// Those of Postgres.
pub async fn audit(
    connection: &mut Connection,
    query: &AuditQuery,
) -> Result<Vec<(u128, AuditRecord)>, Error> {
    let (at_ms, lineage, seq) = query.below.unwrap_or((u64::MAX, u128::MAX, u64::MAX));
    let since = days::instant(query.since_ms.unwrap_or_default());
    let until = days::instant(query.until_ms.unwrap_or(u64::MAX));
    let (at, lineage) = (days::instant(at_ms), uuid::Uuid::from_u128(lineage));
    let seq = bigint(seq).unwrap_or(i64::MAX);
    let limit = i64::from(query.limit).min(PAGE_MAX as i64);
    let parameters: [Parameter<'_>; 9] = [
        (&since, Type::TIMESTAMPTZ),
        (&until, Type::TIMESTAMPTZ),
        (&at, Type::TIMESTAMPTZ),
        (&lineage, Type::UUID),
        (&seq, Type::INT8),
        (&query.actor, Type::TEXT),
        (&query.action, Type::TEXT),
        (&query.target, Type::TEXT),
        (&limit, Type::INT8),
    ];
    let tx = connection.begin(Purpose::Read).await?;
    let rows = tx.query("audit_page", PAGE, &parameters).await?;
    rows.iter().map(record).collect()
}

fn record(row: &Row) -> Result<(u128, AuditRecord), Error> {
    let number = |at: usize| get::<i64>(row, at).map(i64::cast_unsigned);
    let text = |at: usize| get::<&str>(row, at).map(Into::into);
    let json = |at: usize| get::<Jsonb<String>>(row, at).map(|it| canonical(it.0));
    let hash = |at: usize| -> Result<[u8; 32], Error> {
        let bytes: &[u8] = get(row, at)?;
        Ok(bytes.try_into().unwrap_or_default())
    };
    let lineage: uuid::Uuid = get(row, 0)?;
    let record = AuditRecord {
        seq: number(1)?,
        index: number(2)?,
        deadline_ms: number(3)?,
        at_ms: days::millis(get(row, 4)?),
        actor: text(5)?,
        from: text(6)?,
        request_id: text(7)?,
        action: text(8)?,
        target: text(9)?,
        before: json(10)?.into(),
        after: json(11)?.into(),
        previous: hash(12)?,
        hash: hash(13)?,
    };
    Ok((lineage.as_u128(), record))
}

/// JSON as the fleet writes it into records: keys sorted, no space.
fn canonical(row: String) -> String {
    let json = restored(row);
    serde_json::from_str::<Value>(&json).map_or(json, |value| {
        let mut text = String::new();
        write_canonical(&value, &mut text);
        text
    })
}

fn write_canonical(value: &Value, text: &mut String) {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            text.push_str(&value.to_string());
        }
        Value::Array(items) => {
            text.push('[');
            for (at, item) in items.iter().enumerate() {
                text.push_str(if at == 0 { "" } else { "," });
                write_canonical(item, text);
            }
            text.push(']');
        }
        Value::Object(fields) => {
            let mut sorted: Vec<_> = fields.iter().collect();
            sorted.sort_by_key(|(key, _)| *key);
            text.push('{');
            for (at, (key, field)) in sorted.into_iter().enumerate() {
                text.push_str(if at == 0 { "" } else { "," });
                text.push_str(&Value::from(key.as_str()).to_string());
                text.push(':');
                write_canonical(field, text);
            }
            text.push('}');
        }
    }
}
