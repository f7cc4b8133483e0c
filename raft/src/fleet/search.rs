//! Finding agents by a selector: a list of postings answers equality of labels and fields, so that a page costs
//! the same in a small fleet and in a large one.
//!
//! A posting is a hash of what is looked for with the uid of an agent that has it. What it finds is a candidate:
//! the selector itself always has the last word. Selectors without any equality walk over all agents.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::postings::Posting;
use super::{Derived, Fleet};
use crate::ids::InstanceUid;
use crate::records::AgentRecord;
use crate::selector::{Expr, Field, Key, Selector, Term, Test};

/// A search through a fleet, in uid order.
#[derive(Debug)]
pub struct Search<'a> {
    fleet: &'a Fleet,
    selector: Option<&'a Selector>,
    plan: Option<Plan>,
}

/// One stretch of a search.
#[derive(Debug)]
pub struct Stride<'a> {
    /// Agents that match.
    pub agents: Vec<&'a Arc<AgentRecord>>,
    /// Where the next stretch begins; `None` when this was the last.
    pub next: Option<InstanceUid>,
}

/// Which postings to follow.
#[derive(Debug, PartialEq, Eq)]
enum Plan {
    One(Posting),
    /// Agents in all of them.
    All(Vec<Plan>),
    /// Agents in any of them.
    Any(Vec<Plan>),
}

impl Fleet {
    /// Agents that match, or all of them.
    pub fn search<'a>(&'a self, selector: Option<&'a Selector>) -> Search<'a> {
        Search {
            fleet: self,
            selector,
            plan: selector.and_then(|selector| Plan::of(selector.expr())),
        }
    }
}

impl<'a> Search<'a> {
    /// Whether the search follows postings instead of walking over all agents.
    pub fn is_indexed(&self) -> bool {
        self.plan.is_some()
    }

    /// The agents that match behind `after`; looks at no more than `most` records.
    pub fn stride(&self, after: Option<InstanceUid>, most: usize) -> Stride<'a> {
        match &self.plan {
            Some(plan) => self.follow(plan, after, most),
            None => self.walk(after, most),
        }
    }

    fn takes(&self, record: &AgentRecord) -> bool {
        self.selector
            .is_none_or(|selector| selector.matches(record))
    }

    fn walk(&self, after: Option<InstanceUid>, most: usize) -> Stride<'a> {
        let mut agents = Vec::new();
        let mut last = None;
        for (looked_at, record) in self.fleet.agents(after).enumerate() {
            if looked_at == most {
                return Stride { agents, next: last };
            }
            last = Some(record.uid);
            if self.takes(record) {
                agents.push(record);
            }
        }
        Stride { agents, next: None }
    }

    fn follow(&self, plan: &Plan, after: Option<InstanceUid>, most: usize) -> Stride<'a> {
        let mut agents = Vec::new();
        let mut after = after;
        for _ in 0..most {
            let Some(from) = after.map_or(Some(InstanceUid::nil()), successor) else {
                return Stride { agents, next: None };
            };
            let Some(candidate) = plan.seek(&self.fleet.derived, from) else {
                return Stride { agents, next: None };
            };
            let record = self.fleet.agent(candidate);
            agents.extend(record.filter(|record| self.takes(record)));
            after = Some(candidate);
        }
        Stride {
            agents,
            next: after,
        }
    }
}

fn successor(uid: InstanceUid) -> Option<InstanceUid> {
    uid.as_u128().checked_add(1).map(InstanceUid::from_u128)
}

impl Plan {
    /// `None` when some agent may match that no posting leads to.
    fn of(expr: &Expr) -> Option<Plan> {
        match expr {
            Expr::Everyone | Expr::Not(_) => None,
            Expr::Term(term) => Plan::of_term(term),
            Expr::And(children) => {
                let plans: Vec<Plan> = children.iter().filter_map(Plan::of).collect();
                (!plans.is_empty()).then_some(Plan::All(plans))
            }
            Expr::Or(children) => {
                let plans: Option<Vec<Plan>> = children.iter().map(Plan::of).collect();
                plans.map(Plan::Any)
            }
        }
    }

    fn of_term(term: &Term) -> Option<Plan> {
        let posting = |value: &str| match &term.key {
            Key::Field(field) => Some(field_posting(*field, value)),
            // a server label is what counts under its key, so that both lead to the same agents
            Key::Label(key) | Key::Server(key) => Some(label_posting(key, value)),
            // a hidden one has no posting
            Key::Reported(_) => None,
        };
        match &term.test {
            Test::Is(value) => posting(value).map(Plan::One),
            Test::In(values) => {
                let plans: Option<Vec<Plan>> = values
                    .iter()
                    .map(|value| posting(value).map(Plan::One))
                    .collect();
                plans.map(Plan::Any)
            }
            Test::Exists | Test::IsNot(_) | Test::NotIn(_) | Test::Like(_) => None,
        }
    }

    /// An agent at or behind `from` before which nobody matches; it may not match itself.
    fn seek(&self, derived: &Derived, from: InstanceUid) -> Option<InstanceUid> {
        match self {
            Plan::One(posting) => derived.postings.seek(*posting, from),
            Plan::All(plans) => plans
                .iter()
                .try_fold(from, |from, plan| plan.seek(derived, from)),
            Plan::Any(plans) => plans
                .iter()
                .filter_map(|plan| plan.seek(derived, from))
                .min(),
        }
    }
}

impl Derived {
    /// Brings the postings of an agent up to date; `None` stands for an agent that is not there.
    pub(super) fn post(&mut self, old: Option<&AgentRecord>, new: Option<&AgentRecord>) {
        if let (Some(old), Some(new)) = (old, new)
            && (Arc::ptr_eq(&old.description, &new.description)
                || old.description == new.description)
            && old.server_labels == new.server_labels
        {
            return;
        }
        let before = old.map(postings).unwrap_or_default();
        let after = new.map(postings).unwrap_or_default();
        if let Some(old) = old {
            for gone in before.difference(&after) {
                self.postings.remove(*gone, old.uid);
            }
        }
        if let Some(new) = new {
            for come in after.difference(&before) {
                self.postings.insert(*come, new.uid);
            }
        }
    }
}

/// Everything under which an agent is found.
fn postings(record: &AgentRecord) -> BTreeSet<Posting> {
    let description = &record.description;
    let fields = [
        (Field::Name, &description.name),
        (Field::AgentType, &description.agent_type),
        (Field::AgentVersion, &description.agent_version),
    ];
    let server = record.server_labels.iter();
    let reported = description.labels.iter().filter(|label| {
        let hidden = record
            .server_labels
            .iter()
            .any(|(key, _)| *key == label.key);
        label.scalar && !hidden
    });
    fields
        .into_iter()
        .map(|(field, value)| field_posting(field, value))
        .chain(server.map(|(key, value)| label_posting(key, value)))
        .chain(reported.map(|label| label_posting(&label.key, &label.value)))
        .collect()
}

fn field_posting(field: Field, value: &str) -> Posting {
    let tag = match field {
        Field::Name => 1,
        Field::AgentType => 2,
        Field::AgentVersion => 3,
    };
    posting(tag, "", value)
}

fn label_posting(key: &str, value: &str) -> Posting {
    posting(0, key, value)
}

/// FNV-1a over a tag, the key, a byte that UTF-8 never has, and the value; both halves of the sum together.
fn posting(tag: u8, key: &str, value: &str) -> Posting {
    let bytes = [tag].into_iter().chain(key.bytes());
    let sum = bytes
        .chain([0xff])
        .chain(value.bytes())
        .fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
            (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    let [a, b, c, d, e, f, g, h] = sum.to_le_bytes();
    u32::from_le_bytes([a, b, c, d]) ^ u32::from_le_bytes([e, f, g, h])
}
