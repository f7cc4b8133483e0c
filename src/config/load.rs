//! Sources into one [`Config`]: which file is read, which source wins, and everything that is wrong in one answer.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::{
    Config, Effect,
    combinations::{self, Origins},
    file,
    given::Value,
    layer::{Layer, Setting},
    problem::{ConfigError, Origin, Problem},
};

/// Where a configuration may come from, taken from the process by whoever calls.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The file that a flag names. It must exist. `AMPORA_CONFIG` names one likewise, when this is `None`.
    pub file: Option<PathBuf>,
    /// Files that are read when none is named; the first that exists.
    pub default_files: Vec<PathBuf>,
    /// The environment of the process.
    pub environment: BTreeMap<String, String>,
    /// `key=value`, in order.
    pub set: Vec<String>,
    /// The data directory that a flag names.
    pub data_dir: Option<PathBuf>,
    /// What stands in for `node.name` when nothing sets it.
    pub host_name: Option<String>,
}

/// A configuration that can be used, and what its owner should know about it.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// The file that was read.
    pub file: Option<PathBuf>,
    /// Sentences about what was accepted without effect, each with its place.
    pub notes: Vec<String>,
}

/// Reads all sources and layers them: defaults, file, environment, flags; later wins.
///
/// # Errors
/// Every problem of every source at once, with its place.
pub fn load(sources: &Sources) -> Result<Loaded, ConfigError> {
    let mut problems = Vec::new();
    let file = find_file(sources);
    let from_file = match &file {
        Some(path) => match file::read(path) {
            Ok(tree) => Layer::of_file(path, &tree),
            Err(problem) => {
                problems.push(problem);
                Layer::default()
            }
        },
        None => Layer::default(),
    };
    let layers = [
        from_file,
        Layer::of_environment(&sources.environment),
        Layer::of_flags(&sources.set, sources.data_dir.as_deref()),
    ];
    let mut notes = Vec::new();
    let mut winners = BTreeMap::new();
    for layer in layers {
        problems.extend(layer.problems);
        notes.extend(layer.notes);
        for setting in layer.settings {
            settle(&mut winners, setting, &mut problems);
        }
    }
    let (mut config, origins) = apply(&winners, &mut notes);
    if config.node.name.is_none() {
        config.node.name.clone_from(&sources.host_name);
    }
    problems.extend(combinations::check(&config, &origins));
    problems.sort_by_key(|problem| match &problem.origin {
        Some(Origin::File { line, column, .. }) => (*line, *column),
        Some(Origin::Variable(_) | Origin::Flag(_)) | None => (u64::MAX, u64::MAX),
    });
    if problems.is_empty() {
        notes.extend(combinations::advice(&config));
        Ok(Loaded {
            config,
            file,
            notes,
        })
    } else {
        Err(ConfigError { problems })
    }
}

/// The file to read: a named one whether it exists or not, else the first default that does.
fn find_file(sources: &Sources) -> Option<PathBuf> {
    let named = || {
        sources
            .environment
            .get("AMPORA_CONFIG")
            .filter(|path| !path.is_empty())
    };
    let found = sources.file.clone().or_else(|| named().map(PathBuf::from));
    found.or_else(|| {
        let is_there = |path: &&PathBuf| path.try_exists().unwrap_or(true);
        sources.default_files.iter().find(is_there).cloned()
    })
}

/// Puts a setting in its place, over an earlier one. Its value is checked even if a later source will win: what is
/// written wrong is found when it is written, not when the other source goes away.
fn settle(
    winners: &mut BTreeMap<&'static str, Setting>,
    setting: Setting,
    problems: &mut Vec<Problem>,
) {
    let name = setting.key.name;
    if setting.given.value == Value::Unset {
        winners.remove(name);
        return;
    }
    let is_file_of = |file: &str, value: &str| file.strip_suffix("_file") == Some(value);
    winners.retain(|other, _| !is_file_of(other, name) && !is_file_of(name, other));
    match (setting.key.set)(&mut Config::default(), &setting.given) {
        Ok(()) => {
            winners.insert(name, setting);
        }
        Err(text) => problems.push(Problem::at(&setting.origin, format!("`{name}`: {text}"))),
    }
}

fn apply(winners: &BTreeMap<&'static str, Setting>, notes: &mut Vec<String>) -> (Config, Origins) {
    let mut config = Config::default();
    let mut origins = Origins::new();
    for (name, setting) in winners {
        // Accepted before by `settle`; a secret's file may have gone since, and then the key stays unset.
        if let Err(text) = (setting.key.set)(&mut config, &setting.given) {
            notes.push(format!("{}: `{name}`: {text}", setting.origin));
        }
        origins.insert(name, setting.origin.clone());
        if setting.key.effect == Effect::Later {
            notes.push(format!(
                "{}: `{name}` takes effect with a later version",
                setting.origin
            ));
        }
    }
    (config, origins)
}

/// The files that are read when none is named.
pub fn default_files() -> Vec<PathBuf> {
    [
        Path::new("ampora.yaml"),
        Path::new("/etc/ampora/ampora.yaml"),
    ]
    .map(Path::to_owned)
    .into()
}
