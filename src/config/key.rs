//! What is known of one configuration key: its name, what it takes, its default and meaning, and how it reaches
//! the typed [`Config`]. The keys themselves stand beside the section that they fill; this file knows none by name.

use super::{Config, given::Given};

/// From when on a key does what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// This version acts on it.
    Now,
    /// Accepted and checked, but this version does not act on it yet; saying so is the loader's duty.
    Later,
}

/// A key's value in a printable form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// Not set, and nothing stands in for it.
    Unset,
    /// A number, in the unit that the key's name ends with.
    Number(u64),
    /// True or false.
    Flag(bool),
    /// A text.
    Text(String),
    /// Several texts.
    List(Vec<String>),
    /// A secret that is set; its text is not available here.
    Redacted,
}

/// One key of the configuration.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// The name with dots between section and key, in `snake_case`, the unit last.
    pub name: &'static str,
    /// The type and range, for people.
    pub takes: &'static str,
    /// The value without any source, for people; equal to what [`Config::default`] shows where it is a plain value.
    pub default: &'static str,
    /// What it does, in a sentence.
    pub meaning: &'static str,
    /// From when on it does so.
    pub effect: Effect,
    pub(super) set: fn(&mut Config, &Given) -> Result<(), String>,
    pub(super) show: fn(&Config) -> Shown,
}

impl Key {
    /// The value that a configuration holds for this key, secrets left out.
    pub fn shown(&self, config: &Config) -> Shown {
        (self.show)(config)
    }

    /// The environment variable that sets this key.
    pub fn variable(&self) -> String {
        format!("AMPORA_{}", self.name.replace('.', "__").to_uppercase())
    }
}

impl Shown {
    pub(super) fn number(value: impl Into<u64>) -> Self {
        Self::Number(value.into())
    }

    pub(super) fn optional<T>(value: Option<T>, shown: impl FnOnce(T) -> Self) -> Self {
        value.map_or(Self::Unset, shown)
    }

    pub(super) fn text(value: impl ToString) -> Self {
        Self::Text(value.to_string())
    }

    pub(super) fn path(value: &std::path::Path) -> Self {
        Self::Text(value.display().to_string())
    }

    pub(super) fn seconds(value: std::time::Duration) -> Self {
        Self::Number(value.as_secs())
    }
}
