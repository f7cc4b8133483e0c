//! The configuration file: YAML into a tree of texts that remembers lines and columns. It knows the shape of a file
//! and no key.

use std::{fmt, path::Path};

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Options, Spanned};

use super::{
    given::read_bounded,
    problem::{Origin, Problem},
};

/// Largest configuration file, in bytes: every key with a comment fits in a hundredth of it.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// A node of the file. Scalars are texts: what they must be is decided by the key.
#[derive(Debug)]
pub(super) enum Tree {
    Unset,
    Scalar(String),
    List(Vec<Tree>),
    Mapping(Vec<(Spanned<String>, Tree)>),
}

/// Reads and parses a file.
pub(super) fn read(path: &Path) -> Result<Tree, Problem> {
    let text = read_bounded(path, FILE_BYTES_MAX).map_err(|text| Problem { origin: None, text })?;
    parse(path, &text)
}

fn parse(path: &Path, text: &str) -> Result<Tree, Problem> {
    let mut options = Options::default();
    options.strict_booleans = true;
    options.with_snippet = false;
    if text.trim().is_empty() {
        return Ok(Tree::Unset);
    }
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let place = error.location();
        let text = without_place(error.without_snippet().to_string());
        let origin = place.map(|place| Origin::File {
            path: path.to_owned(),
            line: place.line(),
            column: place.column(),
        });
        let text = if origin.is_some() {
            text
        } else {
            format!("{}: {text}", path.display())
        };
        Problem { origin, text }
    })
}

/// The parser's sentence without the place that it repeats at its start or end.
fn without_place(text: String) -> String {
    let text = text.trim_start_matches("error: ");
    let line = text.lines().next().unwrap_or(text);
    match line.split_once(" at line ") {
        Some((sentence, _)) => sentence.to_owned(),
        None => match line
            .strip_prefix("line ")
            .and_then(|rest| rest.split_once(": "))
        {
            Some((_, sentence)) => sentence.to_owned(),
            None => line.to_owned(),
        },
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value, a list or a mapping")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Unset)
    }

    fn visit_none<E>(self) -> Result<Tree, E> {
        Ok(Tree::Unset)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        Tree::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Tree, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Tree::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Tree, A::Error> {
        let mut mapping = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            mapping.push(entry);
        }
        Ok(Tree::Mapping(mapping))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> String {
        parse(Path::new("ampora.yaml"), text)
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn keys_remember_where_they_stand() {
        let tree = parse(Path::new("a"), "# head\nopamp:\n  listen: 127.0.0.1:1\n").unwrap();
        let Tree::Mapping(sections) = tree else {
            panic!("a mapping")
        };
        let Tree::Mapping(keys) = &sections[0].1 else {
            panic!("a mapping")
        };
        let place = keys[0].0.referenced;
        assert_eq!((place.line(), place.column()), (3, 3));
    }

    #[test]
    fn words_that_only_look_like_booleans_stay_words() {
        let tree = parse(Path::new("a"), "level: off\n").unwrap();
        let Tree::Mapping(keys) = tree else {
            panic!("a mapping")
        };
        assert!(matches!(&keys[0].1, Tree::Scalar(text) if text == "off"));
    }

    #[test]
    fn nothing_but_comments_is_an_empty_configuration() {
        for text in ["", "\n", "# only a comment\n", "---\n"] {
            assert!(
                matches!(parse(Path::new("a"), text), Ok(Tree::Unset)),
                "{text:?}"
            );
        }
    }

    #[test]
    fn broken_yaml_is_placed_once() {
        for text in [
            "opamp:\n  listen: [1\n",
            "a: 1\na: 2\n",
            "a: 1\n\tb: 2\n",
            "a: *nowhere\n",
        ] {
            let problem = problem(text);
            assert!(problem.starts_with("ampora.yaml:"), "{problem}");
            assert!(!problem.contains("line "), "{problem}");
            assert_eq!(problem.lines().count(), 1, "{problem}");
        }
    }

    #[test]
    fn depth_and_aliases_are_bounded() {
        assert!(problem(&"[".repeat(100_000)).contains("ampora.yaml"));
        let mut bomb = "a0: &a0 [x]\n".to_owned();
        for level in 1..30 {
            let below = level - 1;
            bomb.push_str(&format!("a{level}: &a{level} [*a{below}, *a{below}]\n"));
        }
        assert!(problem(&bomb).contains("ampora.yaml"));
    }
}
