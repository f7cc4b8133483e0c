//! `agent_latest`: the newest event of each kind of every agent, whatever the order in which nodes write.
//!
//! Newest is by ownership, then time, then number, then stream: an event that was said under a later ownership is
//! newer whatever the wall clocks of the two nodes said. Ownerships are counted from the founding of a cluster on, so
//! before them comes its number: a cluster that begins anew tells newer things than the one before it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use tokio_postgres::types::Type;

use super::jsonb::Jsonb;
use super::repair::Bodies;
use super::rows::Parameter;
use super::{Connection, Error, Purpose, cursor, days};
use crate::history::event::{EventKind, Spooled};
use crate::history::export::Batch;
use ampora_raft::ids::{Fence, InstanceUid};

/// Merges kind by kind. `was` is the row that is there, locked until the end, in the order of the key for all who write.
const UPSERT: &str = "\
INSERT INTO agent_latest AS was (instance_uid, at, node_id, kind, state, document)
SELECT * FROM unnest($1, $2, $3, $4, $5, $6) AS x ORDER BY 1
ON CONFLICT (instance_uid) DO UPDATE SET (at, node_id, kind, state, document) = (
    SELECT CASE WHEN head THEN excluded.at ELSE was.at END,
           CASE WHEN head THEN excluded.node_id ELSE was.node_id END,
           CASE WHEN head THEN excluded.kind ELSE was.kind END,
           was.state || (excluded.state - stale),
           CASE WHEN excluded.state ? 'effective_config' AND NOT 'effective_config' = ANY (stale)
                THEN excluded.document ELSE was.document END
    FROM (SELECT was.state #> ARRAY[was.kind, 'order']
                     < excluded.state #> ARRAY[excluded.kind, 'order'] AS head,
                 ARRAY (SELECT n.key FROM jsonb_each(excluded.state) AS n
                        WHERE was.state #> ARRAY[n.key, 'order'] >= n.value -> 'order') AS stale
         ) AS compared)";

/// The order of events of one agent in one batch; see the head of this file.
type Order = (Fence, u64, u64);

fn order(spooled: &Spooled) -> Order {
    (spooled.event.fence, spooled.event.at_ms, spooled.seq)
}

/// Writes the newest of each kind among the events of a batch that are above the cursor. Answers where the cursor stands
/// afterwards. `lineage` is the number of the cluster: [`super::lineage::number`].
///
/// # Errors
/// Those of Postgres; nothing was written then, or all.
pub async fn write_latest(
    connection: &mut Connection,
    batch: &Batch<'_>,
    lineage: u64,
) -> Result<u64, Error> {
    let mut bodies = Bodies::of(batch.events);
    loop {
        match attempt(connection, batch, &bodies, lineage).await {
            Ok(seq) => return Ok(seq),
            Err(error) => bodies.repair(connection, error).await?,
        }
    }
}

async fn attempt(
    connection: &mut Connection,
    batch: &Batch<'_>,
    bodies: &Bodies<'_>,
    lineage: u64,
) -> Result<u64, Error> {
    let key = cursor::latest_key(batch.stream.id);
    let tx = connection.begin(Purpose::Write).await?;
    let done = cursor::lock(&tx, &key).await?;
    if cursor::leaves_nothing(done, batch) {
        return Ok(done);
    }
    let mut agents = BTreeMap::<InstanceUid, BTreeMap<EventKind, usize>>::new();
    for (at, spooled) in batch.events.iter().enumerate() {
        if spooled.seq <= done || spooled.seq > batch.upto {
            continue;
        }
        let kinds = agents.entry(spooled.event.agent).or_default();
        let newest = kinds.entry(spooled.event.kind).or_insert(at);
        if order(&batch.events[*newest]) < order(spooled) {
            *newest = at;
        }
    }
    if !agents.is_empty() {
        let rows = Rows::of(batch, bodies, lineage, &agents);
        let parameters = rows.parameters();
        tx.execute("latest", UPSERT, &parameters).await?;
    }
    cursor::advance(&tx, &key, batch.upto, Some(lineage)).await?;
    tx.commit().await?;
    Ok(batch.upto)
}

/// The columns of the rows.
#[derive(Default)]
struct Rows<'a> {
    agents: Vec<InstanceUid>,
    at: Vec<std::time::SystemTime>,
    nodes: Vec<i64>,
    kinds: Vec<&'static str>,
    states: Vec<Jsonb<String>>,
    documents: Vec<Option<&'a [u8]>>,
}

impl<'a> Rows<'a> {
    fn of(
        batch: &Batch<'a>,
        bodies: &Bodies<'_>,
        lineage: u64,
        agents: &BTreeMap<InstanceUid, BTreeMap<EventKind, usize>>,
    ) -> Self {
        let (events, node) = (batch.events, batch.stream.node);
        let mut rows = Self::default();
        for (agent, kinds) in agents {
            let newest = kinds.values().max_by_key(|at| order(&events[**at]));
            let Some(newest) = newest.map(|at| &events[*at].event) else {
                continue;
            };
            let configuration = kinds.get(&EventKind::EffectiveConfig);
            let document = configuration.and_then(|at| events[*at].event.document.as_ref());
            rows.agents.push(*agent);
            rows.at.push(days::instant(newest.at_ms));
            rows.nodes.push(node.0.cast_signed());
            rows.kinds.push(newest.kind.word());
            rows.states
                .push(Jsonb(state(batch, bodies, lineage, kinds)));
            rows.documents.push(document.map(|hash| &hash.0[..]));
        }
        rows
    }

    fn parameters(&self) -> [Parameter<'_>; 6] {
        [
            (&self.agents, Type::UUID_ARRAY),
            (&self.at, Type::TIMESTAMPTZ_ARRAY),
            (&self.nodes, Type::INT8_ARRAY),
            (&self.kinds, Type::TEXT_ARRAY),
            (&self.states, Type::JSONB_ARRAY),
            (&self.documents, Type::BYTEA_ARRAY),
        ]
    }
}

fn state(
    batch: &Batch<'_>,
    bodies: &Bodies<'_>,
    lineage: u64,
    kinds: &BTreeMap<EventKind, usize>,
) -> String {
    let mut state = String::from("{");
    for (kind, at) in kinds {
        let (spooled, stream) = (&batch.events[*at], batch.stream);
        let event = &spooled.event;
        let comma = if state.len() > 1 { "," } else { "" };
        let _ = write!(
            state,
            "{comma}\"{}\":{{\"at\":\"{}\",\"node\":{},\"order\":[{},{},{},{},\"{}\"],\"body\":{}}}",
            kind.word(),
            days::text(event.at_ms),
            stream.node.0.cast_signed(),
            lineage,
            event.fence.0,
            event.at_ms,
            spooled.seq,
            stream.id,
            bodies.body(*at, event.at_ms),
        );
    }
    state.push('}');
    state
}
