//! One value as some source gave it, and the readers that turn it into a typed value or say what was
//! expected instead. It knows no key by name; a reader's message reads after "`key`: ".

use std::{
    fs::File,
    io::Read,
    net::SocketAddr,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

use super::secret::{REDACTED, Secret};

/// Largest file that a `…_file` key may name, in bytes: a secret is a line, and a connection string with every
/// option set stays under 4 KiB.
const SECRET_FILE_BYTES_MAX: u64 = 64 * 1024;

/// A value before its type is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// Nothing, or an empty text: the default stands.
    Unset,
    /// A scalar.
    Text(String),
    /// A sequence of scalars; only files can give one, other sources separate by commas.
    List(Vec<String>),
}

/// A value together with the directory that its relative paths start from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Given {
    pub(super) value: Value,
    pub(super) base: PathBuf,
}

impl Given {
    pub(super) fn text(&self) -> Result<&str, String> {
        match &self.value {
            Value::Text(text) => Ok(text),
            Value::List(_) => Err("expected one value, found a list".to_owned()),
            Value::Unset => Err("expected a value".to_owned()),
        }
    }

    pub(super) fn integer(&self, range: RangeInclusive<u64>) -> Result<u64, String> {
        let text = self.text()?;
        let wanted = || format!("expected a whole number {}, found `{text}`", spoken(&range));
        let digits = text.replace('_', "");
        let number: u64 = digits.parse().map_err(|_| wanted())?;
        if range.contains(&number) {
            Ok(number)
        } else {
            Err(wanted())
        }
    }

    /// A number in a range that fits 32 bits.
    pub(super) fn count(&self, range: RangeInclusive<u32>) -> Result<u32, String> {
        let wide = u64::from(*range.start())..=u64::from(*range.end());
        self.integer(wide)
            .map(|number| u32::try_from(number).unwrap_or(u32::MAX))
    }

    pub(super) fn seconds(&self, range: RangeInclusive<u64>) -> Result<Duration, String> {
        self.integer(range).map(Duration::from_secs)
    }

    pub(super) fn millis(&self, range: RangeInclusive<u64>) -> Result<Duration, String> {
        self.integer(range).map(Duration::from_millis)
    }

    pub(super) fn flag(&self) -> Result<bool, String> {
        match self.text()? {
            "true" => Ok(true),
            "false" => Ok(false),
            text => Err(format!("expected true or false, found `{text}`")),
        }
    }

    pub(super) fn one_of<T: Copy>(&self, choices: &[(&str, T)]) -> Result<T, String> {
        let text = self.text()?;
        if let Some((_, value)) = choices.iter().find(|(name, _)| *name == text) {
            return Ok(*value);
        }
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        Err(format!(
            "expected one of {}, found `{text}`",
            names.join(", ")
        ))
    }

    pub(super) fn listener(&self) -> Result<SocketAddr, String> {
        let text = self.text()?;
        text.parse().map_err(|_| {
            format!("expected an IP address and a port such as 127.0.0.1:4320, found `{text}`")
        })
    }

    /// A host (name or address) and a port that others can connect to.
    pub(super) fn reachable(&self) -> Result<String, String> {
        let text = self.text()?;
        let wanted =
            || format!("expected a host and a port such as ampora.example:4320, found `{text}`");
        let (host, port) = text.rsplit_once(':').ok_or_else(wanted)?;
        let port: u16 = port.parse().map_err(|_| wanted())?;
        let bracketed = host.starts_with('[') && host.ends_with(']');
        if host.is_empty() || port == 0 || (host.contains(':') && !bracketed) {
            return Err(wanted());
        }
        if host.contains(|c: char| c.is_whitespace() || c == '/') {
            return Err(wanted());
        }
        Ok(text.to_owned())
    }

    pub(super) fn path(&self) -> Result<PathBuf, String> {
        Ok(self.base.join(self.text()?))
    }

    pub(super) fn list(&self) -> Vec<String> {
        let items: Vec<&str> = match &self.value {
            Value::Unset => Vec::new(),
            Value::Text(text) => text.split(',').collect(),
            Value::List(items) => items.iter().map(String::as_str).collect(),
        };
        items
            .iter()
            .map(|item| item.trim().to_owned())
            .filter(|item| !item.is_empty())
            .collect()
    }

    /// A text that is not to be shown. What a redacted configuration prints in its place is refused, so that a
    /// printed configuration cannot silently run with the placeholder as its secret.
    pub(super) fn secret(&self) -> Result<Secret<String>, String> {
        let text = self.text()?;
        if text == REDACTED {
            return Err(format!(
                "{REDACTED} stands for a secret that was left out; give the secret"
            ));
        }
        Ok(Secret::new(text.to_owned()))
    }

    /// The content of the named file as a secret, without the line end that editors add.
    pub(super) fn secret_file(&self) -> Result<(PathBuf, Secret<String>), String> {
        let path = self.path()?;
        let text = read_bounded(&path, SECRET_FILE_BYTES_MAX)?;
        let text = text.trim_end_matches(['\r', '\n']);
        if text.is_empty() {
            return Err(format!("{} is empty", path.display()));
        }
        Ok((path, Secret::new(text.to_owned())))
    }
}

/// The text of a file of at most so many bytes. What is read is counted: pipes and devices say that they are empty.
pub(super) fn read_bounded(path: &Path, bytes_max: u64) -> Result<String, String> {
    let cannot = |error: std::io::Error| format!("cannot read {}: {error}", path.display());
    let file = File::open(path).map_err(cannot)?;
    let mut bytes = Vec::new();
    file.take(bytes_max + 1)
        .read_to_end(&mut bytes)
        .map_err(cannot)?;
    if bytes.len() as u64 > bytes_max {
        return Err(format!(
            "{} is larger than {bytes_max} bytes",
            path.display()
        ));
    }
    String::from_utf8(bytes).map_err(|_| format!("{} is not UTF-8 text", path.display()))
}

fn spoken(range: &RangeInclusive<u64>) -> String {
    match (*range.start(), *range.end()) {
        (0, u64::MAX) => "of 0 or more".to_owned(),
        (low, u64::MAX) => format!("of {low} or more"),
        (low, high) => format!("from {low} to {high}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(text: &str) -> Given {
        Given {
            value: Value::Text(text.to_owned()),
            base: PathBuf::from("/etc/ampora"),
        }
    }

    #[test]
    fn integers_keep_to_their_range_and_name_it() {
        assert_eq!(given("10_485_760").integer(1..=u64::MAX), Ok(10_485_760));
        for bad in ["0", "11", "-1", "1.5", "ten", "99999999999999999999"] {
            let error = given(bad).integer(1..=10).unwrap_err();
            assert_eq!(
                error,
                format!("expected a whole number from 1 to 10, found `{bad}`")
            );
        }
    }

    #[test]
    fn reachable_addresses_need_a_host_and_a_port() {
        for good in ["ampora.example:4320", "10.0.0.1:1", "[::1]:4320"] {
            assert_eq!(given(good).reachable().unwrap(), good);
        }
        for bad in [
            "",
            "host",
            ":4320",
            "host:0",
            "host:99999",
            "::1:4320",
            "http://host:1",
        ] {
            assert!(given(bad).reachable().is_err(), "{bad}");
        }
    }

    #[test]
    fn relative_paths_start_from_the_directory_of_their_source() {
        assert_eq!(
            given("tls/cert.pem").path().unwrap(),
            Path::new("/etc/ampora/tls/cert.pem")
        );
        assert_eq!(
            given("/srv/cert.pem").path().unwrap(),
            Path::new("/srv/cert.pem")
        );
    }

    #[test]
    fn lists_come_as_sequences_or_with_commas() {
        assert_eq!(given("a, b,,c").list(), ["a", "b", "c"]);
    }

    #[test]
    fn redacted_placeholder_is_refused_as_a_secret() {
        assert!(given(REDACTED).secret().is_err());
        assert_eq!(given("s3cret").secret().unwrap().expose(), "s3cret");
    }

    #[test]
    fn secret_file_loses_its_line_end_and_must_hold_something() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("password");
        std::fs::write(&file, "s3cret\r\n").unwrap();
        let given = |name: &str| Given {
            value: Value::Text(name.to_owned()),
            base: dir.path().to_owned(),
        };
        let (path, secret) = given("password").secret_file().unwrap();
        assert_eq!((path, secret.expose().as_str()), (file.clone(), "s3cret"));
        std::fs::write(&file, "\n").unwrap();
        assert!(
            given("password")
                .secret_file()
                .unwrap_err()
                .ends_with("is empty")
        );
        assert_eq!(
            given("/dev/zero").secret_file().unwrap_err(),
            "/dev/zero is larger than 65536 bytes"
        );
        assert!(
            given("absent")
                .secret_file()
                .unwrap_err()
                .starts_with("cannot read")
        );
    }
}
