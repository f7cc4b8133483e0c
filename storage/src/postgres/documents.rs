//! Bodies that events name: written before the events, in a statement of their own, because a document without an
//! event does no harm and goes with its day.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::types::Type;

use super::days;
use super::jsonb::Jsonb;
use super::rows::{Parameter, get};
use super::storable::{escaped, storable};
use super::{Connection, Error, Purpose};
use crate::history::event::{Document, Spooled};
use ampora_raft::ids::BodyHash;

/// Which of them are there.
const KNOWN: &str = "SELECT hash FROM history_documents WHERE hash = ANY ($1)";

/// Newer events name them: they stay longer. At most once a day each, in one order for all who write.
const TOUCH: &str = "\
UPDATE history_documents AS d SET last_at = x.at
FROM (SELECT d.hash, x.at FROM history_documents AS d
      JOIN unnest($1, $2) AS x (hash, at) USING (hash)
      WHERE d.last_at < x.at - interval '1 day' ORDER BY d.hash FOR UPDATE OF d) AS x
WHERE d.hash = x.hash";

const INSERT: &str = "\
INSERT INTO history_documents (hash, body, last_at)
SELECT * FROM unnest($1, $2, $3) AS x ORDER BY 1
ON CONFLICT (hash) DO NOTHING";

/// Writes what is missing of the documents and notes when each was named last.
pub(super) async fn put(
    connection: &mut Connection,
    events: &[Spooled],
    documents: &[Document],
) -> Result<(), Error> {
    let mut named = BTreeMap::<BodyHash, u64>::new();
    for event in events.iter().map(|spooled| &spooled.event) {
        if let Some(hash) = event.document {
            let at = named.entry(hash).or_default();
            *at = event.at_ms.max(*at);
        }
    }
    let newest_ms = events.iter().map(|spooled| spooled.event.at_ms).max();
    for document in documents {
        let named = named.entry(document.hash);
        named.or_insert(newest_ms.unwrap_or_default());
    }
    if named.is_empty() {
        return Ok(());
    }
    let hashes: Vec<&[u8]> = named.keys().map(|hash| &hash.0[..]).collect();
    let times: Vec<_> = named.values().map(|at| days::instant(*at)).collect();
    let tx = connection.begin(Purpose::Write).await?;
    let asked: [Parameter<'_>; 1] = [(&hashes, Type::BYTEA_ARRAY)];
    let rows = tx.query("documents_known", KNOWN, &asked).await?;
    let known = rows.iter().map(|row| get(row, 0));
    let known = known.collect::<Result<BTreeSet<Vec<u8>>, _>>()?;
    if !known.is_empty() {
        let touched: [Parameter<'_>; 2] = [
            (&hashes, Type::BYTEA_ARRAY),
            (&times, Type::TIMESTAMPTZ_ARRAY),
        ];
        tx.execute("documents_named", TOUCH, &touched).await?;
    }
    tx.commit().await?;
    let missing: Vec<&Document> = documents
        .iter()
        .filter(|document| !known.contains(&document.hash.0[..]))
        .collect();
    insert_all(connection, &missing, &named).await
}

async fn insert_all(
    connection: &mut Connection,
    documents: &[&Document],
    named: &BTreeMap<BodyHash, u64>,
) -> Result<(), Error> {
    let rows = documents
        .iter()
        .map(|document| (*document, storable(&document.body)));
    let rows: Vec<_> = rows.collect();
    match insert(connection, &rows, named).await {
        Err(error) if error.is_about_data() => {}
        done => return done,
    }
    for (document, body) in rows {
        match insert(connection, &[(document, body)], named).await {
            Err(error) if error.is_about_data() => {
                let body = escaped(&document.body, None).into();
                insert(connection, &[(document, body)], named).await?;
            }
            done => done?,
        }
    }
    Ok(())
}

async fn insert(
    connection: &mut Connection,
    rows: &[(&Document, std::borrow::Cow<'_, str>)],
    named: &BTreeMap<BodyHash, u64>,
) -> Result<(), Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut hashes: Vec<&[u8]> = Vec::with_capacity(rows.len());
    let mut bodies = Vec::with_capacity(rows.len());
    let mut times = Vec::with_capacity(rows.len());
    for (document, body) in rows {
        hashes.push(&document.hash.0);
        bodies.push(Jsonb(body));
        let at_ms = named.get(&document.hash).copied().unwrap_or_default();
        times.push(days::instant(at_ms));
    }
    let parameters: [Parameter<'_>; 3] = [
        (&hashes, Type::BYTEA_ARRAY),
        (&bodies, Type::JSONB_ARRAY),
        (&times, Type::TIMESTAMPTZ_ARRAY),
    ];
    let tx = connection.begin(Purpose::Write).await?;
    tx.execute("documents", INSERT, &parameters).await?;
    tx.commit().await
}
