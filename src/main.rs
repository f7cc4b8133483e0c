//! The `ampora` binary: takes what the process has (arguments, environment, host name, terminals) and hands it
//! to the command line. The one place that reads the environment.

use std::{
    collections::BTreeMap,
    io::{IsTerminal, Write},
    process::ExitCode,
};

use ampora::{
    cli::{self, Surroundings, args::Cli},
    telemetry::logs::Outlet,
};
use clap::Parser;

/// glibc keeps the pages of large messages once some were freed: 200 kB for each agent that ever sent 256 KiB.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let Err(error) = cli::run(Cli::parse(), &surroundings()) else {
        return ExitCode::SUCCESS;
    };
    let code = error.exit_code();
    // Who closed standard error does not want to read it.
    let _ = writeln!(std::io::stderr(), "{:#}", anyhow::Error::from(error));
    code
}

fn surroundings() -> Surroundings {
    // A variable that is not UTF-8 is none of ours; its value is carried only so that it is not mistaken for unset.
    let environment: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
        .map(|(name, value)| (name, value.to_string_lossy().into_owned()))
        .collect();
    let is_terminal = std::io::stderr().is_terminal();
    let allows_color = environment.get("NO_COLOR").is_none_or(String::is_empty);
    Surroundings {
        environment,
        host_name: host_name(),
        outlet: Outlet {
            is_terminal,
            allows_color,
        },
        is_output_terminal: std::io::stdout().is_terminal(),
    }
}

fn host_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}
