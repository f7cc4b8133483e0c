//! The protocol, row by row: raw bytes to the running binary, one test for each row of the checklist that is
//! proved, and `docs/conformance.md`, which says of every row by which test it is proved or why it is still open.
//! With `AMPORA_REWRITE` set the document is written anew from what the rows answered.

mod agent;
mod bomb;
mod deadline;
mod document;
mod http;
mod row;
mod rows;
mod say;
mod secure;
mod server;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "a suite uses what it needs of it")]
mod support;
mod watch;
mod ws;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use libtest_mimic::{Arguments, Trial};

use row::{Proof, Row};

/// Rows mostly wait for a server: more of them at a time than there are cores.
const ROWS_AT_A_TIME: usize = 12;

/// Whether a test passed, by its name.
pub(crate) type Results = BTreeMap<&'static str, bool>;

#[expect(clippy::print_stdout, reason = "what a suite has to say is printed")]
fn main() -> ExitCode {
    let mut args = Arguments::from_args();
    let rows = rows::all();
    row::check(&rows);
    let results = Arc::new(Mutex::new(Results::new()));
    let mut trials: Vec<Trial> = rows.iter().filter_map(|row| trial(row, &results)).collect();
    let beyond = rows::BEYOND
        .iter()
        .chain(rows::FLOODS)
        .chain(rows::FORGOTTEN);
    trials.extend(beyond.map(|(name, run)| recorded(name, *run, &results)));
    args.test_threads = args.test_threads.or(Some(ROWS_AT_A_TIME));
    let conclusion = libtest_mimic::run(&args, trials);
    server::stop_shared();
    if args.list {
        return conclusion.exit_code();
    }
    let results = std::mem::take(&mut *results.lock().expect("results"));
    print!("{}", document::table(&rows, &results));
    match document::keep(&rows, &results) {
        Ok(()) => conclusion.exit_code(),
        Err(complaint) => {
            println!("{complaint}");
            ExitCode::FAILURE
        }
    }
}

fn trial(row: &Row, results: &Arc<Mutex<Results>>) -> Option<Trial> {
    match row.proof {
        Proof::Test { name, run } => Some(recorded(name, run, results)),
        Proof::Elsewhere { .. } | Proof::Open(_) => None,
    }
}

fn recorded(name: &'static str, run: fn(), results: &Arc<Mutex<Results>>) -> Trial {
    let results = results.clone();
    Trial::test(name, move || {
        let ended = catch_unwind(AssertUnwindSafe(run));
        results.lock().expect("results").insert(name, ended.is_ok());
        match ended {
            Ok(()) => Ok(()),
            Err(panic) => resume_unwind(panic),
        }
    })
}
