//! What is wrong with a configuration and where: every problem of every source in one error, one per line.

use std::{fmt, path::PathBuf};

/// Most problems that are printed: one screen. The rest is counted.
const PROBLEMS_SHOWN_MAX: usize = 40;

/// Where a setting was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// In a file; lines and columns count from 1.
    File {
        /// The file as it was named.
        path: PathBuf,
        /// Line of the key.
        line: u64,
        /// Column of the key.
        column: u64,
    },
    /// In an environment variable of this name.
    Variable(String),
    /// By a flag, as it was typed without its value.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line, column } => write!(f, "{}:{line}:{column}", path.display()),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::Flag(flag) => f.write_str(flag),
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where, when one place can be named.
    pub origin: Option<Origin>,
    /// What, in a fragment without trailing stop.
    pub text: String,
}

impl Problem {
    pub(super) fn at(origin: &Origin, text: impl Into<String>) -> Self {
        Self {
            origin: Some(origin.clone()),
            text: text.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Some(origin) => write!(f, "{origin}: {}", self.text),
            None => f.write_str(&self.text),
        }
    }
}

/// A configuration that cannot be used. Its text is complete: it names every problem on a line of its own.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// What is wrong, in the order of the sources; never empty.
    pub problems: Vec<Problem>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().take(PROBLEMS_SHOWN_MAX).enumerate() {
            let line_end = if index == 0 { "" } else { "\n" };
            write!(f, "{line_end}{problem}")?;
        }
        match self.problems.len().saturating_sub(PROBLEMS_SHOWN_MAX) {
            0 => Ok(()),
            more => write!(f, "\nand {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_stand_one_per_line_and_are_bounded() {
        let origin = Origin::File {
            path: "ampora.yaml".into(),
            line: 3,
            column: 5,
        };
        let problems = vec![Problem::at(&origin, "unknown key `x`"); PROBLEMS_SHOWN_MAX + 2];
        let text = ConfigError { problems }.to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), PROBLEMS_SHOWN_MAX + 1);
        assert_eq!(lines.first(), Some(&"ampora.yaml:3:5: unknown key `x`"));
        assert_eq!(lines.last(), Some(&"and 2 more"));
    }
}
