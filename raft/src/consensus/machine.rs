//! The state machine as openraft drives it: applies entries to the fleet in memory, hands changed rows to
//! the store behind, shows the new fleet, and then answers.

use std::fmt;
use std::io;
use std::sync::Arc;

use arc_swap::ArcSwap;
use futures_util::{Stream, TryStreamExt};
use openraft::alias::{EntryOf, LogIdOf, SnapshotMetaOf, SnapshotOf, StoredMembershipOf};
use openraft::entry::RaftEntry;
use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine};
use openraft::{EntryPayload, OptionalSend};
use parking_lot::Mutex;

use super::handle::View;
use super::keep::{Kept, LogLimits};
use super::offload::offload;
use super::ports::{AppliedState, Change, EffectSink, RowStore};
use super::snapshot::SnapshotData;
use super::type_config::TypeConfig;
use crate::fleet::Fleet;
use crate::fleet::sizes::entry_bytes;
use crate::outcome::Outcome;
use crate::planted::{self, Bug};
use crate::proposal::{Entry, Proposal, SessionOp};
use crate::records::Texts;
use crate::rows::{Row, RowKey};

/// The state machine of one node.
#[derive(Clone)]
pub struct Machine {
    state: AppliedState,
    fleet: Fleet,
    store: Arc<dyn RowStore>,
    view: Arc<ArcSwap<View>>,
    sink: Arc<dyn EffectSink>,
    /// Entries up to here were in the log at start: their effects happened before.
    replayed: u64,
    kept: Arc<Mutex<Kept>>,
    texts: Texts,
}

/// What entries of consensus itself are counted with.
const PLAIN_BYTES: usize = 256;

/// A fleet whose records share the texts that repeat.
fn load(rows: impl Iterator<Item = (RowKey, Row)>, texts: &mut Texts) -> io::Result<Fleet> {
    let rows = rows.map(|(key, mut row)| {
        if let Row::Agent(record) = &mut row {
            texts.share_record(Arc::make_mut(record));
        }
        if let Row::Enrollment(enrollment) = &mut row {
            texts.share_enrollment(Arc::make_mut(enrollment));
        }
        (key, row)
    });
    Fleet::load(rows).map_err(io::Error::other)
}

/// Replaces what the store has by a snapshot; the fleet that it makes.
fn install(
    store: &dyn RowStore,
    mut texts: Texts,
    state: &AppliedState,
    snapshot: &SnapshotData,
) -> io::Result<(Fleet, Texts)> {
    let rows = snapshot.rows()?;
    let in_memory = rows.iter().filter(|(key, _)| !key.is_beside_memory());
    let fleet = load(in_memory.cloned(), &mut texts)?;
    store.install(state, &rows)?;
    Ok((fleet, texts))
}

/// Lets reports share the texts that repeat.
fn share(entry: &mut Entry, texts: &mut Texts) {
    let Proposal::NodeBatch(batch) = &mut entry.proposal else {
        return;
    };
    for op in &mut batch.ops {
        if let SessionOp::Report { update, .. } = op {
            texts.share_update(update);
        }
    }
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine")
            .field("applied", &self.state.index())
            .finish_non_exhaustive()
    }
}

impl Machine {
    /// Loads the rows of `store`. Effects of entries up to `replayed` are discarded.
    ///
    /// # Errors
    /// Fails when rows are damaged or contradict one another.
    pub fn load(
        store: Arc<dyn RowStore>,
        sink: Arc<dyn EffectSink>,
        replayed: u64,
    ) -> io::Result<Self> {
        let loaded = store.load()?;
        let mut texts = Texts::default();
        let fleet = load(loaded.rows.into_iter(), &mut texts)?;
        let view = View {
            fleet: fleet.clone(),
            applied_index: loaded.state.index(),
        };
        Ok(Self {
            state: loaded.state,
            fleet,
            store,
            view: Arc::new(ArcSwap::from_pointee(view)),
            sink,
            replayed,
            kept: Arc::new(Mutex::new(Kept::new(LogLimits::default()))),
            texts,
        })
    }

    /// Counts what is applied against these limits from here on.
    pub(super) fn keep(&mut self, limits: LogLimits) -> Arc<Mutex<Kept>> {
        self.kept = Arc::new(Mutex::new(Kept::new(limits)));
        self.kept.clone()
    }

    pub(super) fn view(&self) -> Arc<ArcSwap<View>> {
        self.view.clone()
    }

    /// Applies one entry; the answer goes out after the view shows it.
    fn apply_one(&mut self, mut entry: EntryOf<TypeConfig>) -> Outcome {
        let id = entry.log_id();
        let index = id.index;
        self.state.last = Some(id);
        let bytes = match &mut entry.payload {
            EntryPayload::Normal(entry) => {
                share(entry, &mut self.texts);
                entry_bytes(entry)
            }
            EntryPayload::Blank | EntryPayload::Membership(_) => PLAIN_BYTES,
        };
        self.kept.lock().applied(index, bytes);
        let (outcome, effects, dirty, puts) = match &entry.payload {
            EntryPayload::Blank => (Outcome::Done, Vec::new(), Vec::new(), Vec::new()),
            EntryPayload::Membership(membership) => {
                self.state.membership =
                    StoredMembershipOf::<TypeConfig>::new(Some(id), membership.clone());
                (Outcome::Done, Vec::new(), Vec::new(), Vec::new())
            }
            EntryPayload::Normal(entry)
                if planted::is(Bug::ReplaySkips)
                    && index <= self.replayed
                    && matches!(entry.proposal, Proposal::MarkDeliveries(_)) =>
            {
                (Outcome::Done, Vec::new(), Vec::new(), Vec::new())
            }
            EntryPayload::Normal(entry) => {
                let applied = self.fleet.apply(index, entry);
                (
                    applied.outcome,
                    applied.effects,
                    applied.dirty,
                    applied.puts,
                )
            }
        };
        self.store.stage(Change {
            state: self.state.clone(),
            fleet: self.fleet.clone(),
            dirty,
            puts,
        });
        self.show(index);
        if index > self.replayed && !effects.is_empty() {
            self.sink.publish(index, effects);
        }
        outcome
    }

    /// The copy of this moment.
    fn take(&self) -> SnapshotOf<TypeConfig, SnapshotData> {
        let meta = SnapshotMetaOf::<TypeConfig> {
            last_log_id: self.state.last,
            last_membership: self.state.membership.clone(),
        };
        let snapshot = SnapshotData::own(self.fleet.clone(), self.store.clone());
        SnapshotOf::<TypeConfig, SnapshotData> { meta, snapshot }
    }

    fn show(&self, index: u64) {
        self.view.store(Arc::new(View {
            fleet: self.fleet.clone(),
            applied_index: index,
        }));
    }
}

impl RaftStateMachine<TypeConfig> for Machine {
    type SnapshotData = SnapshotData;
    type SnapshotBuilder = Self;

    async fn applied_state(
        &mut self,
    ) -> Result<(Option<LogIdOf<TypeConfig>>, StoredMembershipOf<TypeConfig>), io::Error> {
        Ok((self.state.last, self.state.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + OptionalSend,
    {
        while let Some((entry, responder)) = entries.try_next().await? {
            let outcome = self.apply_one(entry);
            if let Some(responder) = responder {
                responder.send(outcome);
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMetaOf<TypeConfig>,
        snapshot: SnapshotData,
    ) -> Result<(), io::Error> {
        let state = AppliedState {
            last: meta.last_log_id,
            membership: meta.last_membership.clone(),
        };
        let (store, texts, installed) = (self.store.clone(), self.texts.clone(), state.clone());
        // it may take seconds, in which consensus has to answer
        let work = move || install(&*store, texts, &installed, &snapshot);
        let (fleet, texts) = offload(work).await??;
        self.state = state;
        self.fleet = fleet;
        self.texts = texts;
        self.show(self.state.index());
        self.sink.replaced(self.state.index());
        tracing::info!(index = self.state.index(), "a snapshot was installed");
        Ok(())
    }

    async fn get_current_snapshot(
        &mut self,
    ) -> Result<Option<SnapshotOf<TypeConfig, SnapshotData>>, io::Error> {
        // the fleet of this moment: nothing old is kept for whoever may be behind
        Ok(self.state.last.is_some().then(|| self.take()))
    }
}

impl RaftSnapshotBuilder<TypeConfig> for Machine {
    type SnapshotData = SnapshotData;

    /// Takes the copy at once, and answers when the rows behind it are flushed: what openraft purges
    /// after it is never beyond the durable rows.
    async fn build_snapshot(&mut self) -> Result<SnapshotOf<TypeConfig, SnapshotData>, io::Error> {
        let snapshot = self.take();
        if !planted::is(Bug::PurgeBeyondRows) {
            self.store.wait_durable(self.state.index()).await?;
        }
        Ok(snapshot)
    }
}
