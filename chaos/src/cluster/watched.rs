//! The rows of a node with somebody who looks on: every entry that is applied passes here, in order.

use std::io;
use std::sync::Arc;

use ampora_raft::consensus::{AppliedState, Change, Loaded, RowStore};
use ampora_raft::ids::NodeId;
use ampora_raft::rows::{Row, RowKey};
use ampora_storage::rows::Rows;
use futures_util::future::BoxFuture;

use crate::invariants::Oracle;

/// The rows, and who looks on.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) node: NodeId,
    pub(super) rows: Arc<Rows>,
    pub(super) oracle: Oracle,
}

impl RowStore for Watched {
    fn load(&self) -> io::Result<Loaded> {
        self.rows.load()
    }

    fn stage(&self, change: Change) {
        self.oracle.applied(self.node, &change);
        self.rows.stage(change);
    }

    fn overloaded(&self) -> bool {
        self.rows.overloaded()
    }

    fn refusal(&self) -> Option<String> {
        self.rows.refusal()
    }

    fn durable_index(&self) -> u64 {
        self.rows.durable_index()
    }

    fn wait_durable(&self, index: u64) -> BoxFuture<'static, io::Result<()>> {
        self.rows.wait_durable(index)
    }

    fn read(&self, key: &RowKey) -> io::Result<Option<Row>> {
        self.rows.read(key)
    }

    fn install(&self, state: &AppliedState, rows: &[(RowKey, Row)]) -> io::Result<()> {
        self.rows.install(state, rows)
    }
}
