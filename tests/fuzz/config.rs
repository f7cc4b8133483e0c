//! Any configuration: a file, then after a line `%` variables, one `NAME=value` a line, then after another `%` what
//! follows `--set`. Either problems that say where, or a configuration that is printed and read again the same.
#![no_main]

#[expect(
    dead_code,
    unused_imports,
    reason = "the loader alone is looked at, without the node around it"
)]
#[path = "../../src/config/mod.rs"]
mod config;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use config::{Config, Loaded, Origin, Problem, REDACTED, Sources, effective, load, locate_admin};
use libfuzzer_sys::fuzz_target;

/// Where the file of this process stands.
static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    let name = format!("ampora-fuzz-config-{}.yaml", std::process::id());
    // three writes for each input: memory, where there is a directory of it
    let memory = PathBuf::from("/dev/shm");
    let directory = if memory.is_dir() {
        memory
    } else {
        std::env::temp_dir()
    };
    directory.join(name)
});

fuzz_target!(|bytes: &[u8]| {
    let (file, rest) = split(bytes);
    let (variables, flags) = split(rest);
    let (variables, flags) = (
        String::from_utf8_lossy(variables),
        String::from_utf8_lossy(flags),
    );
    let pairs = variables.lines().filter_map(|line| line.split_once('='));
    let environment: BTreeMap<String, String> = pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .filter(|(name, _)| name != "AMPORA_CONFIG")
        .collect();
    let sources = Sources {
        file: Some(FILE.clone()),
        environment,
        set: flags.lines().map(str::to_owned).collect(),
        host_name: Some("host".to_owned()),
        ..Sources::default()
    };
    fs::write(&*FILE, file).expect("a directory that can be written to");
    match load(&sources) {
        Ok(loaded) => usable(&loaded),
        Err(error) => {
            assert!(!error.problems.is_empty());
            assert!(!error.to_string().is_empty());
            // counted once: one file may have very many problems
            let lines = String::from_utf8_lossy(file).split(['\n', '\r']).count() as u64;
            for problem in &error.problems {
                placed(problem, lines);
            }
        }
    }
});

fn split(bytes: &[u8]) -> (&[u8], &[u8]) {
    let mut windows = bytes.windows(3);
    match windows.position(|window| window == b"\n%\n") {
        Some(at) => (&bytes[..=at], &bytes[at + 3..]),
        None => (bytes, &[]),
    }
}

/// A problem stands in a line of the file, a variable or a flag, or it is about the whole file and names it.
fn placed(problem: &Problem, lines: u64) {
    assert!(!problem.text.is_empty());
    match &problem.origin {
        Some(Origin::File { path, line, column }) => {
            assert_eq!(path, &*FILE);
            assert!((1..=lines + 1).contains(line) && *column >= 1, "{problem}");
        }
        Some(Origin::Variable(_) | Origin::Flag(_)) => {}
        None => assert!(
            problem.text.contains(&*FILE.to_string_lossy()),
            "nowhere: {problem}"
        ),
    }
}

/// Printed and read again it is the same, once relative paths have taken the place of the file.
fn usable(loaded: &Loaded) {
    locate_admin(&loaded.config, None);
    let Some(first) = read_again(&effective(&loaded.config)) else {
        return;
    };
    let printed = effective(&first);
    let second = read_again(&printed).expect("what was read again can be again");
    assert_eq!(second, first);
    assert_eq!(effective(&second), printed);
}

/// `None` where a secret was left out.
fn read_again(printed: &str) -> Option<Config> {
    fs::write(&*FILE, printed).expect("a directory that can be written to");
    let again = load(&Sources {
        file: Some(FILE.clone()),
        ..Sources::default()
    });
    match again {
        Ok(again) => Some(again.config),
        Err(error) => {
            assert!(printed.contains(REDACTED), "{error}\n{printed}");
            None
        }
    }
}
