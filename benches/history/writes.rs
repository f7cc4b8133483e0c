//! Three ways of writing, in turns, into the same table.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use ampora_raft::ids::{InstanceUid, NodeId};
use ampora_storage::history::event::{EventKind, Spooled, StreamId};
use ampora_storage::history::export::Batch;
use ampora_storage::history::spool::Stream;
use ampora_storage::postgres::Connection;
use ampora_storage::postgres::days::DAY_MS;
use ampora_storage::postgres::export::write_events;
use ampora_storage::postgres::latest::write_latest;
use serde_json::{Value, json};
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{Json, ToSql, Type};
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

use crate::{Arguments, crowd, now_ms, start};

/// Events of a batch, and batches after which the newest states are written: those of the export.
const BATCH: u64 = 10_000;
const BATCHES: u64 = 8;

/// Single inserts of a turn.
const SINGLE: u64 = 2_000;

/// Days that are kept.
const KEPT_DAYS: u64 = 30;

/// When the cluster was lineages.
const LINEAGE: u64 = 1_700_000_000_000;

/// A connection beside ours.
pub(crate) async fn raw(url: &str) -> anyhow::Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    #[expect(
        clippy::disallowed_methods,
        reason = "a program of measurement, which ends with it"
    )]
    tokio::spawn(connection);
    Ok(client)
}

fn stream(number: u128) -> Stream {
    Stream {
        id: StreamId(number),
        node: NodeId(1),
    }
}

/// A turn of events of this moment.
fn turn(agents: u64, first: u64) -> anyhow::Result<Vec<Spooled>> {
    let now_ms = now_ms()?;
    let event = |n| crowd::event(first + n, agents, now_ms - BATCH * BATCHES + n);
    Ok((1..=BATCH * BATCHES).map(event).collect())
}

/// The last of each agent and kind, as the export folds them.
fn newest(events: &[Spooled]) -> Vec<Spooled> {
    let mut newest = BTreeMap::<(InstanceUid, EventKind), &Spooled>::new();
    for one in events {
        newest.insert((one.event.agent, one.event.kind), one);
    }
    let mut newest: Vec<_> = newest.into_values().cloned().collect();
    newest.sort_by_key(|one| one.seq);
    newest
}

async fn export(
    connection: &mut Connection,
    stream: Stream,
    events: &[Spooled],
    from: u64,
) -> anyhow::Result<(Duration, Duration)> {
    let begun = start();
    let mut at = from;
    for part in events.chunks(usize::try_from(BATCH)?) {
        let batch = Batch {
            stream,
            from: at,
            upto: at + part.len() as u64,
            events: part,
            documents: &[],
        };
        at = write_events(connection, &batch, KEPT_DAYS, LINEAGE).await?;
    }
    let events_took = begun.elapsed();
    let batch = Batch {
        stream,
        from,
        upto: at,
        events: &newest(events),
        documents: &[],
    };
    write_latest(connection, &batch, LINEAGE).await?;
    Ok((events_took, begun.elapsed()))
}

const TYPES: [Type; 8] = [
    Type::TIMESTAMPTZ,
    Type::UUID,
    Type::INT8,
    Type::INT8,
    Type::UUID,
    Type::TEXT,
    Type::INT8,
    Type::JSONB,
];

const COLUMNS: &str = "at, stream, seq, node_id, instance_uid, kind, fence, body";

/// Plain COPY of the same rows, a transaction a batch; the JSON is parsed before the clock runs.
async fn copy(client: &Client, stream: Stream, events: &[Spooled]) -> anyhow::Result<Duration> {
    let stream = Uuid::from_u128(stream.id.0);
    let sql = format!("COPY agent_status_history ({COLUMNS}) FROM STDIN (FORMAT binary)");
    let mut took = Duration::ZERO;
    for part in events.chunks(usize::try_from(BATCH)?) {
        let bodies = part
            .iter()
            .map(|one| serde_json::from_str(&one.event.body).map(Json));
        let bodies: Vec<Json<Value>> = bodies.collect::<Result<_, _>>()?;
        let begun = start();
        let sink = client.copy_in(&sql).await?;
        let mut writer = pin!(BinaryCopyInWriter::new(sink, &TYPES));
        for (one, body) in part.iter().zip(&bodies) {
            let at = std::time::UNIX_EPOCH + Duration::from_millis(one.event.at_ms);
            let (seq, kind) = (one.seq.cast_signed(), one.event.kind.word());
            let row: [&(dyn ToSql + Sync); 8] = [
                &at,
                &stream,
                &seq,
                &1_i64,
                &one.event.agent,
                &kind,
                &1_i64,
                body,
            ];
            writer.as_mut().write(&row).await?;
        }
        writer.finish().await?;
        took += begun.elapsed();
    }
    Ok(took)
}

/// One prepared insert for each row, each its own transaction.
async fn single(client: &Client, stream: Stream, events: &[Spooled]) -> anyhow::Result<Duration> {
    let stream = Uuid::from_u128(stream.id.0);
    let sql = format!(
        "INSERT INTO agent_status_history ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
    );
    let statement = client.prepare(&sql).await?;
    let begun = start();
    for one in events {
        let at = std::time::UNIX_EPOCH + Duration::from_millis(one.event.at_ms);
        let (seq, kind) = (one.seq.cast_signed(), one.event.kind.word());
        let body: Json<Value> = Json(serde_json::from_str(&one.event.body)?);
        let row: [&(dyn ToSql + Sync); 8] = [
            &at,
            &stream,
            &seq,
            &1_i64,
            &one.event.agent,
            &kind,
            &1_i64,
            &body,
        ];
        client.execute(&statement, &row).await?;
    }
    Ok(begun.elapsed())
}

fn per_second(events: u64, took: Duration) -> f64 {
    (events as f64 / took.as_secs_f64()).round()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Turns of all three; the first is not counted.
pub(crate) async fn compare(
    connection: &mut Connection,
    raw: &Client,
    arguments: &Arguments,
) -> anyhow::Result<Value> {
    let mut rates = [const { Vec::new() }; 4];
    for round in 0..=arguments.rounds {
        let from = round * BATCH * BATCHES;
        let events = turn(arguments.agents, from)?;
        let count = events.len() as u64;
        let (events_took, took) = export(connection, stream(1), &events, from).await?;
        let copied = copy(raw, stream(2), &events).await?;
        let few = &events[..usize::try_from(SINGLE)?];
        let inserted = single(raw, stream(3), few).await?;
        if round > 0 {
            rates[0].push(per_second(count, took));
            rates[1].push(per_second(count, events_took));
            rates[2].push(per_second(count, copied));
            rates[3].push(per_second(SINGLE, inserted));
        }
    }
    let [export, events, copy, single] = rates.map(median);
    Ok(json!({
        "export_per_second": export,
        "events_alone_per_second": events,
        "copy_per_second": copy,
        "single_per_second": single,
        "export_of_copy": export / copy,
        "export_of_single": export / single,
    }))
}

/// Fills the table up to the events that are asked for, over the days, oldest first, and the newest states.
pub(crate) async fn fill(client: &Client, arguments: &Arguments) -> anyhow::Result<Value> {
    let (count, agents) = (arguments.events, arguments.agents);
    let now_ms = now_ms()?;
    let span_ms = arguments.days * DAY_MS;
    let begun = start();
    let mut day = u64::MAX;
    let batches = count.div_ceil(BATCH);
    for batch in 0..batches {
        let at = |n: u64| now_ms - span_ms + (batch * BATCH + n) * span_ms / (batches * BATCH);
        if at(BATCH) / DAY_MS != day {
            day = at(BATCH) / DAY_MS;
            partition(client, at(0)).await?;
            partition(client, at(BATCH)).await?;
        }
        let events: Vec<_> = (0..BATCH)
            .map(|n| crowd::event(batch * BATCH + n + 1, agents, at(n)))
            .collect();
        copy(client, stream(4), &events).await?;
    }
    client.batch_execute(LATEST).await?;
    client.batch_execute("VACUUM (ANALYZE)").await?;
    Ok(json!({"seconds": begun.elapsed().as_secs()}))
}

/// The newest states of what was filled in beside the export.
const LATEST: &str = "\
INSERT INTO agent_latest (instance_uid, at, node_id, kind, state)
SELECT instance_uid, max(at), 1, 'health', jsonb_object_agg(kind, state) FROM (
    SELECT DISTINCT ON (instance_uid, kind) instance_uid, kind, at,
        jsonb_build_object('at', to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'), 'node', 1, 'body', body,
            'order', jsonb_build_array(fence, (extract(epoch FROM at) * 1000)::bigint, seq, replace(stream::text, '-', ''))) AS state
    FROM agent_status_history ORDER BY instance_uid, kind, at DESC) AS newest
GROUP BY instance_uid ON CONFLICT (instance_uid) DO UPDATE SET state = excluded.state";

async fn partition(client: &Client, at_ms: u64) -> anyhow::Result<()> {
    let day = ampora_storage::postgres::days::Day::of(at_ms);
    let (name, next) = (day.partition(), day.after(1));
    let sql = format!(
        "CREATE TABLE IF NOT EXISTS {name} PARTITION OF agent_status_history \
         FOR VALUES FROM ('{day} 00:00+00') TO ('{next} 00:00+00')"
    );
    Ok(client.batch_execute(&sql).await?)
}

/// Bytes of an event: of its row, of its places in the indexes, and of an agent's newest state.
pub(crate) async fn sizes(client: &Client) -> anyhow::Result<Value> {
    let sql = "\
SELECT (SELECT count(*) FROM agent_status_history),
       (SELECT sum(pg_table_size(inhrelid))::bigint FROM pg_inherits WHERE inhparent = 'agent_status_history'::regclass),
       (SELECT sum(pg_indexes_size(inhrelid))::bigint FROM pg_inherits WHERE inhparent = 'agent_status_history'::regclass),
       (SELECT count(*) FROM agent_latest), pg_total_relation_size('agent_latest'),
       (SELECT avg(pg_column_size(body))::bigint FROM (SELECT body FROM agent_status_history LIMIT 100000) AS few)";
    let row = client.query_one(sql, &[]).await?;
    let number = |at: usize| row.get::<_, i64>(at) as f64;
    Ok(json!({
        "events": number(0),
        "table_bytes_per_event": (number(1) / number(0)).round(),
        "index_bytes_per_event": (number(2) / number(0)).round(),
        "body_bytes": number(5),
        "latest_bytes_per_agent": (number(4) / number(3)).round(),
    }))
}
