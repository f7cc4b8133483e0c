//! From a spelling to a key: our own `snake_case`, and that of the predecessor, whose names are case-insensitive and
//! have no underscores. What the predecessor knew and this system has no use for is recognised here as well.

use super::{key::Key, sections};

/// Longest name that is compared or repeated, in bytes; longer ones are cut.
const NAME_BYTES_MAX: usize = 80;

/// What a path of names stands for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Meaning {
    /// A key.
    Key(&'static Key),
    /// A section; its keys stand one level deeper.
    Section,
    /// A connection string of the predecessor.
    Connection(Connection),
    /// Something of the predecessor that has no meaning here, and why.
    Meaningless(&'static str),
    /// Nothing that is known.
    Unknown,
}

/// Which of the predecessor's databases a connection string names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Connection {
    Primary,
    ReadReplica,
}

const NO_BACKPLANE: &str = "the replicated log is the backplane";
const OTHER_HOST: &str = "it configured the runtime of the predecessor";

/// Paths of the predecessor that are accepted without effect, folded; a last segment that ends in `*` stands for
/// every name that begins so, and everything below a path is meant too.
const MEANINGLESS: &[(&[&str], &str)] = &[
    (&["dispatch", "backplane*"], NO_BACKPLANE),
    (&["dispatch", "redis*"], NO_BACKPLANE),
    (&["connectionstrings", "redis*"], NO_BACKPLANE),
    (&["connectionstrings", "backplane*"], NO_BACKPLANE),
    (&["backplane*"], NO_BACKPLANE),
    (&["redis*"], NO_BACKPLANE),
    (&["livebus*"], NO_BACKPLANE),
    (&["allowedhosts"], OTHER_HOST),
    (&["detailederrors"], OTHER_HOST),
    (&["kestrel"], OTHER_HOST),
    (&["logging"], "logs are set by `log.level` and `log.format`"),
    (&["serilog"], "logs are set by `log.level` and `log.format`"),
    (
        &["urls"],
        "listeners are set by `opamp.listen` and `admin.listen`",
    ),
];

/// Finds what a path stands for. Exact names of ours come first, so that no name of ours can be taken for one of
/// the predecessor's.
pub(super) fn meaning(path: &[&str]) -> Meaning {
    if let Some(key) = sections::keys().find(|key| is_spelled(path, key.name)) {
        return Meaning::Key(key);
    }
    if sections::keys().any(|key| begins_with(path, key.name)) {
        return Meaning::Section;
    }
    let folded: Vec<String> = path.iter().map(|segment| segment.to_lowercase()).collect();
    let folded: Vec<&str> = folded.iter().map(String::as_str).collect();
    match folded.as_slice() {
        ["connectionstrings"] => return Meaning::Section,
        ["connectionstrings", "ampora"] => return Meaning::Connection(Connection::Primary),
        ["connectionstrings", "amporaread"] => return Meaning::Connection(Connection::ReadReplica),
        _ => {}
    }
    let found = MEANINGLESS
        .iter()
        .find(|(pattern, _)| matches_pattern(&folded, pattern));
    found.map_or(Meaning::Unknown, |(_, why)| Meaning::Meaningless(why))
}

/// Tells whether a variable without our prefix belongs to the predecessor: it begins with one of its sections.
pub(super) fn is_of_predecessor(section: &str) -> bool {
    ["opamp", "dispatch", "connectionstrings"].contains(&section.to_lowercase().as_str())
}

/// The sentence about an unknown path, with the known name nearest to it.
pub(super) fn unknown(path: &[&str]) -> String {
    let name = cut(&path.join("."));
    match path {
        [section] => {
            let names = section_names();
            let near = nearest(section, names.iter().copied()).unwrap_or_default();
            format!("unknown key `{name}`; the nearest section is `{near}`")
        }
        _ => {
            let near = nearest(&name, sections::keys().map(|key| key.name)).unwrap_or_default();
            format!("unknown key `{name}`; the nearest known key is `{near}`")
        }
    }
}

fn section_names() -> Vec<&'static str> {
    let mut names: Vec<&str> = sections::keys()
        .filter_map(|key| key.name.split('.').next())
        .collect();
    names.dedup();
    names
}

fn is_spelled(path: &[&str], name: &str) -> bool {
    path.len() == name.split('.').count() && begins_with(path, name)
}

fn begins_with(path: &[&str], name: &str) -> bool {
    let mut segments = name.split('.');
    path.iter()
        .all(|given| segments.next().is_some_and(|segment| same(given, segment)))
}

/// Ours exactly, or the predecessor's form of it.
fn same(given: &str, ours: &str) -> bool {
    // without making a text: each part of each name is compared with all keys
    given == ours
        || (!given.contains('_')
            && given
                .bytes()
                .map(|byte| byte.to_ascii_lowercase())
                .eq(ours.bytes().filter(|byte| *byte != b'_')))
}

fn matches_pattern(folded: &[&str], pattern: &[&str]) -> bool {
    folded.len() >= pattern.len()
        && folded
            .iter()
            .zip(pattern)
            .all(|(given, wanted)| match wanted.strip_suffix('*') {
                Some(start) => given.starts_with(start),
                None => given == wanted,
            })
}

fn nearest<'a>(given: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let folded = |text: &str| -> Vec<char> {
        let folded = cut(text).to_lowercase();
        folded.chars().filter(|letter| *letter != '_').collect()
    };
    let given = folded(given);
    let mut nearest = None;
    let mut least = usize::MAX;
    for name in names {
        // most names are too long or too short, which needs no folding: it makes them no longer
        let underscores = name.bytes().filter(|byte| *byte == b'_').count();
        if (name.len() - underscores).abs_diff(given.len()) >= least {
            continue;
        }
        if let Some(edits) = distance_below(least, &given, &folded(name)) {
            (least, nearest) = (edits, Some(name));
        }
    }
    nearest
}

/// Edits (insert, delete, replace, swap of neighbours) that turn one text into the other, when they are fewer than
/// `limit`: what cannot be the nearest is not looked at to its end.
fn distance_below(limit: usize, a: &[char], b: &[char]) -> Option<usize> {
    if a.len().abs_diff(b.len()) >= limit {
        return None;
    }
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    let mut row: Vec<usize> = Vec::with_capacity(b.len() + 1);
    for (i, x) in a.iter().enumerate() {
        row.clear();
        row.push(i + 1);
        for (j, y) in b.iter().enumerate() {
            let replaced = last[j] + usize::from(x != y);
            let mut best = replaced.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                best = best.min(before_last[j - 1] + 1);
            }
            row.push(best);
        }
        // a swap may go on from the row before
        let least = row.iter().chain(&last).min().copied();
        if least.is_some_and(|least| least >= limit) {
            return None;
        }
        std::mem::swap(&mut before_last, &mut last);
        std::mem::swap(&mut last, &mut row);
    }
    last.last().copied().filter(|edits| *edits < limit)
}

fn cut(text: &str) -> String {
    let mut end = text.len().min(NAME_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key_of(path: &[&str]) -> Option<&'static str> {
        match meaning(path) {
            Meaning::Key(key) => Some(key.name),
            Meaning::Section
            | Meaning::Connection(_)
            | Meaning::Meaningless(_)
            | Meaning::Unknown => None,
        }
    }

    #[test]
    fn every_key_is_found_in_both_spellings() {
        for key in sections::keys() {
            let ours: Vec<&str> = key.name.split('.').collect();
            assert_eq!(key_of(&ours), Some(key.name));
            let theirs: Vec<String> = ours
                .iter()
                .map(|segment| segment.replace('_', "").to_uppercase())
                .collect();
            let theirs: Vec<&str> = theirs.iter().map(String::as_str).collect();
            assert_eq!(key_of(&theirs), Some(key.name));
        }
    }

    #[test]
    fn half_a_spelling_is_unknown() {
        assert_eq!(key_of(&["opamp", "max_messagebytes"]), None);
        assert_eq!(key_of(&["opamp", "Max_Message_Bytes"]), None);
        assert_eq!(key_of(&["opamp"]), None);
        assert_eq!(key_of(&["opamp", "listen", "deeper"]), None);
    }

    #[test]
    fn predecessors_leftovers_are_meaningless_not_unknown() {
        for path in [
            &["Dispatch", "Backplane"][..],
            &["Dispatch", "BackplaneConnectionString"],
            &["Redis", "Configuration"],
            &["ConnectionStrings", "Redis"],
            &["Logging", "LogLevel", "Default"],
        ] {
            assert!(matches!(meaning(path), Meaning::Meaningless(_)), "{path:?}");
        }
        assert!(matches!(meaning(&["log", "backplane"]), Meaning::Unknown));
    }

    #[test]
    fn nearest_key_is_the_one_that_was_meant() {
        for (typed, meant) in [
            ("opamp.lisen", "opamp.listen"),
            ("opamp.max_mesage_bytes", "opamp.max_message_bytes"),
            ("OpAmp.MaxMesageBytes", "opamp.max_message_bytes"),
            ("node.datadri", "node.data_dir"),
            ("dispatch.ownership_ttl", "dispatch.ownership_ttl_seconds"),
        ] {
            let path: Vec<&str> = typed.split('.').collect();
            let sentence = unknown(&path);
            assert!(sentence.ends_with(&format!("`{meant}`")), "{sentence}");
        }
        assert_eq!(
            unknown(&["opmap"]),
            "unknown key `opmap`; the nearest section is `opamp`"
        );
    }

    #[test]
    fn distance_counts_edits() {
        for (a, b, edits) in [
            ("", "abc", 3),
            ("abc", "abc", 0),
            ("abcd", "acbd", 1),
            ("kitten", "sitting", 3),
        ] {
            let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
            for (a, b) in [(&a, &b), (&b, &a)] {
                assert_eq!(distance_below(usize::MAX, a, b), Some(edits), "{a:?} {b:?}");
                assert_eq!(distance_below(edits + 1, a, b), Some(edits));
                assert_eq!(distance_below(edits, a, b), None);
            }
        }
    }

    #[test]
    fn long_names_are_cut_before_they_are_compared() {
        let long = "é".repeat(100_000);
        assert!(unknown(&["opamp", &long]).len() < 300);
    }
}
