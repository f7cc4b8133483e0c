//! Documents with a part that is made from the code: the part stands between two marks and must be current. Set
//! `AMPORA_REWRITE` (as `make fix` does) to write it anew.

use std::fs;

use super::tree::root;

const BEGIN: &str = "<!-- made from the code: make fix -->\n";
const END: &str = "<!-- end -->";

/// The document with its made part replaced, or nothing when the marks are missing.
fn rewritten(document: &str, part: &str) -> Option<String> {
    let (before, rest) = document.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}{part}{END}{after}"))
}

fn check(path: &str, part: &str) {
    let path = root().join(path);
    let document = fs::read_to_string(&path).expect("the document");
    let current = rewritten(&document, part).expect("both marks");
    if document == current {
        return;
    }
    if std::env::var_os("AMPORA_REWRITE").is_some() {
        fs::write(&path, current).expect("a writable document");
    } else {
        panic!(
            "{} is not what the code says; run `make fix`",
            path.display()
        );
    }
}

#[test]
fn configuration_reference_is_current() {
    check("docs/configuration.md", &ampora::config::reference());
}

#[test]
fn rest_reference_is_current() {
    check("docs/rest.md", &ampora::api::reference());
}

#[test]
fn error_codes_are_current() {
    check("docs/errors.md", &ampora::api::problem::reference());
}

#[test]
fn made_part_is_replaced_and_the_rest_stays() {
    let document = format!("head\n{BEGIN}old{END}\ntail\n");
    let current = format!("head\n{BEGIN}new\n{END}\ntail\n");
    assert_eq!(rewritten(&document, "new\n"), Some(current));
    assert_eq!(rewritten("no marks", "new"), None);
}
