//! The meaning of a selector: frozen, because every replica must choose the same agents. Recursion is
//! bounded by the depth of the tree; a key that is absent matches `!=`, `notin` and `!`.

use std::sync::Arc;

use super::ast::{Expr, Field, Key, Term, Test};
use crate::records::AgentRecord;

pub(super) fn matches(expr: &Expr, agent: &AgentRecord) -> bool {
    match expr {
        Expr::Everyone => true,
        Expr::Term(term) => term_matches(term, agent),
        Expr::Not(child) => !matches(child, agent),
        Expr::And(children) => children.iter().all(|child| matches(child, agent)),
        Expr::Or(children) => children.iter().any(|child| matches(child, agent)),
    }
}

fn term_matches(term: &Term, agent: &AgentRecord) -> bool {
    let value = value(&term.key, agent);
    match &term.test {
        Test::Exists => value.is_some(),
        Test::Is(wanted) => value == Some(&**wanted),
        Test::IsNot(wanted) => value != Some(&**wanted),
        Test::In(wanted) => value.is_some_and(|value| wanted.iter().any(|one| **one == *value)),
        Test::NotIn(wanted) => value.is_none_or(|value| wanted.iter().all(|one| **one != *value)),
        Test::Like(pattern) => value.is_some_and(|value| like(pattern, value)),
    }
}

/// What the agent has under a key. Fields that are empty are absent.
fn value<'a>(key: &Key, agent: &'a AgentRecord) -> Option<&'a str> {
    match key {
        Key::Field(field) => {
            let text = match field {
                Field::Name => &agent.description.name,
                Field::AgentType => &agent.description.agent_type,
                Field::AgentVersion => &agent.description.agent_version,
            };
            Some(&**text).filter(|text| !text.is_empty())
        }
        Key::Label(key) => server(key, agent).or_else(|| reported(key, agent)),
        Key::Reported(key) => reported(key, agent),
        Key::Server(key) => server(key, agent),
    }
}

fn server<'a>(key: &str, agent: &'a AgentRecord) -> Option<&'a str> {
    let found = agent.server_labels.iter().find(|(name, _)| **name == *key);
    found.map(|(_, value)| &**value)
}

/// Arrays and maps are shown to people only.
fn reported<'a>(key: &str, agent: &'a AgentRecord) -> Option<&'a str> {
    let mut labels = agent.description.labels.iter();
    let found = labels.find(|label| label.scalar && *label.key == *key);
    found.map(|label| &*label.value)
}

/// `*` is any text, `?` one character. One pass with one point to come back to: at worst
/// pattern × text steps.
fn like(pattern: &Arc<str>, text: &str) -> bool {
    let (mut pattern, mut text) = (pattern.chars(), text.chars());
    let mut star = None;
    loop {
        let (wanted, mut rest) = (pattern.clone().next(), text.clone());
        let letter = rest.next();
        match (wanted, letter) {
            (Some('*'), _) => {
                pattern.next();
                star = Some((pattern.clone(), text.clone()));
            }
            (Some(wanted), Some(letter)) if wanted == '?' || wanted == letter => {
                pattern.next();
                text = rest;
            }
            (None, None) => return true,
            (_, _) => {
                let Some((after, mut from)) = star else {
                    return false;
                };
                if from.next().is_none() {
                    return false;
                }
                (pattern, text) = (after.clone(), from.clone());
                star = Some((after, from));
            }
        }
    }
}
