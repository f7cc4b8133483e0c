//! Rust source without what is not code: comments and texts are blanked, lines stay where they are.

/// Blanks comments, texts and character literals.
pub(crate) fn code_of(source: &str) -> String {
    let chars: Vec<char> = source.chars().collect();
    let mut code = String::with_capacity(source.len());
    let mut at = 0;
    while at < chars.len() {
        let end = match (chars[at], chars.get(at + 1)) {
            ('/', Some('/')) => line_end(&chars, at),
            ('/', Some('*')) => block_end(&chars, at),
            ('"', _) => text_end(&chars, at + 1),
            ('r', Some('"' | '#')) if !follows_name(&chars, at) => raw_end(&chars, at),
            ('\'', _) => literal_end(&chars, at),
            _ => at,
        };
        if end == at {
            code.push(chars[at]);
            at += 1;
        } else {
            let blanked = chars[at..end]
                .iter()
                .map(|c| if *c == '\n' { '\n' } else { ' ' });
            code.extend(blanked);
            at = end;
        }
    }
    code
}

/// The part of a source file that is product: what stands before its unit tests.
pub(crate) fn product_of(code: &str) -> &str {
    code.split("#[cfg(test)]\nmod tests {")
        .next()
        .unwrap_or(code)
}

/// Lines (from 1) on which a path such as `tokio::spawn` stands as code, not as part of a longer name.
pub(crate) fn lines_with(code: &str, path: &str) -> Vec<usize> {
    let is_name = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let stands = |line: &str| {
        line.match_indices(path).any(|(at, found)| {
            let before = line[..at].chars().next_back();
            let after = line[at + found.len()..].chars().next();
            let goes_on = is_name(path.chars().next_back()) && is_name(after);
            !(is_name(before) || goes_on)
        })
    };
    let numbered = code.lines().enumerate();
    numbered
        .filter(|(_, line)| stands(line))
        .map(|(index, _)| index + 1)
        .collect()
}

fn line_end(chars: &[char], at: usize) -> usize {
    (at..chars.len())
        .find(|i| chars[*i] == '\n')
        .unwrap_or(chars.len())
}

fn block_end(chars: &[char], at: usize) -> usize {
    let (mut depth, mut i) = (0_usize, at);
    while i + 1 < chars.len() {
        match (chars[i], chars[i + 1]) {
            ('/', '*') => (depth, i) = (depth + 1, i + 2),
            ('*', '/') => (depth, i) = (depth - 1, i + 2),
            _ => i += 1,
        }
        if depth == 0 {
            return i;
        }
    }
    chars.len()
}

fn text_end(chars: &[char], mut i: usize) -> usize {
    while i < chars.len() {
        match chars[i] {
            '\\' => i += 2,
            '"' => return i + 1,
            _ => i += 1,
        }
    }
    chars.len()
}

/// The end of `r"…"` or `r#"…"#`, or the start when it is a raw name such as `r#type`.
fn raw_end(chars: &[char], at: usize) -> usize {
    let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
    if chars.get(at + 1 + hashes) != Some(&'"') {
        return at;
    }
    let mut i = at + 2 + hashes;
    while i < chars.len() {
        let closes = chars[i] == '"' && chars[i + 1..].iter().take(hashes).all(|c| *c == '#');
        if closes && chars.len() > i + hashes {
            return i + 1 + hashes;
        }
        i += 1;
    }
    chars.len()
}

/// The end of a character literal, or the start when it is a lifetime.
fn literal_end(chars: &[char], at: usize) -> usize {
    match (chars.get(at + 1), chars.get(at + 2)) {
        (Some('\\'), _) => (at + 3..chars.len())
            .find(|i| chars[*i] == '\'')
            .map_or(at, |end| end + 1),
        (Some(_), Some('\'')) => at + 3,
        _ => at,
    }
}

fn follows_name(chars: &[char], at: usize) -> bool {
    at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_')
}

#[test]
fn comments_and_texts_are_blanked_and_lines_stay() {
    let source = "a // sled::x\nb /* sled::x /* y */ \n */ c \"sled::\\\" x\" d r#\"sled::\"x\"# e '\"' f 'a g\n";
    let code = code_of(source);
    assert!(!code.contains("sled"), "{code}");
    assert_eq!(code.lines().count(), source.lines().count());
    let kept: String = code.split_whitespace().collect();
    assert_eq!(kept, "abcdef'ag");
}

#[test]
fn paths_are_found_as_whole_names() {
    let code = "use sled::Db;\nlet x = unsled::y;\nsled_like::z();\nb(sled::open())\n";
    assert_eq!(lines_with(code, "sled::"), [1, 4]);
    assert_eq!(
        lines_with(
            "tokio::spawn(a);\ntokio::spawn_blocking(b);\n",
            "tokio::spawn"
        ),
        [1]
    );
}
