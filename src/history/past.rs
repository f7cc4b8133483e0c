//! The past, as it is asked for: from Postgres where there is one, from the spools of all nodes, and from both while
//! events are on their way from one to the other.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use ampora_raft::consensus::Consensus;
use ampora_raft::ids::{BodyHash, InstanceUid, NodeId};
use ampora_storage::history::query::{Part, Query};
use ampora_storage::history::spool::Spool;
use ampora_storage::postgres::read;
use futures_util::future::join_all;

use super::postgres::External;
use crate::api::backend::{FleetThen, History, HistoryError};
use crate::clock::SystemClock;
use crate::peer::Peers;
use crate::telemetry::names;

/// How long other nodes are waited for that keep all there is of what happened to their agents.
const OTHERS_WITHIN: Duration = Duration::from_secs(2);

/// How long they are waited for where they keep the last moments alone.
const MOMENTS_WITHIN: Duration = Duration::from_millis(300);

/// How long Postgres is waited for.
const POSTGRES_WITHIN: Duration = Duration::from_secs(12);

/// Who keeps the past.
#[derive(Debug)]
pub struct Past {
    /// This node.
    pub node: NodeId,
    /// What it keeps.
    pub spool: Arc<Spool>,
    /// Who else there is.
    pub consensus: Consensus,
    /// How they are asked.
    pub others: Peers,
    /// Postgres, where there is one.
    pub external: Option<External>,
    /// Why there is none although it is asked for.
    pub broken: Option<String>,
}

impl Past {
    /// Why history does not go where it should; nothing while it does.
    pub fn trouble(&self) -> Option<String> {
        let external = self.external.as_ref();
        let trouble = external.and_then(External::trouble);
        trouble.or_else(|| self.broken.clone())
    }

    /// A page of what this node itself keeps. A disk is read.
    ///
    /// # Errors
    /// Fails when the spool does.
    pub async fn here(&self, query: Query) -> io::Result<Part> {
        let spool = self.spool.clone();
        let begun = SystemClock.micros();
        let read = tokio::task::spawn_blocking(move || spool.query(&query)).await;
        metrics::histogram!(names::DB_QUERY_DURATION, "query" => "history_page", "target" => "embedded")
            .record(SystemClock.elapsed(begun).as_secs_f64());
        read.map_err(io::Error::other)?
    }

    /// A page of what all keep.
    ///
    /// # Errors
    /// When nobody at all answers.
    pub async fn page(&self, query: Query) -> Result<History, HistoryError> {
        let limit = usize::from(query.limit);
        let (here, there, kept) = tokio::join!(
            self.here(query.clone()),
            self.elsewhere(&query),
            self.in_postgres(&query)
        );
        let mut parts = Vec::new();
        let mut trouble = None;
        let mut complete = true;
        match kept {
            None => {}
            Some(Ok((part, is_fresh))) => {
                parts.push(part);
                complete = is_fresh;
            }
            Some(Err(reason)) => trouble = Some(reason),
        }
        match here {
            Ok(part) => parts.push(part),
            Err(error) => {
                tracing::warn!(%error, "the spool cannot be read");
                trouble = Some(format!("the history of this node cannot be read: {error}"));
            }
        }
        if let (true, Some(reason)) = (parts.is_empty(), &trouble) {
            return Err(HistoryError::Away(reason.clone()));
        }
        complete &= trouble.is_none();
        for part in there {
            match part {
                Some(part) => parts.push(part),
                None => complete = false,
            }
        }
        Ok(History {
            page: Part::merge(parts, limit),
            complete,
        })
    }

    /// A document that events name: of this node's, or of those in Postgres.
    pub async fn document(&self, hash: BodyHash) -> Option<String> {
        let spool = self.spool.clone();
        let here = tokio::task::spawn_blocking(move || spool.document(hash)).await;
        if let Ok(Ok(Some(document))) = here {
            return Some(document.body.as_ref().to_owned());
        }
        let external = self.external.as_ref()?;
        let asked = async {
            let mut reader = external.servers.reader().await?;
            read::document(&mut reader.connection, &hash).await
        };
        let answered = within(asked).await;
        answered
            .inspect_err(|reason| tracing::debug!(reason, "a document was not had"))
            .ok()?
    }

    /// What the other nodes keep; nothing of those that were not heard.
    async fn elsewhere(&self, query: &Query) -> Vec<Option<Part>> {
        let view = self.consensus.view();
        let within = if self.external.is_some() {
            MOMENTS_WITHIN
        } else {
            OTHERS_WITHIN
        };
        let others = view.fleet.peers().map(|peer| peer.id);
        let others = others.filter(|node| *node != self.node);
        let asked = others.map(|node| async move {
            let asked = self.others.history(node, query.clone(), within).await;
            asked
                .inspect_err(|error| {
                    tracing::debug!(peer.id = node.0, %error, "a node does not tell its history");
                })
                .ok()
        });
        join_all(asked).await
    }

    /// What Postgres keeps, and whether whoever answered has all of it; `None` where nobody asked for one.
    async fn in_postgres(&self, query: &Query) -> Option<Result<(Part, bool), String>> {
        if let Some(reason) = &self.broken {
            return Some(Err(reason.clone()));
        }
        let external = self.external.as_ref()?;
        let limit = usize::from(query.limit);
        let asked = Query {
            limit: query.limit.saturating_add(1),
            ..query.clone()
        };
        let asked = async {
            let mut reader = external.servers.reader().await?;
            let items = read::history(&mut reader.connection, &asked).await?;
            Ok((items, reader.is_fresh))
        };
        let answered = within(asked).await;
        Some(answered.map(|(items, is_fresh)| (Part::of(items, limit), is_fresh)))
    }

    /// A page of agents as they were, and the one behind which the next page begins.
    ///
    /// # Errors
    /// When Postgres does not answer, or there is none.
    pub async fn fleet_at(
        &self,
        at_ms: u64,
        after: Option<InstanceUid>,
        limit: u16,
    ) -> Result<FleetThen, HistoryError> {
        let Some(external) = &self.external else {
            let text = "the fleet of a past time is told from Postgres (`postgres.url`)";
            return Err(HistoryError::Unsupported(text.to_owned()));
        };
        let asked = async {
            let mut reader = external.servers.reader().await?;
            let found = read::fleet_at(&mut reader.connection, at_ms, after, limit).await?;
            Ok((found, reader.is_fresh))
        };
        let ((agents, next), complete) = within(asked).await.map_err(HistoryError::Away)?;
        Ok(FleetThen {
            agents,
            next,
            complete,
        })
    }
}

/// An answer of Postgres, or why there is none.
async fn within<T>(
    asked: impl Future<Output = Result<T, ampora_storage::postgres::Error>>,
) -> Result<T, String> {
    match tokio::time::timeout(POSTGRES_WITHIN, asked).await {
        Ok(answered) => answered.map_err(|error| error.reason()),
        Err(_elapsed) => Err(format!(
            "Postgres has not answered within {} s",
            POSTGRES_WITHIN.as_secs()
        )),
    }
}
