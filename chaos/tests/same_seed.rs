//! One seed is one run: two processes give the same trace, byte for byte, and another seed gives another.

use std::process::Command;

fn trace(seed: &str) -> Vec<u8> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ampora-chaos"));
    let ran = command.args(["run", seed]).output().expect("it runs");
    let violations = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(ran.status.success(), "{violations}");
    ran.stdout
}

#[test]
fn the_same_seed_gives_the_same_bytes_in_two_processes() {
    let (first, second) = (trace("2"), trace("2"));
    assert!(first.len() > 10_000, "{} bytes", first.len());
    let differs = first
        .split(|byte| *byte == b'\n')
        .zip(second.split(|byte| *byte == b'\n'))
        .find(|(left, right)| left != right);
    let differs = differs.map(|(left, right)| {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        (text(left), text(right))
    });
    assert_eq!(differs, None);
    assert_eq!(first.len(), second.len());
}

#[test]
fn another_seed_gives_another_run() {
    assert_ne!(trace("3"), trace("4"));
}
