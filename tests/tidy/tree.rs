//! The files of the repository, read once. Build output and whatever version control keeps is left out.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Deepest directory that is read: the tree is flat by design.
const DEPTH_MAX: usize = 12;

/// One file.
#[derive(Debug, Clone)]
pub(crate) struct File {
    /// From the root, with `/`.
    pub(crate) path: String,
    pub(crate) bytes: u64,
    /// The content, when it is text.
    pub(crate) text: Option<String>,
}

/// All files, in the order of their paths.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tree {
    pub(crate) files: Vec<File>,
}

impl Tree {
    pub(crate) fn read() -> Self {
        let mut tree = Self::default();
        tree.add(&root(), &root(), 0);
        tree.files.sort_by(|a, b| a.path.cmp(&b.path));
        assert!(tree.files.len() > 10, "the tree was not found");
        tree
    }

    /// A tree of the given paths and texts, for the checks' own tests.
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let file = |(path, text): &(&str, &str)| File {
            path: (*path).to_owned(),
            bytes: text.len() as u64,
            text: Some((*text).to_owned()),
        };
        Self {
            files: files.iter().map(file).collect(),
        }
    }

    fn add(&mut self, root: &Path, directory: &Path, depth: usize) {
        assert!(depth < DEPTH_MAX, "{} is too deep", directory.display());
        for entry in fs::read_dir(directory).expect("a readable directory") {
            let path = entry.expect("a readable entry").path();
            let kind = fs::symlink_metadata(&path).expect("a file that stays");
            if kind.is_dir() {
                if !is_skipped(&path) {
                    self.add(root, &path, depth + 1);
                }
            } else if kind.is_file() && path.file_name().is_some_and(|name| name != ".git") {
                let name = path.strip_prefix(root).expect("a path below the root");
                self.files.push(File {
                    path: name.to_string_lossy().replace('\\', "/"),
                    bytes: kind.len(),
                    text: fs::read_to_string(&path).ok(),
                });
            }
        }
    }

    /// Text files whose path the predicate accepts.
    pub(crate) fn texts<'a>(
        &'a self,
        wanted: impl Fn(&str) -> bool + 'a,
    ) -> impl Iterator<Item = (&'a str, &'a str)> {
        let of = |file: &'a File| Some((file.path.as_str(), file.text.as_deref()?));
        self.files
            .iter()
            .filter(move |file| wanted(&file.path))
            .filter_map(of)
    }

    pub(crate) fn rust(&self) -> impl Iterator<Item = (&str, &str)> {
        self.texts(|path| path.ends_with(".rs"))
    }

    pub(crate) fn has(&self, path: &str) -> bool {
        let below = format!("{path}/");
        self.files
            .iter()
            .any(|file| file.path == path || file.path.starts_with(&below))
    }
}

pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn is_skipped(directory: &Path) -> bool {
    let name = directory
        .file_name()
        .map(|name| name.to_string_lossy())
        .unwrap_or_default();
    name.starts_with("target") || [".git", "ampora-data", "node_modules"].contains(&&*name)
}
