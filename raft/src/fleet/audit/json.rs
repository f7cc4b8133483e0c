//! JSON in one canonical form, written by code of our own, because hashes are made over it: keys sorted, no space,
//! only what must be escaped is. Long texts and large values are given by their length and SHA-256.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Write};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::fleet::limits::{AUDIT_TEXT_BYTES_MAX, AUDIT_VALUE_BYTES_MAX};
use crate::ids::BodyHash;

/// A value of JSON without fractions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Json {
    /// `null`: there is nothing.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// An integer.
    Number(i128),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Json>),
    /// An object.
    Object(BTreeMap<&'static str, Json>),
}

impl Json {
    /// An object of these fields.
    pub fn object<const N: usize>(fields: [(&'static str, Json); N]) -> Self {
        Self::Object(BTreeMap::from(fields))
    }

    /// The value, or `null`.
    pub fn of(value: Option<impl Into<Self>>) -> Self {
        value.map_or(Self::Null, Into::into)
    }

    /// What a value shows as text: hashes, numbers of agents.
    pub fn text(value: impl Display) -> Self {
        Self::Text(value.to_string())
    }

    /// Bytes that are not shown, by their length and SHA-256.
    pub fn hashed(bytes: &[u8]) -> Self {
        let digest = BodyHash(Sha256::digest(bytes).into());
        Self::object([
            ("bytes", Self::from(bytes.len() as u64)),
            ("sha256", Self::text(digest)),
        ])
    }

    /// The canonical form, of at most [`AUDIT_VALUE_BYTES_MAX`] bytes: what is longer is given by its hash.
    pub fn canonical(&self) -> String {
        let whole = self.to_string();
        if whole.len() <= AUDIT_VALUE_BYTES_MAX {
            return whole;
        }
        Self::hashed(whole.as_bytes()).to_string()
    }
}

impl Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Number(value) => write!(f, "{value}"),
            Self::Text(text) if text.len() > AUDIT_TEXT_BYTES_MAX => {
                Self::hashed(text.as_bytes()).fmt(f)
            }
            Self::Text(text) => quoted(f, text),
            Self::List(items) => {
                f.write_char('[')?;
                for (at, item) in items.iter().enumerate() {
                    f.write_str(if at == 0 { "" } else { "," })?;
                    item.fmt(f)?;
                }
                f.write_char(']')
            }
            Self::Object(fields) => {
                f.write_char('{')?;
                for (at, (key, value)) in fields.iter().enumerate() {
                    f.write_str(if at == 0 { "" } else { "," })?;
                    quoted(f, key)?;
                    f.write_char(':')?;
                    value.fmt(f)?;
                }
                f.write_char('}')
            }
        }
    }
}

fn quoted(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_char('"')?;
    for c in text.chars() {
        match c {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            '\u{8}' => f.write_str("\\b")?,
            '\t' => f.write_str("\\t")?,
            '\n' => f.write_str("\\n")?,
            '\u{c}' => f.write_str("\\f")?,
            '\r' => f.write_str("\\r")?,
            c if c < ' ' => write!(f, "\\u{:04x}", u32::from(c))?,
            c => f.write_char(c)?,
        }
    }
    f.write_char('"')
}

impl From<bool> for Json {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<u64> for Json {
    fn from(value: u64) -> Self {
        Self::Number(value.into())
    }
}

impl From<u32> for Json {
    fn from(value: u32) -> Self {
        Self::Number(value.into())
    }
}

impl From<i32> for Json {
    fn from(value: i32) -> Self {
        Self::Number(value.into())
    }
}

impl From<&str> for Json {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<&Arc<str>> for Json {
    fn from(value: &Arc<str>) -> Self {
        Self::from(&**value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_must_be_escaped_is_and_keys_are_sorted() {
        let value = Json::object([
            ("z", Json::List(vec![Json::Null, Json::from(true)])),
            ("a", Json::from("\"\\\u{8}\t\n\u{c}\r\u{1}\u{7f}/é😀")),
            ("n", Json::from(-5)),
        ]);
        let text =
            "{\"a\":\"\\\"\\\\\\b\\t\\n\\f\\r\\u0001\u{7f}/é😀\",\"n\":-5,\"z\":[null,true]}";
        assert_eq!(value.canonical(), text);
    }

    #[test]
    fn what_is_long_is_given_by_its_hash() {
        let text = "x".repeat(AUDIT_TEXT_BYTES_MAX + 1);
        assert_eq!(Json::from(&*text), Json::Text(text.clone()));
        let hashed = Json::hashed(text.as_bytes()).to_string();
        assert_eq!(Json::from(&*text).canonical(), hashed);
        let many = Json::List(vec![Json::from(&*"y".repeat(300)); 10]);
        let hashed = Json::hashed(many.to_string().as_bytes()).to_string();
        assert_eq!(many.canonical(), hashed);
        assert!(
            hashed.starts_with("{\"bytes\":3031,\"sha256\":\""),
            "{hashed}"
        );
    }
}
