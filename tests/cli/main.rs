//! The command line as people and scripts meet it: the real binary against a real node.

mod agent;
mod answers;
mod fleet;
mod reach;
#[path = "../support/mod.rs"]
mod support;

use std::{
    io::Write,
    process::{Command, Output, Stdio},
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
