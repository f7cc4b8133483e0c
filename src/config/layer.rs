//! One source at a time: what a file, the environment or the flags set, as settings of known keys. Everything that
//! is wrong with a source is found here, except what a key says about its value.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::{
    file::Tree,
    given::{Given, Value},
    key::Key,
    npgsql,
    problem::{Origin, Problem},
    spelling::{self, Connection, Meaning},
};

/// One key set by one source.
#[derive(Debug, Clone)]
pub(super) struct Setting {
    pub(super) key: &'static Key,
    pub(super) given: Given,
    pub(super) origin: Origin,
    /// As the source spelled it: the same key may stand in one source in one spelling only.
    spelled: String,
}

/// Everything that one source says.
#[derive(Debug, Default)]
pub(super) struct Layer {
    pub(super) settings: Vec<Setting>,
    /// Sentences about what was accepted without effect.
    pub(super) notes: Vec<String>,
    pub(super) problems: Vec<Problem>,
}

impl Layer {
    /// What a file sets.
    pub(super) fn of_file(path: &Path, tree: &Tree) -> Self {
        let mut layer = Self::default();
        match tree {
            Tree::Unset => {}
            Tree::Mapping(_) => FileWalk {
                path,
                layer: &mut layer,
            }
            .walk(&[], tree),
            Tree::Scalar(_) | Tree::List(_) => {
                let origin = Origin::File {
                    path: path.to_owned(),
                    line: 1,
                    column: 1,
                };
                let text = "expected sections such as `opamp:` with keys below them";
                layer.problems.push(Problem::at(&origin, text));
            }
        }
        layer.refuse_two_spellings(false);
        layer
    }

    /// What the environment sets.
    pub(super) fn of_environment(environment: &BTreeMap<String, String>) -> Self {
        let mut layer = Self::default();
        for (name, value) in environment {
            let ours = name.strip_prefix("AMPORA_");
            let Some(path) = ours.or(Some(name)).filter(|path| path.contains("__")) else {
                continue;
            };
            let path = path.to_lowercase();
            let path: Vec<&str> = path.split("__").collect();
            let section = path.first().copied().unwrap_or_default();
            if ours.is_none() && !spelling::is_of_predecessor(section) {
                continue;
            }
            let given = Given {
                value: text_value(value),
                base: PathBuf::new(),
            };
            layer.add(&path, name, given, Origin::Variable(name.clone()));
        }
        layer.refuse_two_spellings(false);
        layer
    }

    /// What the flags set: `--set key=value`, where a later one wins over an earlier, and `--data-dir`.
    pub(super) fn of_flags(sets: &[String], data_dir: Option<&Path>) -> Self {
        let mut layer = Self::default();
        for set in sets {
            let Some((name, value)) = set.split_once('=') else {
                let origin = Origin::Flag(format!("--set {set}"));
                let text = "expected key=value such as opamp.listen=127.0.0.1:0";
                layer.problems.push(Problem::at(&origin, text));
                continue;
            };
            let path: Vec<&str> = name.split(['.', ':']).collect();
            let given = Given {
                value: text_value(value),
                base: PathBuf::new(),
            };
            layer.add(&path, name, given, Origin::Flag(format!("--set {name}")));
        }
        if let Some(data_dir) = data_dir {
            let value = text_value(&data_dir.to_string_lossy());
            let given = Given {
                value,
                base: PathBuf::new(),
            };
            let origin = Origin::Flag("--data-dir".to_owned());
            layer.add(&["node", "data_dir"], "--data-dir", given, origin);
        }
        layer.refuse_two_spellings(true);
        layer
    }

    fn add(&mut self, path: &[&str], spelled: &str, given: Given, origin: Origin) {
        match spelling::meaning(path) {
            Meaning::Key(key) => {
                let spelled = spelled.to_owned();
                self.settings.push(Setting {
                    key,
                    given,
                    origin,
                    spelled,
                });
            }
            Meaning::Connection(which) => self.add_connection(which, spelled, &given, &origin),
            Meaning::Meaningless(why) => {
                self.notes
                    .push(format!("{origin}: `{spelled}` is ignored: {why}"));
            }
            Meaning::Section => {
                let text = format!("`{spelled}` is a section; set a key below it");
                self.problems.push(Problem::at(&origin, text));
            }
            Meaning::Unknown => self
                .problems
                .push(Problem::at(&origin, spelling::unknown(path))),
        }
    }

    fn add_connection(&mut self, which: Connection, spelled: &str, given: &Given, origin: &Origin) {
        if given.value == Value::Unset {
            return;
        }
        let translated = match given.text().and_then(npgsql::translate) {
            Ok(translated) => translated,
            Err(text) => {
                self.problems
                    .push(Problem::at(origin, format!("`{spelled}`: {text}")));
                return;
            }
        };
        let mut derived: Vec<(&[&str], String)> = Vec::new();
        let mut ignored = translated.ignored;
        match which {
            Connection::Primary => {
                derived.push((&["postgres", "url"], translated.url));
                if let Some(size) = translated.max_pool_size {
                    derived.push((&["postgres", "max_pool_size"], size));
                }
                if let Some(tls) = translated.tls {
                    derived.push((&["postgres", "tls"], tls.to_owned()));
                }
            }
            Connection::ReadReplica => {
                derived.push((&["postgres", "read_url"], translated.url));
                if translated.max_pool_size.is_some() {
                    ignored.push("MaxPoolSize (the pool is that of the primary)".to_owned());
                }
            }
        }
        for (path, text) in derived {
            let given = Given {
                value: Value::Text(text),
                base: given.base.clone(),
            };
            self.add(path, spelled, given, origin.clone());
        }
        if !ignored.is_empty() {
            let list = ignored.join(", ");
            self.notes.push(format!(
                "{origin}: options of `{spelled}` without meaning here: {list}"
            ));
        }
    }

    /// One key in two spellings, or a secret beside its file, is a contradiction that no order can settle.
    fn refuse_two_spellings(&mut self, last_of_a_spelling_wins: bool) {
        let mut seen: BTreeMap<&str, &Setting> = BTreeMap::new();
        let set = self
            .settings
            .iter()
            .filter(|setting| setting.given.value != Value::Unset);
        for setting in set {
            let subject = setting
                .key
                .name
                .strip_suffix("_file")
                .filter(|url| url.ends_with("url"));
            let subject = subject.unwrap_or(setting.key.name);
            let Some(first) = seen.insert(subject, setting) else {
                continue;
            };
            if last_of_a_spelling_wins && first.spelled == setting.spelled {
                continue;
            }
            let text = format!("`{subject}` is set twice, also by {}", first.origin);
            self.problems.push(Problem::at(&setting.origin, text));
        }
    }
}

/// An empty text leaves the default, as orchestrators that cannot leave a variable out expect.
fn text_value(text: &str) -> Value {
    if text.is_empty() {
        Value::Unset
    } else {
        Value::Text(text.to_owned())
    }
}

/// The way through a file. Depth is bounded by the parser.
struct FileWalk<'a> {
    path: &'a Path,
    layer: &'a mut Layer,
}

impl FileWalk<'_> {
    fn walk(&mut self, above: &[&str], tree: &Tree) {
        let Tree::Mapping(entries) = tree else { return };
        for (name, below) in entries {
            let mut path = above.to_vec();
            path.extend(name.value.split([':', '.']));
            let place = name.referenced;
            let origin = Origin::File {
                path: self.path.to_owned(),
                line: place.line(),
                column: place.column(),
            };
            self.entry(&path, below, origin);
        }
    }

    fn entry(&mut self, path: &[&str], below: &Tree, origin: Origin) {
        let spelled = path.join(":");
        let is_section = matches!(spelling::meaning(path), Meaning::Section);
        let value = match below {
            Tree::Mapping(_) if is_section => return self.walk(path, below),
            Tree::Unset if is_section => return,
            Tree::Unset => Value::Unset,
            Tree::Scalar(text) => text_value(text),
            Tree::List(items) => Value::List(items.iter().filter_map(scalar).collect()),
            Tree::Mapping(_) => {
                if matches!(
                    spelling::meaning(path),
                    Meaning::Key(_) | Meaning::Connection(_)
                ) {
                    let text = format!("`{spelled}`: expected a value, found keys below it");
                    return self.layer.problems.push(Problem::at(&origin, text));
                }
                Value::Unset
            }
        };
        if let Tree::List(items) = below
            && items.iter().any(|item| scalar(item).is_none())
        {
            let text = format!("`{spelled}`: expected a list of plain values");
            return self.layer.problems.push(Problem::at(&origin, text));
        }
        let base = self
            .path
            .parent()
            .map(Path::to_path_buf)
            .unwrap_or_default();
        self.layer
            .add(path, &spelled, Given { value, base }, origin);
    }
}

fn scalar(tree: &Tree) -> Option<String> {
    match tree {
        Tree::Scalar(text) => Some(text.clone()),
        Tree::Unset | Tree::List(_) | Tree::Mapping(_) => None,
    }
}
