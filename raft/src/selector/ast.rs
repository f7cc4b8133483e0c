//! The syntax tree of a selector, its limits, its printed and its encoded form. The encoded form is a flat
//! list, so that no bytes can make a decoder recurse.

use std::fmt::{self, Display};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Nesting of a tree: evaluation and printing recurse this deep at most.
pub const DEPTH_MAX: usize = 32;
/// Comparisons and `*` in one selector.
pub const TERMS_MAX: usize = 64;
/// Values of one list.
pub const VALUES_MAX: usize = 256;
/// Bytes of one pattern: matching one is at worst pattern × value.
pub const PATTERN_BYTES_MAX: usize = 128;
/// Nodes of a tree: terms, with a `!` or a pair of parentheses for each level above.
const STEPS_MAX: usize = TERMS_MAX * DEPTH_MAX;

/// An expression.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Step>", into = "Vec<Step>")]
pub enum Expr {
    /// `*`.
    Everyone,
    /// A comparison.
    Term(Term),
    /// `!a`.
    Not(Box<Expr>),
    /// `a && b` or `a, b`; two or more.
    And(Vec<Expr>),
    /// `a || b`; two or more.
    Or(Vec<Expr>),
}

/// A comparison of one key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Term {
    /// What is looked at.
    pub key: Key,
    /// What is asked of it.
    pub test: Test,
}

/// What a term looks at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Key {
    /// A field of the description.
    Field(Field),
    /// A label: the server's, else the reported one.
    Label(Arc<str>),
    /// `reported.KEY`: what the agent itself says.
    Reported(Arc<str>),
    /// `server.KEY`: what an operator gave.
    Server(Arc<str>),
}

/// Fields of the description that have a name of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Field {
    /// `name`.
    Name,
    /// `agent_type`.
    AgentType,
    /// `agent_version`.
    AgentVersion,
}

/// What is asked of a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Test {
    /// `key`: it is there.
    Exists,
    /// `key=value`.
    Is(Arc<str>),
    /// `key!=value`; agents without the key match.
    IsNot(Arc<str>),
    /// `key in (a, b)`; one or more.
    In(Vec<Arc<str>>),
    /// `key notin (a, b)`; agents without the key match.
    NotIn(Vec<Arc<str>>),
    /// `key =~ pattern`, where `*` is any text and `?` one character.
    Like(Arc<str>),
}

/// One node of an encoded tree; children follow their parent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// See [`Expr::Everyone`].
    Everyone,
    /// See [`Expr::Term`].
    Term(Term),
    /// One child follows.
    Not,
    /// That many children follow.
    And(u32),
    /// That many children follow.
    Or(u32),
}

/// An encoded tree that no text can mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a selector is encoded wrongly")]
pub struct Invalid;

impl From<Expr> for Vec<Step> {
    fn from(expr: Expr) -> Self {
        let mut steps = Vec::new();
        flatten(expr, &mut steps);
        steps
    }
}

fn flatten(expr: Expr, steps: &mut Vec<Step>) {
    let (step, children) = match expr {
        Expr::Everyone => (Step::Everyone, Vec::new()),
        Expr::Term(term) => (Step::Term(term), Vec::new()),
        Expr::Not(child) => (Step::Not, vec![*child]),
        Expr::And(children) => (Step::And(count(&children)), children),
        Expr::Or(children) => (Step::Or(count(&children)), children),
    };
    steps.push(step);
    for child in children {
        flatten(child, steps);
    }
}

fn count(children: &[Expr]) -> u32 {
    u32::try_from(children.len()).unwrap_or(u32::MAX)
}

impl Expr {
    /// Bytes of the encoded tree, at most: tags count 1, counts 5, a text its length and 3.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Everyone => 1,
            Self::Term(term) => 1 + term.bytes(),
            Self::Not(child) => 1 + child.bytes(),
            Self::And(children) | Self::Or(children) => {
                6 + children.iter().map(Self::bytes).sum::<usize>()
            }
        }
    }
}

impl Term {
    fn bytes(&self) -> usize {
        let key = match &self.key {
            Key::Field(_) => 1,
            Key::Label(key) | Key::Reported(key) | Key::Server(key) => key.len() + 3,
        };
        let values = match &self.test {
            Test::Exists => 0,
            Test::Is(value) | Test::IsNot(value) | Test::Like(value) => value.len() + 3,
            Test::In(values) | Test::NotIn(values) => {
                values.iter().map(|value| value.len() + 3).sum()
            }
        };
        7 + key + values
    }
}

impl TryFrom<Vec<Step>> for Expr {
    type Error = Invalid;

    fn try_from(steps: Vec<Step>) -> Result<Self, Invalid> {
        let leaves = steps
            .iter()
            .filter(|step| matches!(step, Step::Term(_) | Step::Everyone))
            .count();
        if leaves > TERMS_MAX || steps.len() > STEPS_MAX {
            return Err(Invalid);
        }
        let mut steps = steps.into_iter();
        let expr = grow(&mut steps, DEPTH_MAX)?;
        if steps.next().is_some() {
            Err(Invalid)
        } else {
            Ok(expr)
        }
    }
}

fn grow(steps: &mut std::vec::IntoIter<Step>, depth_left: usize) -> Result<Expr, Invalid> {
    let depth_left = depth_left.checked_sub(1).ok_or(Invalid)?;
    Ok(match steps.next().ok_or(Invalid)? {
        Step::Everyone => Expr::Everyone,
        Step::Term(term) if is_valid(&term) => Expr::Term(term),
        Step::Term(_) => return Err(Invalid),
        Step::Not => Expr::Not(Box::new(grow(steps, depth_left)?)),
        Step::And(count) => Expr::And(children(steps, depth_left, count)?),
        Step::Or(count) => Expr::Or(children(steps, depth_left, count)?),
    })
}

fn children(
    steps: &mut std::vec::IntoIter<Step>,
    depth_left: usize,
    count: u32,
) -> Result<Vec<Expr>, Invalid> {
    if count < 2 {
        return Err(Invalid);
    }
    (0..count).map(|_| grow(steps, depth_left)).collect()
}

fn is_valid(term: &Term) -> bool {
    match &term.test {
        Test::Exists | Test::Is(_) | Test::IsNot(_) => true,
        Test::In(values) | Test::NotIn(values) => (1..=VALUES_MAX).contains(&values.len()),
        Test::Like(pattern) => pattern.len() <= PATTERN_BYTES_MAX,
    }
}

impl Key {
    /// The key that a text names.
    pub fn named(text: &str) -> Self {
        match text {
            "name" => Self::Field(Field::Name),
            "agent_type" => Self::Field(Field::AgentType),
            "agent_version" => Self::Field(Field::AgentVersion),
            _ => match (text.strip_prefix("reported."), text.strip_prefix("server.")) {
                (Some(key), _) if !key.is_empty() => Self::Reported(key.into()),
                (_, Some(key)) if !key.is_empty() => Self::Server(key.into()),
                (_, _) => Self::Label(text.into()),
            },
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(Field::Name) => f.write_str("name"),
            Self::Field(Field::AgentType) => f.write_str("agent_type"),
            Self::Field(Field::AgentVersion) => f.write_str("agent_version"),
            Self::Label(key) => f.write_str(key),
            Self::Reported(key) => write!(f, "reported.{key}"),
            Self::Server(key) => write!(f, "server.{key}"),
        }
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everyone => f.write_str("*"),
            Self::Term(term) => term.fmt(f),
            Self::Not(child) => {
                f.write_str("!")?;
                // `!key` is an expression of its own; other terms would read as `(!key) = value`.
                let plain = matches!(**child, Self::Everyone | Self::Not(_));
                let exists = matches!(&**child, Self::Term(term) if term.test == Test::Exists);
                if plain || exists {
                    child.fmt(f)
                } else {
                    write!(f, "({child})")
                }
            }
            Self::And(children) => joined(f, children, " && "),
            Self::Or(children) => joined(f, children, " || "),
        }
    }
}

fn joined(f: &mut fmt::Formatter<'_>, children: &[Expr], between: &str) -> fmt::Result {
    for (place, child) in children.iter().enumerate() {
        if place > 0 {
            f.write_str(between)?;
        }
        match child {
            Expr::And(_) | Expr::Or(_) => write!(f, "({child})")?,
            Expr::Everyone | Expr::Term(_) | Expr::Not(_) => child.fmt(f)?,
        }
    }
    Ok(())
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = &self.key;
        match &self.test {
            Test::Exists => key.fmt(f),
            Test::Is(value) => write!(f, "{key}={}", Quoted(value)),
            Test::IsNot(value) => write!(f, "{key}!={}", Quoted(value)),
            Test::In(values) => write!(f, "{key} in {}", List(values)),
            Test::NotIn(values) => write!(f, "{key} notin {}", List(values)),
            Test::Like(pattern) => write!(f, "{key}=~{}", Quoted(pattern)),
        }
    }
}

struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for letter in self.0.chars() {
            if matches!(letter, '"' | '\\') {
                f.write_str("\\")?;
            }
            write!(f, "{letter}")?;
        }
        f.write_str("\"")
    }
}

struct List<'a>(&'a [Arc<str>]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(")?;
        for (place, value) in self.0.iter().enumerate() {
            let between = if place > 0 { "," } else { "" };
            write!(f, "{between}{}", Quoted(value))?;
        }
        f.write_str(")")
    }
}
