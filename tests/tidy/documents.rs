//! The shape of documents: decisions, the changelog, and links between files.

use super::tree::Tree;

const DECISION_PARTS: [&str; 5] = [
    "## Context",
    "## Decision",
    "## Consequences",
    "## Alternatives",
    "## Log",
];

const CHANGELOG_PARTS: [&str; 3] = [
    "### Safety and performance",
    "### Features",
    "### Internals",
];

/// Longest decision, in lines: one page.
const DECISION_LINES_MAX: usize = 80;

pub(crate) fn misshapen_decisions(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in tree.texts(|path| path.starts_with("docs/adr/")) {
        let name = path.trim_start_matches("docs/adr/");
        if !is_dated(name) {
            found.push(format!(
                "{path} is not named YYYY-MM-DD-what-was-decided.md"
            ));
        }
        let parts: Vec<&str> = text
            .lines()
            .filter(|line| line.starts_with("## "))
            .collect();
        if parts != DECISION_PARTS {
            found.push(format!(
                "{path} has the parts {parts:?}, not {DECISION_PARTS:?}"
            ));
        }
        let lines = text.lines().count();
        if lines > DECISION_LINES_MAX {
            found.push(format!("{path} has {lines} lines, more than a page"));
        }
    }
    found
}

fn is_dated(name: &str) -> bool {
    let (date, slug) = name.split_at_checked(11).unwrap_or((name, ""));
    let fits = |(at, c): (usize, char)| match at {
        4 | 7 | 10 => c == '-',
        _ => c.is_ascii_digit(),
    };
    let is_slug = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let slug = slug.strip_suffix(".md").unwrap_or_default();
    date.len() == 11
        && date.chars().enumerate().all(fits)
        && !slug.is_empty()
        && slug.chars().all(is_slug)
}

pub(crate) fn misshapen_changelog(tree: &Tree) -> Vec<String> {
    let Some((path, text)) = tree.texts(|path| path == "CHANGELOG.md").next() else {
        return vec!["CHANGELOG.md is missing".to_owned()];
    };
    let mut found = Vec::new();
    let mut last = None;
    for (index, line) in text.lines().enumerate() {
        let place = format!("{path}:{}", index + 1);
        if line.starts_with("## ") {
            last = None;
        } else if line.starts_with("### ") {
            let part = CHANGELOG_PARTS.iter().position(|part| *part == line);
            if part.is_none() || part <= last {
                found.push(format!(
                    "{place}: `{line}` is not one of {CHANGELOG_PARTS:?} in this order"
                ));
            }
            last = part;
        } else if line.starts_with("- ") && last.is_none() {
            found.push(format!(
                "{place}: an entry stands under none of {CHANGELOG_PARTS:?}"
            ));
        }
    }
    found
}

pub(crate) fn dead_links(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in tree.texts(|path| path.ends_with(".md")) {
        for (index, line) in text.lines().enumerate() {
            for target in links(line).filter(|target| !leads(tree, path, target)) {
                found.push(format!("{path}:{}: {target} does not exist", index + 1));
            }
        }
    }
    found
}

fn links(line: &str) -> impl Iterator<Item = &str> {
    let targets = line
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'));
    targets.map(|(target, _)| target.split('#').next().unwrap_or(target))
}

fn leads(tree: &Tree, from: &str, target: &str) -> bool {
    if target.is_empty() || target.contains("://") {
        return true;
    }
    let mut at: Vec<&str> = from.split('/').collect();
    at.pop();
    for part in target
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
    {
        if part != ".." {
            at.push(part);
        } else if at.pop().is_none() {
            return false;
        }
    }
    tree.has(&at.join("/"))
}

#[test]
fn misshapen_decision_is_found() {
    let good = DECISION_PARTS.join("\n\n");
    let swapped = "## Decision\n## Context\n## Consequences\n## Alternatives\n## Log\n";
    let long = format!("{good}{}", "\n".repeat(DECISION_LINES_MAX));
    let tree = |path: &str, text: &str| misshapen_decisions(&Tree::of(&[(path, text)])).len();
    assert_eq!(tree("docs/adr/2026-11-24-a-choice.md", &good), 0);
    assert_eq!(tree("docs/adr/2026-11-24-a-choice.md", swapped), 1);
    assert_eq!(tree("docs/adr/2026-11-24-a-choice.md", &long), 1);
    for name in [
        "0001-choice.md",
        "2026-11-24.md",
        "2026-11-24-A.md",
        "2026-1-24-a.md",
    ] {
        assert_eq!(tree(&format!("docs/adr/{name}"), &good), 1, "{name}");
    }
}

#[test]
fn misshapen_changelog_is_found() {
    let lines = |text: &str| misshapen_changelog(&Tree::of(&[("CHANGELOG.md", text)])).len();
    assert_eq!(
        lines(
            "## 1\n### Safety and performance\n- a\n### Internals\n- b\n## 0\n### Features\n- c\n"
        ),
        0
    );
    assert_eq!(lines("## 1\n### Features\n### Safety and performance\n"), 1);
    assert_eq!(lines("## 1\n### Fixes\n"), 1);
    assert_eq!(lines("## 1\n- stray\n"), 1);
    assert_eq!(
        misshapen_changelog(&Tree::default()),
        ["CHANGELOG.md is missing"]
    );
}

#[test]
fn dead_link_is_found() {
    let text = "[a](b.md) [c](../README.md#part) [d](https://x.example/y) [e](gone.md) [f](adr/)\n";
    let tree = Tree::of(&[
        ("docs/a.md", text),
        ("docs/b.md", ""),
        ("README.md", ""),
        ("docs/adr/x", ""),
    ]);
    assert_eq!(dead_links(&tree), ["docs/a.md:1: gone.md does not exist"]);
}
