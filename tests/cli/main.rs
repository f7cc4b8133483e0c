//! The command line as people and scripts meet it: the real binary against a real node.

mod access;
mod agent;
mod answers;
mod audit;
mod backup;
mod bounds;
mod fleet;
mod reach;
#[path = "../support/mod.rs"]
mod support;

use std::{
    io::Write,
    process::{Child, Command, Output, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use support::Node;

/// What a command did.
#[derive(Debug)]
struct Did {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Did {
    /// Runs a command to its end.
    fn run(mut command: Command) -> Did {
        Did::of(command.output().expect("the binary runs"))
    }

    fn of(output: Output) -> Did {
        let text = |bytes| String::from_utf8(bytes).expect("text");
        Did {
            code: output.status.code(),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }

    /// Its output, when it went well and complained about nothing.
    fn ok(self) -> String {
        assert_eq!(
            (self.code, self.err.as_str()),
            (Some(0), ""),
            "{}",
            self.out
        );
        self.out
    }

    /// What it said when it ended with this code.
    fn failed(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{}{}", self.out, self.err);
        self.err
    }
}

/// A command that goes on beside the test. Dropping it kills it, so that a test that fails leaves nothing behind.
struct Beside(Option<Child>);

impl Beside {
    /// Starts it.
    fn start(command: &mut Command) -> Beside {
        Beside(Some(command.spawn().expect("the binary runs")))
    }

    fn child(&mut self) -> &mut Child {
        self.0.as_mut().expect("not ended by this test")
    }

    /// Its exit code, once it has ended.
    fn ended(&mut self) -> Option<Option<i32>> {
        let status = self.child().try_wait().expect("a child")?;
        Some(status.code())
    }

    /// Does as Ctrl-C does.
    fn interrupt(&mut self) {
        let pid = i32::try_from(self.child().id()).expect("a process id");
        kill(Pid::from_raw(pid), Signal::SIGINT).expect("a process that takes signals");
    }

    /// Waits for its end.
    fn did(mut self) -> Did {
        let child = self.0.take().expect("not ended by this test");
        Did::of(child.wait_with_output().expect("an end"))
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            // one that has ended already cannot be killed
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// A command for a node, typed as on its machine, where the configuration says where it is.
fn typed(node: &Node, words: &[&str]) -> Command {
    let mut command = node.ampora();
    command
        .args(["--data-dir", "data", "--set", "admin.listen=127.0.0.1:0"])
        .args(words);
    command
}

/// Types it and waits for its end.
fn run(node: &Node, words: &[&str]) -> Did {
    Did::run(typed(node, words))
}

/// The same for words without blanks in them.
fn line(node: &Node, words: &str) -> Did {
    run(node, &words.split_whitespace().collect::<Vec<_>>())
}

/// The same with something on standard input.
fn run_with(node: &Node, words: &[&str], input: &str) -> Did {
    let mut command = typed(node, words);
    command.stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary runs");
    let mut stdin = child.stdin.take().expect("standard input");
    stdin.write_all(input.as_bytes()).expect("a reader");
    drop(stdin);
    Did::of(child.wait_with_output().expect("an end"))
}

/// What a line answers in JSON.
fn json(node: &Node, words: &str) -> Value {
    let text = line(node, &format!("{words} -o json")).ok();
    serde_json::from_str(&text).expect("JSON")
}

/// Checks that a text has all of these parts.
#[track_caller]
fn has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
}
