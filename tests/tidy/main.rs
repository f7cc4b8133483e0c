//! What compilers cannot see: who may import what, how files begin and how long they are, which words and names are
//! not wanted, the shape of documents, and that generated documents are current. Reads the tree, changes nothing,
//! except that with `AMPORA_REWRITE` set it writes generated documents anew.

mod code;
mod documents;
mod files;
mod generated;
mod imports;
mod manifests;
mod tree;
mod words;

use tree::Tree;

/// Reads a tree and complains.
type Check = fn(&Tree) -> Vec<String>;

/// Every check, by the name that a failure prints.
const CHECKS: &[(&str, Check)] = &[
    (
        "every source file opens with its purpose",
        files::without_purpose,
    ),
    ("source files stay short", files::too_long),
    ("files stay small", files::too_large),
    (
        "modules have names that say something",
        files::with_empty_names,
    ),
    ("imports keep to the rooms", imports::out_of_place),
    (
        "manifests keep to the dependency rule",
        manifests::out_of_rule,
    ),
    ("exact versions stay exact", manifests::floating),
    (
        "bugs on purpose are off unless they are asked for",
        manifests::planted,
    ),
    (
        "words that mark unfinished work are absent",
        words::unfinished,
    ),
    (
        "the tree names no machine and no tool of its making",
        words::foreign,
    ),
    ("decisions have their form", documents::misshapen_decisions),
    ("the changelog has its form", documents::misshapen_changelog),
    ("links lead somewhere", documents::dead_links),
];

#[test]
fn tree_is_tidy() {
    let tree = Tree::read();
    let mut complaints = Vec::new();
    for (name, check) in CHECKS {
        complaints.extend(
            check(&tree)
                .into_iter()
                .map(|found| format!("{name}: {found}")),
        );
    }
    assert!(
        complaints.is_empty(),
        "{} complaints\n{}",
        complaints.len(),
        complaints.join("\n")
    );
}
