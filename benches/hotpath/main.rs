//! One piece of the hot path as a process, for counting its instructions: `hotpath session|apply prepare|run`. Both
//! prepare the same; the difference between the two is the work alone.

use std::hint::black_box;
use std::process::ExitCode;

use ampora_hotpath::apply::Reports;
use ampora_hotpath::session::Heartbeats;

const HEARTBEATS: u64 = 10_000;
const BATCHES: u64 = 1_000;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (work, share) = match arguments[..] {
        [work, "prepare"] => (work, 0),
        [work, "run"] => (work, 1),
        _ => return ExitCode::from(2),
    };
    let done = match work {
        "session" => Heartbeats::new(HEARTBEATS).run(share * HEARTBEATS),
        "apply" => Reports::new(BATCHES).run(share * BATCHES),
        _ => return ExitCode::from(2),
    };
    black_box(done);
    ExitCode::SUCCESS
}
