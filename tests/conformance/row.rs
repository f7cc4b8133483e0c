//! One row of the checklist: what is required, how strongly, and what proves it. It knows no server.

use std::fs;
use std::path::Path;

/// A claim that a server must live up to.
pub(crate) struct Row {
    /// Its number in the checklist.
    pub(crate) id: u16,
    /// The word of the specification; `derived` where it has none and the claim follows from the protocol or
    /// from how its clients behave.
    pub(crate) strength: &'static str,
    /// The claim, in one sentence.
    pub(crate) text: &'static str,
    /// What stands behind it.
    pub(crate) proof: Proof,
}

impl Row {
    /// The same row as a value of its own.
    pub(crate) fn again(&self) -> Row {
        Row { ..*self }
    }
}

/// What stands behind a row.
#[derive(Clone, Copy)]
pub(crate) enum Proof {
    /// A test of this suite.
    Test {
        /// Its name, which begins with the row.
        name: &'static str,
        /// It panics when the claim does not hold.
        run: fn(),
    },
    /// Tests of another suite.
    Elsewhere {
        /// Its file, from the root.
        file: &'static str,
        /// The names that stand in it.
        names: &'static [&'static str],
    },
    /// Nothing yet, for this reason.
    Open(&'static str),
}

/// A row with its test: `row!(22, "derived", "…", c_022_full_duplex)`.
macro_rules! row {
    ($id:literal, $strength:literal, $text:literal, $test:ident) => {
        $crate::row::Row {
            id: $id,
            strength: $strength,
            text: $text,
            proof: $crate::row::Proof::Test {
                name: stringify!($test),
                run: $test,
            },
        }
    };
}

/// A row without a test, and why: `open!(7, "derived", "…", TLS)`.
macro_rules! open {
    ($id:literal, $strength:literal, $text:literal, $reason:expr) => {
        $crate::row::Row {
            id: $id,
            strength: $strength,
            text: $text,
            proof: $crate::row::Proof::Open($reason),
        }
    };
}

/// A row that another suite proves: `elsewhere!(320, "derived", "…", "tests/interop/libraries.rs", ["python_http"])`.
macro_rules! elsewhere {
    ($id:literal, $strength:literal, $text:literal, $file:literal, [$($name:literal),+]) => {
        $crate::row::Row {
            id: $id,
            strength: $strength,
            text: $text,
            proof: $crate::row::Proof::Elsewhere {
                file: $file,
                names: &[$($name),+],
            },
        }
    };
}

pub(crate) use {elsewhere, open, row};

/// How many rows the checklist has.
pub(crate) const ROWS: u16 = 326;

/// The groups of the checklist: letter, first row, name.
pub(crate) const GROUPS: [(char, u16, &str); 26] = [
    ('A', 1, "Endpoint and transport selection"),
    ('B', 10, "WebSocket framing and exchange"),
    ('C', 29, "WebSocket size limits"),
    ('D', 36, "Plain HTTP"),
    ('E', 55, "Plain HTTP size limits"),
    ('F', 61, "Identity"),
    ('G', 73, "Capabilities"),
    ('H', 83, "Replies"),
    ('I', 91, "Compressed status and sequence numbers"),
    ('J', 106, "Status kept and shown"),
    ('K', 118, "Remote configuration"),
    ('L', 143, "Connection settings"),
    ('M', 163, "Credentials of the connection to us"),
    ('N', 180, "Certificate requests of agents"),
    ('O', 197, "Own telemetry of agents"),
    ('P', 205, "Heartbeat and liveness"),
    ('Q', 216, "Packages"),
    ('R', 239, "Commands"),
    ('S', 245, "Custom messages"),
    ('T', 255, "Available components"),
    ('U', 262, "Life of a connection"),
    ('V', 282, "Authentication"),
    ('W', 291, "Bad requests and repetitions"),
    ('X', 300, "Overload"),
    ('Y', 313, "Forward compatibility"),
    ('Z', 321, "Security"),
];

/// Fails unless every row of the checklist is there once, in order, tests are named after their rows, and those of
/// other suites are there.
pub(crate) fn check(rows: &[Row]) {
    let ids: Vec<u16> = rows.iter().map(|row| row.id).collect();
    assert_eq!(ids, (1..=ROWS).collect::<Vec<_>>(), "rows of the checklist");
    for row in rows {
        match row.proof {
            Proof::Test { name, .. } => {
                let prefix = format!("c_{:03}_", row.id);
                assert!(name.starts_with(&prefix), "{name} proves row {}", row.id);
            }
            Proof::Elsewhere { file, names } => {
                let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
                let text = fs::read_to_string(path).expect("the other suite");
                for name in names {
                    assert!(text.contains(name), "{file} has no {name}");
                }
            }
            Proof::Open(_) => {}
        }
    }
}
