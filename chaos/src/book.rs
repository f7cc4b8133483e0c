//! What happened in a run, in order: the trace, and what was found wrong. Every line has the true time, which nobody
//! inside the simulation can see.

use std::fmt;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

/// Violations that are kept: the first says what is wrong, the rest follows from it.
const VIOLATIONS_MAX: usize = 5;

/// Written by everybody in a run; clones share it.
#[derive(Clone)]
pub struct Book {
    inner: Arc<Inner>,
}

struct Inner {
    now_us: AtomicU64,
    out: Mutex<Out>,
}

struct Out {
    lines: u64,
    hash: u64,
    trace: Option<Box<dyn Write + Send>>,
    violations: Vec<String>,
}

impl fmt::Debug for Book {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Book")
            .field("now_us", &self.now_us())
            .finish_non_exhaustive()
    }
}

impl Book {
    /// An empty one; lines go to `trace` as well, if there is one.
    pub fn new(trace: Option<Box<dyn Write + Send>>) -> Self {
        let out = Out {
            lines: 0,
            hash: 0xcbf2_9ce4_8422_2325,
            trace,
            violations: Vec::new(),
        };
        Self {
            inner: Arc::new(Inner {
                now_us: AtomicU64::new(0),
                out: Mutex::new(out),
            }),
        }
    }

    /// True time in microseconds since the run began.
    pub fn now_us(&self) -> u64 {
        self.inner.now_us.load(Ordering::Relaxed)
    }

    /// True time goes on.
    pub fn pass(&self, us: u64) {
        self.inner.now_us.fetch_add(us, Ordering::Relaxed);
    }

    /// One line of the trace.
    pub fn note(&self, who: &str, what: fmt::Arguments<'_>) {
        let us = self.now_us();
        let line = format!("{:>9}.{:03} {who} {what}\n", us / 1000, us % 1000);
        let mut out = self.inner.out.lock();
        out.lines += 1;
        for byte in line.bytes() {
            out.hash = (out.hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        if let Some(trace) = &mut out.trace {
            // whoever stopped reading has seen enough
            drop(trace.write_all(line.as_bytes()));
        }
    }

    /// Something that must never be true.
    pub fn violation(&self, invariant: &str, what: fmt::Arguments<'_>) {
        self.note("VIOLATION", format_args!("{invariant}: {what}"));
        let mut out = self.inner.out.lock();
        let text = format!("{invariant}: {what}");
        if out.violations.len() < VIOLATIONS_MAX && !out.violations.contains(&text) {
            out.violations.push(text);
        }
    }

    /// What was found wrong.
    pub fn violations(&self) -> Vec<String> {
        self.inner.out.lock().violations.clone()
    }

    /// How many lines there are, and the hash of all of them.
    pub fn summary(&self) -> (u64, u64) {
        let mut out = self.inner.out.lock();
        if let Some(trace) = &mut out.trace {
            drop(trace.flush());
        }
        (out.lines, out.hash)
    }
}
