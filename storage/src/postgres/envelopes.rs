//! Finished deliveries in `dispatch_envelopes`, once each by dispatch, agent and time of queueing.

use std::time::SystemTime;

use ampora_raft::ids::{ConfigHash, DispatchId, Fence, InstanceUid, NodeId};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::lease::Held;
use super::refused::bigint;
use super::rows::{Columns, Form, Move, Parameter, get, put};
use super::{Connection, Error, Purpose, cursor, days};
use crate::history::query::PAGE_MAX;

/// A delivery that has reached its end. Times are wall time in milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The dispatch.
    pub dispatch: DispatchId,
    /// The agent.
    pub agent: InstanceUid,
    /// The word of what was asked, such as `restart`.
    pub action: String,
    /// The name of the token that asked.
    pub created_by: String,
    /// The word of its end, such as `succeeded`.
    pub state: String,
    /// Why it failed.
    pub error: Option<String>,
    /// Since when it waited.
    pub queued_ms: u64,
    /// When it was sent.
    pub sent_ms: Option<u64>,
    /// When it ended.
    pub finished_ms: u64,
    /// Who sent it, under which ownership.
    pub sent_by: Option<(NodeId, Fence)>,
    /// The configuration that was pushed.
    pub config_hash: Option<ConfigHash>,
}

/// Writes finished deliveries of a lineage and moves its cursor, whose meaning is the caller's.
///
/// # Errors
/// Those of Postgres, [`Error::StaleFence`] and [`Error::SetBack`]; some of the rows may be there then, the cursor does not say so.
pub async fn write_envelopes(
    connection: &mut Connection,
    held: Held,
    way: Move,
    envelopes: &[Envelope],
) -> Result<(), Error> {
    let lineage = held.lineage;
    let rows: Vec<_> = envelopes.iter().map(|it| (lineage, it.clone())).collect();
    let key = cursor::dispatch_key(lineage);
    put::<Envelopes>(connection, held, (&key, way), &rows).await
}

/// The columns of the table.
#[derive(Default)]
struct Envelopes {
    dispatches: Vec<i64>,
    agents: Vec<InstanceUid>,
    queued: Vec<SystemTime>,
    lineages: Vec<uuid::Uuid>,
    texts: [Vec<String>; 3],
    errors: Vec<Option<String>>,
    sent: Vec<Option<SystemTime>>,
    finished: Vec<SystemTime>,
    nodes: Vec<Option<i64>>,
    fences: Vec<Option<i64>>,
    hashes: Vec<Option<Vec<u8>>>,
}

impl Columns for Envelopes {
    type Row = (u128, Envelope);

    const NAME: &'static str = "envelopes";

    const INSERT: &'static str = "\
INSERT INTO dispatch_envelopes (dispatch_id, instance_uid, queued_at, lineage, action, created_by, state, error,
                                sent_at, finished_at, node_id, fence, config_hash)
SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) AS x ORDER BY 1, 2, 3
ON CONFLICT (dispatch_id, instance_uid, queued_at) DO NOTHING";

    fn of(rows: &[Self::Row], form: Form) -> Result<Self, Error> {
        let mut all = Self::default();
        for (lineage, it) in rows {
            all.dispatches.push(bigint(it.dispatch.0)?);
            all.agents.push(it.agent);
            all.queued.push(days::instant(it.queued_ms));
            all.lineages.push(uuid::Uuid::from_u128(*lineage));
            let texts = [&it.action, &it.created_by, &it.state];
            for (column, text) in all.texts.iter_mut().zip(texts) {
                column.push(form.text(text).into_owned());
            }
            all.errors
                .push(it.error.as_ref().map(|text| form.text(text).into_owned()));
            all.sent.push(it.sent_ms.map(days::instant));
            all.finished.push(days::instant(it.finished_ms));
            all.nodes
                .push(it.sent_by.map(|(node, _)| node.0.cast_signed()));
            let fence = it.sent_by.map(|(_, fence)| bigint(fence.0));
            all.fences.push(fence.transpose()?);
            all.hashes.push(it.config_hash.map(|hash| hash.0.to_vec()));
        }
        Ok(all)
    }

    fn parameters(&self) -> Vec<Parameter<'_>> {
        let [action, created_by, state] = &self.texts;
        vec![
            (&self.dispatches, Type::INT8_ARRAY),
            (&self.agents, Type::UUID_ARRAY),
            (&self.queued, Type::TIMESTAMPTZ_ARRAY),
            (&self.lineages, Type::UUID_ARRAY),
            (action, Type::TEXT_ARRAY),
            (created_by, Type::TEXT_ARRAY),
            (state, Type::TEXT_ARRAY),
            (&self.errors, Type::TEXT_ARRAY),
            (&self.sent, Type::TIMESTAMPTZ_ARRAY),
            (&self.finished, Type::TIMESTAMPTZ_ARRAY),
            (&self.nodes, Type::INT8_ARRAY),
            (&self.fences, Type::INT8_ARRAY),
            (&self.hashes, Type::BYTEA_ARRAY),
        ]
    }
}

const PAGE: &str = "\
SELECT dispatch_id, instance_uid, action, created_by, state, error, queued_at, sent_at, finished_at, node_id, fence,
       config_hash
FROM dispatch_envelopes
WHERE instance_uid = $1 AND finished_at <= $2 AND (finished_at, dispatch_id) < ($2, $3)
ORDER BY finished_at DESC, dispatch_id DESC LIMIT $4";

/// Finished deliveries to one agent, newest first, strictly below the end and the dispatch of the last of the page before.
///
/// # Errors
/// Those of Postgres.
pub async fn envelopes(
    connection: &mut Connection,
    agent: InstanceUid,
    below: Option<(u64, DispatchId)>,
    limit: u16,
) -> Result<Vec<Envelope>, Error> {
    let (finished_ms, dispatch) = below.unwrap_or((u64::MAX, DispatchId(u64::MAX)));
    let finished = days::instant(finished_ms);
    let dispatch = bigint(dispatch.0).unwrap_or(i64::MAX);
    let limit = i64::from(limit).min(PAGE_MAX as i64);
    let parameters: [Parameter<'_>; 4] = [
        (&agent, Type::UUID),
        (&finished, Type::TIMESTAMPTZ),
        (&dispatch, Type::INT8),
        (&limit, Type::INT8),
    ];
    let tx = connection.begin(Purpose::Read).await?;
    let rows = tx.query("envelopes_page", PAGE, &parameters).await?;
    rows.iter().map(envelope).collect()
}

fn envelope(row: &Row) -> Result<Envelope, Error> {
    let number = |at: usize| get::<i64>(row, at).map(i64::cast_unsigned);
    let node: Option<i64> = get(row, 9)?;
    let fence: Option<i64> = get(row, 10)?;
    let of = |node: i64, fence: i64| (NodeId(node.cast_unsigned()), Fence(fence.cast_unsigned()));
    let hash: Option<&[u8]> = get(row, 11)?;
    let hash = hash.and_then(|bytes| bytes.try_into().ok());
    Ok(Envelope {
        dispatch: DispatchId(number(0)?),
        agent: get(row, 1)?,
        action: get(row, 2)?,
        created_by: get(row, 3)?,
        state: get(row, 4)?,
        error: get(row, 5)?,
        queued_ms: days::millis(get(row, 6)?),
        sent_ms: get::<Option<_>>(row, 7)?.map(days::millis),
        finished_ms: days::millis(get(row, 8)?),
        sent_by: node.zip(fence).map(|(node, fence)| of(node, fence)),
        config_hash: hash.map(ConfigHash),
    })
}
