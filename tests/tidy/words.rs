//! Words that must not stand anywhere: marks of unfinished work, places on somebody's machine, and names of the
//! tools that text was written with. This file and its neighbours spell them out and are left out.

use super::tree::Tree;

const UNFINISHED: [&str; 7] = [
    "TODO",
    "FIXME",
    "XXX",
    "HACK",
    "unimplemented!",
    "todo!",
    "#[ignore",
];

const FOREIGN: [&str; 12] = [
    "/home/",
    "/root/",
    "/work/",
    "/tmp/wt",
    "/Users/",
    "claude",
    "anthropic",
    "chatgpt",
    "openai",
    "copilot",
    "language model",
    "ai-generated",
];

/// This suite, and inputs that chance has written.
const SPARED: [&str; 2] = ["tests/tidy/", "tests/fuzz/corpus/"];

pub(crate) fn unfinished(tree: &Tree) -> Vec<String> {
    lines_with_any(tree, &UNFINISHED, str::to_owned)
}

pub(crate) fn foreign(tree: &Tree) -> Vec<String> {
    lines_with_any(tree, &FOREIGN, str::to_lowercase)
}

fn lines_with_any(tree: &Tree, words: &[&str], fold: fn(&str) -> String) -> Vec<String> {
    let mut found = Vec::new();
    let is_spared = |path: &str| SPARED.iter().any(|spared| path.starts_with(spared));
    for (path, text) in tree.texts(|path| !is_spared(path) && !path.ends_with(".sum")) {
        for (index, line) in text.lines().enumerate() {
            let folded = fold(line);
            for word in words.iter().filter(|word| stands(&folded, &fold(word))) {
                found.push(format!("{path}:{}: `{word}`", index + 1));
            }
        }
    }
    found
}

/// Whether a word stands for itself: a letter or digit before or after it makes it part of another one.
fn stands(line: &str, word: &str) -> bool {
    let is_name = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    line.match_indices(word).any(|(at, found)| {
        let before = line[..at].chars().next_back();
        let after = line[at + found.len()..].chars().next();
        let begins = is_name(word.chars().next()) && is_name(before);
        let ends = is_name(word.chars().next_back()) && is_name(after);
        !begins && !ends
    })
}

#[test]
fn unfinished_work_is_found_as_whole_words() {
    let text =
        "// TODO: later\nlet x = \"XXXX\";\ntodo!()\nautodoc\n#[ignore]\n#[ignore = \"slow\"]\n";
    let found = unfinished(&Tree::of(&[("src/a.rs", text), ("tests/tidy/a.rs", text)]));
    let lines = ["1: `TODO`", "3: `todo!`", "5: `#[ignore`", "6: `#[ignore`"];
    assert_eq!(found, lines.map(|line| format!("src/a.rs:{line}")));
}

#[test]
fn places_and_tools_are_found_in_any_case() {
    let text = "see /home/me/x\nby Claude\nclauded\n/homeless/\n";
    let found = foreign(&Tree::of(&[("docs/a.md", text)]));
    assert_eq!(found, ["docs/a.md:1: `/home/`", "docs/a.md:2: `claude`"]);
}
