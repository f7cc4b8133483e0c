//! Files as such: how they begin, how long and large they are, what they are called.

use super::tree::Tree;

/// Longest source file, in lines: what can be read in one sitting.
const LINES_MAX: usize = 500;

/// Largest file of any kind, in bytes: a repository that is cloned often stays small.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Module names that say where something was put, not what it is.
const EMPTY_NAMES: [&str; 7] = [
    "util", "utils", "helpers", "common", "misc", "manager", "types",
];

pub(crate) fn without_purpose(tree: &Tree) -> Vec<String> {
    let lacking = tree.rust().filter(|(_, text)| !text.starts_with("//! "));
    lacking
        .map(|(path, _)| format!("{path} does not open with `//! `"))
        .collect()
}

pub(crate) fn too_long(tree: &Tree) -> Vec<String> {
    let lengths = tree.rust().map(|(path, text)| (path, text.lines().count()));
    let long = lengths.filter(|(_, lines)| *lines > LINES_MAX);
    long.map(|(path, lines)| format!("{path} has {lines} lines, more than {LINES_MAX}"))
        .collect()
}

pub(crate) fn too_large(tree: &Tree) -> Vec<String> {
    let large = tree.files.iter().filter(|file| file.bytes > FILE_BYTES_MAX);
    large
        .map(|file| format!("{} has {} bytes", file.path, file.bytes))
        .collect()
}

pub(crate) fn with_empty_names(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    for (path, _) in tree.rust() {
        for part in path.trim_end_matches(".rs").split('/') {
            if EMPTY_NAMES.contains(&part) || part.starts_with("new_") {
                found.push(format!("{path}: `{part}` does not say what it is"));
            }
        }
    }
    found
}

#[test]
fn file_without_purpose_is_found() {
    let tree = Tree::of(&[
        ("src/a.rs", "//! Purpose.\n"),
        ("src/b.rs", "use x;\n//! Late.\n"),
    ]);
    assert_eq!(
        without_purpose(&tree),
        ["src/b.rs does not open with `//! `"]
    );
}

#[test]
fn long_file_is_found() {
    let (fits, long) = ("x\n".repeat(LINES_MAX), "x\n".repeat(LINES_MAX + 1));
    let tree = Tree::of(&[("a.rs", &fits), ("b.rs", &long), ("c.md", &long)]);
    assert_eq!(too_long(&tree), ["b.rs has 501 lines, more than 500"]);
}

#[test]
fn large_file_is_found() {
    let large = "x".repeat(1024 * 1024 + 1);
    assert_eq!(
        too_large(&Tree::of(&[("a.bin", &large), ("b", "")])),
        ["a.bin has 1048577 bytes"]
    );
}

#[test]
fn empty_name_is_found_in_any_part_of_a_path() {
    let bad = [
        "src/utils.rs",
        "src/helpers/a.rs",
        "raft/src/new_queue.rs",
        "src/a/types.rs",
    ];
    let files: Vec<(&str, &str)> = bad.iter().map(|path| (*path, "")).collect();
    assert_eq!(with_empty_names(&Tree::of(&files)).len(), bad.len());
    assert!(with_empty_names(&Tree::of(&[("src/news.rs", ""), ("docs/types.md", "")])).is_empty());
}
