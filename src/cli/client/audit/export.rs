//! `audit export`: every record as it is, one on a line, its hash computed here from what came.

use std::io::Write;

use ampora_raft::records::AuditRecord;
use serde_json::Value;

use crate::cli::client::Session;
use crate::cli::client::args::SpanArgs;
use crate::cli::client::error::ClientError;
use crate::cli::client::text::items;
use crate::cli::{CliError, print_bytes};

/// Records that are asked for at once.
const PAGE_ITEMS: u32 = 500;

/// What was found wrong, told one by one up to this many.
const COMPLAINTS_MAX: usize = 20;

/// Prints page by page, so that a long chain is never held whole.
pub(super) async fn run(session: &Session, span: &SpanArgs) -> Result<(), CliError> {
    let mut check = Check::default();
    let mut token: Option<String> = None;
    loop {
        let call = super::of(span)
            .with("limit", Some(PAGE_ITEMS))
            .with("continue", token.as_ref());
        let answer = session.client.get(call).await?;
        let mut lines = Vec::new();
        for item in items(&answer, "items") {
            check.take(item);
            writeln!(lines, "{item}").map_err(CliError::Output)?;
        }
        print_bytes(&lines)?;
        match answer.get("continue").and_then(Value::as_str) {
            Some(next) if token.as_deref() != Some(next) => token = Some(next.to_owned()),
            Some(_) | None => break,
        }
    }
    check.end().map_err(Into::into)
}

/// The records so far, newest first.
#[derive(Debug, Default)]
struct Check {
    /// The number and the predecessor's hash of the record that came last.
    newer: Option<(u64, [u8; 32])>,
    complaints: Vec<String>,
    wrong: usize,
}

impl Check {
    fn take(&mut self, item: &Value) {
        let Some(record) = record(item) else {
            self.newer = None;
            let (seq, why) = (&item["seq"], &item["damaged"]);
            return self.complain(format!("record {seq} cannot be read: {why}"));
        };
        if record.digest() != record.hash {
            self.complain(format!(
                "record {}: what it says is not what its hash was made of",
                record.seq
            ));
        }
        // a filter may leave records out between two that are shown
        if let Some((seq, previous)) = self.newer
            && record.seq.checked_add(1) == Some(seq)
            && previous != record.hash
        {
            self.complain(format!("record {seq} does not follow the record before it"));
        }
        self.newer = Some((record.seq, record.previous));
    }

    fn complain(&mut self, what: String) {
        self.wrong += 1;
        if self.complaints.len() < COMPLAINTS_MAX {
            self.complaints.push(what);
        }
    }

    fn end(self) -> Result<(), ClientError> {
        if self.wrong == 0 {
            return Ok(());
        }
        let mut text = self.complaints.join("\n");
        let more = self.wrong - self.complaints.len();
        if more > 0 {
            text.push_str(&format!("\nand {more} more"));
        }
        Err(ClientError::Audit(text))
    }
}

/// The record that an exported line holds.
fn record(item: &Value) -> Option<AuditRecord> {
    let number = |field: &str| item.get(field)?.as_u64();
    let text = |field: &str| Some(item.get(field)?.as_str()?.into());
    let hash = |field: &str| {
        let bytes = hex::decode(item.get(field)?.as_str()?).ok()?;
        <[u8; 32]>::try_from(bytes).ok()
    };
    // canonical, because keys of a map are sorted and nothing is put between values
    let state = |field: &str| Some(item.get(field)?.to_string().into());
    Some(AuditRecord {
        seq: number("seq")?,
        index: number("index")?,
        at_ms: number("at_ms")?,
        deadline_ms: number("deadline_ms")?,
        actor: text("actor")?,
        from: text("from")?,
        request_id: text("request_id")?,
        action: text("action")?,
        target: text("target")?,
        before: state("before")?,
        after: state("after")?,
        previous: hash("previous")?,
        hash: hash("hash")?,
    })
}

#[cfg(test)]
mod tests {
    use ampora_raft::fleet::audit::Json;
    use serde_json::json;

    use super::*;

    /// A record as REST shows it.
    fn shown(seq: u64, previous: [u8; 32], after: &str) -> Value {
        let mut record = AuditRecord {
            seq,
            index: 9,
            at_ms: 1_700_000_000_000,
            deadline_ms: u64::MAX,
            actor: "ann".into(),
            from: "192.0.2.7".into(),
            request_id: "r".into(),
            action: "group.put".into(),
            target: "é\u{7f}\"".into(),
            before: "null".into(),
            after: after.into(),
            previous,
            hash: [0; 32],
        };
        record.hash = record.digest();
        json!({
            "seq": seq, "index": 9, "at": "2023-11-14T22:13:20.000Z", "at_ms": record.at_ms,
            "deadline_ms": record.deadline_ms, "actor": "ann", "from": "192.0.2.7", "request_id": "r",
            "action": "group.put", "target": "é\u{7f}\"", "before": null,
            "after": serde_json::from_str::<Value>(after).unwrap(),
            "previous": hex::encode(previous), "hash": hex::encode(record.hash),
        })
    }

    fn hash(record: &Value) -> [u8; 32] {
        let bytes = hex::decode(record["hash"].as_str().unwrap()).unwrap();
        bytes.try_into().unwrap()
    }

    fn checked(newest_first: &[Value]) -> Result<(), String> {
        let mut check = Check::default();
        newest_first.iter().for_each(|item| check.take(item));
        check.end().map_err(|error| error.to_string())
    }

    #[test]
    fn hashes_are_those_of_the_fleet_whatever_the_states_hold() {
        let text = Json::object([
            (
                "z",
                Json::from("\u{0}\u{8}\u{c}\n\r\t\"\\/\u{7f}\u{2028}é😀"),
            ),
            (
                "a",
                Json::List(vec![Json::Null, Json::from(true), Json::from(u64::MAX)]),
            ),
            ("n", Json::from(i32::MIN)),
        ]);
        let first = shown(1, [0; 32], &text.canonical());
        let second = shown(2, hash(&first), "{}");
        assert_eq!(checked(&[second.clone(), first.clone()]), Ok(()));
        // not side by side: nothing follows from it
        assert_eq!(checked(&[shown(9, [1; 32], "{}"), first.clone()]), Ok(()));
        let mut other = second.clone();
        other["actor"] = json!("bob");
        let said = checked(&[other, first.clone()]).unwrap_err();
        assert!(said.starts_with("record 2: what it says"), "{said}");
        let said = checked(&[second, shown(1, [0; 32], "[]")]).unwrap_err();
        assert_eq!(said, "record 2 does not follow the record before it");
        let damaged = json!({"seq": 3, "damaged": "it is missing"});
        let said = checked(&[damaged, first]).unwrap_err();
        assert!(said.starts_with("record 3 cannot be read"), "{said}");
    }

    #[test]
    fn complaints_have_an_end() {
        let damaged: Vec<_> = (0..50).map(|seq| json!({ "seq": seq })).collect();
        let said = checked(&damaged).unwrap_err();
        assert_eq!(said.lines().count(), COMPLAINTS_MAX + 1);
        assert!(said.ends_with("and 30 more"), "{said}");
    }
}
