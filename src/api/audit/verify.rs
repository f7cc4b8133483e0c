//! `GET /audit/verify`: walks the chain from the oldest record that is kept to the newest.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::super::Api;
use super::super::extract::Params;
use super::super::paging::{List, Page};
use super::super::problem::Problem;
use super::{Read, STRIDE, number, read};

/// Records that one call checks; the answer says where the next one goes on.
const CHECKED_MAX: u64 = 20_000;

/// The query of `GET /audit/verify`.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct VerifyQuery {
    r#continue: Option<String>,
}

/// What was found. The whole chain was checked when `ok` and nothing continues.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditVerdict)]
pub(crate) struct Verdict {
    applied_index: u64,
    /// The number of the first record that does not fit.
    broken_at: Option<u64>,
    r#continue: Option<String>,
    /// The oldest record that is kept.
    first: u64,
    /// The newest hash, as the fleet holds it.
    hash: String,
    /// The newest record.
    last: u64,
    ok: bool,
    /// Records that were found whole by this call.
    records: u64,
    why: Option<String>,
}

/// How far a walk has come.
struct Walk {
    /// The number of the next record.
    next: u64,
    /// The hash of the one before, when that is known.
    previous: Option<[u8; 32]>,
    /// Records that were found whole.
    records: u64,
}

/// Where the chain is broken.
struct Break {
    seq: u64,
    why: String,
}

/// `GET /audit/verify`.
pub(crate) async fn verify(
    State(api): State<Api>,
    Params(query): Params<VerifyQuery>,
) -> Result<Json<Verdict>, Problem> {
    let page = Page::new(List::AuditVerify, None, &[])?;
    let from = match page.after(query.r#continue.as_deref())? {
        None => 0,
        Some(key) => number(&page, key)?,
    };
    let view = api.backend.view();
    let head = view.fleet.audit();
    let first = head.first.max(1);
    let mut walk = begin(&api, first, from).await;
    let end = head.last.min(walk.next.saturating_add(CHECKED_MAX - 1));
    let mut broken = None;
    while walk.next <= end && broken.is_none() {
        let last = end.min(walk.next + STRIDE - 1);
        for read in read(&api, walk.next, last).await {
            if let Err(found) = step(&api, &mut walk, read) {
                broken = Some(found);
                break;
            }
        }
    }
    let is_over = walk.next > head.last;
    if broken.is_none() && is_over && head.last > 0 && walk.previous.is_some_and(|h| h != head.hash)
    {
        broken = Some(Break {
            seq: head.last,
            why: "its hash is not the one that the fleet holds as the newest".to_owned(),
        });
    }
    let next = (!is_over && broken.is_none()).then(|| page.token(&walk.next.to_be_bytes()));
    Ok(Json(Verdict {
        applied_index: view.applied_index,
        broken_at: broken.as_ref().map(|found| found.seq),
        r#continue: next,
        first,
        hash: hex::encode(head.hash),
        last: head.last,
        ok: broken.is_none(),
        records: walk.records,
        why: broken.map(|found| found.why),
    }))
}

/// Begins at the oldest record, or goes on where an earlier call stopped, behind a record that it checked.
async fn begin(api: &Api, first: u64, from: u64) -> Walk {
    if from <= first {
        return Walk {
            next: first,
            // the first record ever follows none; an older chain is behind the oldest one that is kept
            previous: (first == 1).then_some([0; 32]),
            records: 0,
        };
    }
    let before = read(api, from - 1, from - 1).await;
    let known = before.into_iter().next().and_then(|read| read.row.ok());
    Walk {
        next: from,
        previous: known.flatten().map(|record| record.hash),
        records: 0,
    }
}

fn step(api: &Api, walk: &mut Walk, read: Read) -> Result<(), Break> {
    let seq = read.seq;
    let broken = |why: &str| Break {
        seq,
        why: why.to_owned(),
    };
    let record = match read.row {
        Ok(Some(record)) => record,
        Ok(None) if seq < api.backend.view().fleet.audit().first => {
            // it left while the chain was walked
            (walk.next, walk.previous) = (seq + 1, None);
            return Ok(());
        }
        Ok(None) => return Err(broken("it is missing")),
        Err(error) => return Err(broken(&error.to_string())),
    };
    if record.seq != seq {
        return Err(broken("it has another number"));
    }
    if walk.previous.is_some_and(|hash| hash != record.previous) {
        return Err(broken("it does not follow the record before it"));
    }
    if record.digest() != record.hash {
        return Err(broken("what it says is not what its hash was made of"));
    }
    (walk.next, walk.previous) = (seq + 1, Some(record.hash));
    walk.records += 1;
    Ok(())
}
