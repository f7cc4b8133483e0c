//! Selectors: which agents a group or dispatch chooses. Parsed at the edge, evaluated in `apply`; the
//! syntax tree and its evaluation are frozen under the feature level.

mod ast;
mod eval;
mod parse;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use ast::{
    DEPTH_MAX, Expr, Field, Invalid, Key, PATTERN_BYTES_MAX, Step, TERMS_MAX, Term, Test,
    VALUES_MAX,
};
pub use parse::{SOURCE_BYTES_MAX, SelectorError};

use crate::records::AgentRecord;

#[cfg(test)]
mod tests;

/// A parsed selector with the text it came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selector {
    /// As written.
    pub source: Arc<str>,
    /// What it means.
    expr: Expr,
}

impl Selector {
    /// Parses the text of a selector: `env in (prod,staging), !legacy, team=core`, `a != b`,
    /// `a notin (x, y)`, `key`, `key =~ glob*`, with `&&`, `||`, `!`, parentheses and quotes; `*` is
    /// everyone.
    ///
    /// # Errors
    /// Says at which byte the text stops making sense, and why.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        Ok(Self {
            source: text.into(),
            expr: parse::parse(text)?,
        })
    }

    /// The selector `*`.
    pub fn everyone() -> Self {
        Self {
            source: "*".into(),
            expr: Expr::Everyone,
        }
    }

    /// Whether the agent is chosen.
    pub fn matches(&self, agent: &AgentRecord) -> bool {
        eval::matches(&self.expr, agent)
    }

    /// Bytes of the encoded selector, at most.
    pub fn bytes(&self) -> usize {
        self.source.len() + 3 + self.expr.bytes()
    }

    /// The syntax tree; printed, it is the selector in one fixed spelling.
    pub fn expr(&self) -> &Expr {
        &self.expr
    }
}
