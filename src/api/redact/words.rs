//! Which names tell of secrets, and which values are none.

/// Parts of a name, in lower case and without separators, that tell of a secret.
const TELLING: [&str; 14] = [
    "accesskey",
    "apikey",
    "authorization",
    "bearer",
    "clientkey",
    "connectionstring",
    "credential",
    "passphrase",
    "passwd",
    "password",
    "privatekey",
    "pwd",
    "secret",
    "token",
];

/// Ends of a name that say where a secret is or what it is for, not what it is.
const HARMLESS_ENDS: [&str; 6] = ["file", "filename", "path", "url", "uri", "endpoint"];

/// Components of collectors whose type sounds like a secret; their settings are judged one by one.
const COMPONENTS: [&str; 1] = ["bearertokenauth"];

/// A name in lower case without the separators that spellings differ by.
fn plain(name: &str) -> String {
    name.chars()
        .filter(|letter| !matches!(letter, '-' | '_' | '.' | ' '))
        .flat_map(char::to_lowercase)
        .collect()
}

/// Whether what a key of this name holds is a secret.
pub(super) fn is_secret(name: &str) -> bool {
    let kind = name.split('/').next().unwrap_or_default();
    let kind = plain(kind);
    if COMPONENTS.contains(&&*kind) {
        return false;
    }
    let name = plain(name);
    name == "dsn"
        || TELLING.iter().any(|part| name.contains(part))
            && !HARMLESS_ENDS.iter().any(|end| name.ends_with(end))
}

/// Whether a key of this name holds headers, all of whose values are hidden.
pub(super) fn is_headers(name: &str) -> bool {
    plain(name).ends_with("headers")
}

/// Whether a value cannot be a secret: nothing, a switch, or only references.
pub(super) fn is_harmless(value: &str) -> bool {
    let value = value.trim();
    matches!(
        value.to_ascii_lowercase().as_str(),
        "" | "~" | "null" | "true" | "false" | "[]" | "{}"
    ) || is_reference(value)
        || value == super::REPLACEMENT
}

/// Whether a value is made of references alone, perhaps after the word of a scheme.
fn is_reference(value: &str) -> bool {
    let mut rest = value;
    for scheme in ["Bearer ", "Basic ", "bearer ", "basic "] {
        rest = rest.strip_prefix(scheme).unwrap_or(rest);
    }
    let mut seen = false;
    while !rest.is_empty() {
        let Some(after) = reference(rest) else {
            return false;
        };
        seen = true;
        rest = after.trim_start();
    }
    seen
}

/// What follows the reference that a text begins with: `${env:NAME}`, `${file:/path}`, `${NAME}`, `$NAME`. One
/// with a default (`:-`) is none, because the default may be the secret.
pub(super) fn reference(text: &str) -> Option<&str> {
    let rest = text.strip_prefix('$')?;
    if let Some(braced) = rest.strip_prefix('{') {
        let (inner, after) = braced.split_once('}')?;
        let name = inner.strip_prefix("env:").unwrap_or(inner);
        let is_file = inner
            .strip_prefix("file:")
            .is_some_and(|path| !path.is_empty() && !path.contains(['$', '{', '\n']));
        return (is_variable(name) || is_file).then_some(after);
    }
    let end = rest
        .find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
        .unwrap_or(rest.len());
    let (name, after) = rest.split_at(end);
    let shouted = name.bytes().all(|byte| !byte.is_ascii_lowercase());
    (is_variable(name) && shouted).then_some(after)
}

fn is_variable(name: &str) -> bool {
    !name.is_empty()
        && !name.as_bytes()[0].is_ascii_digit()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_judged_whatever_their_spelling() {
        for secret in [
            "password",
            "api_key",
            "API-Key",
            "x-api-key",
            "apiKey",
            "client_secret",
            "Authorization",
            "aws.secret.access-key",
            "bearer",
            "token",
            "auth_token",
            "private_key",
            "dsn",
            "dbPwd",
            "secretName",
            "private_key_pem",
            "credentials",
        ] {
            assert!(is_secret(secret), "{secret}");
        }
        for harmless in [
            "endpoint",
            "token_url",
            "password_file",
            "key_file",
            "bearertokenauth",
            "bearertokenauth/x",
            "keys",
            "monkey",
            "receivers",
            "author",
        ] {
            assert!(!is_secret(harmless), "{harmless}");
        }
    }

    #[test]
    fn references_are_no_secrets_but_defaults_are() {
        for reference in [
            "${env:TOKEN}",
            "${file:/run/token}",
            "${TOKEN}",
            "$TOKEN",
            "Bearer ${env:T}",
        ] {
            assert!(is_harmless(reference), "{reference}");
        }
        for secret in [
            "${env:TOKEN:-abc}",
            "x${env:T}",
            "${env:T}x",
            "$ecret",
            "hunter2",
            "${yaml:a}",
        ] {
            assert!(!is_harmless(secret), "{secret}");
        }
    }
}
