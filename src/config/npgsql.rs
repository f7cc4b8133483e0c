//! The predecessor's connection strings (`Host=db;Username=ampora;Password=…;MaxPoolSize=20`), turned into what our
//! keys take. No error or note repeats a value: any of them may be a secret.

use url::Url;

/// What a connection string says, in our terms.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Translated {
    pub(super) url: String,
    pub(super) max_pool_size: Option<String>,
    pub(super) tls: Option<&'static str>,
    /// Options that have no meaning here, as they were spelled.
    pub(super) ignored: Vec<String>,
}

/// Translates a connection string; a URL passes as it is.
pub(super) fn translate(text: &str) -> Result<Translated, String> {
    if text.contains("://") {
        return Ok(Translated {
            url: text.to_owned(),
            max_pool_size: None,
            tls: None,
            ignored: Vec::new(),
        });
    }
    let mut url = Url::parse("postgres://localhost").map_err(|error| error.to_string())?;
    let mut translated = Translated {
        url: String::new(),
        max_pool_size: None,
        tls: None,
        ignored: Vec::new(),
    };
    let mut has_host = false;
    for (name, value) in options(text)? {
        let wrong = || format!("the option {name} of the connection string has no usable value");
        match folded(&name).as_str() {
            "host" | "server" => {
                url.set_host(Some(&bracketed(&value)))
                    .map_err(|_| wrong())?;
                has_host = true;
            }
            "port" => {
                let port: u16 = value.parse().map_err(|_| wrong())?;
                url.set_port(Some(port)).map_err(|()| wrong())?;
            }
            "username" | "userid" | "user" => url.set_username(&value).map_err(|()| wrong())?,
            "password" => url.set_password(Some(&value)).map_err(|()| wrong())?,
            "database" | "db" => url.set_path(&value),
            "maxpoolsize" | "maximumpoolsize" => translated.max_pool_size = Some(value),
            "sslmode" => match folded(&value).as_str() {
                "disable" => translated.tls = Some("disable"),
                "require" => translated.tls = Some("require"),
                "verifyca" => translated.tls = Some("verify-ca"),
                "verifyfull" => translated.tls = Some("verify-full"),
                // "prefer" and "allow" fall back to plain text silently; the stricter default stands instead.
                _ => translated.ignored.push(name),
            },
            _ => translated.ignored.push(name),
        }
    }
    if !has_host {
        return Err("the connection string names no Host".to_owned());
    }
    translated.url = url.to_string();
    Ok(translated)
}

fn folded(name: &str) -> String {
    name.chars()
        .filter(char::is_ascii_alphanumeric)
        .collect::<String>()
        .to_lowercase()
}

fn bracketed(host: &str) -> String {
    if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]")
    } else {
        host.to_owned()
    }
}

/// Splits `name=value;…`. A value may stand in single or double quotes, doubled inside to mean themselves.
fn options(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut found = Vec::new();
    let mut rest = text.trim_start_matches([';', ' ']);
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=').ok_or_else(|| {
            "expected a connection string such as Host=db;Username=ampora".to_owned()
        })?;
        let after = after.trim_start();
        let (value, after) = match after.chars().next() {
            Some(quote @ ('"' | '\'')) => quoted(&after[1..], quote)?,
            _ => {
                let (value, after) = after.split_once(';').unwrap_or((after, ""));
                (value.trim().to_owned(), after)
            }
        };
        found.push((name.trim().to_owned(), value));
        rest = after.trim_start_matches([';', ' ']);
    }
    Ok(found)
}

fn quoted(text: &str, quote: char) -> Result<(String, &str), String> {
    let mut value = String::new();
    let mut rest = text;
    loop {
        let Some((inside, after)) = rest.split_once(quote) else {
            return Err("a quote of the connection string does not end".to_owned());
        };
        value.push_str(inside);
        match after.strip_prefix(quote) {
            Some(further) => {
                value.push(quote);
                rest = further;
            }
            None => return Ok((value, after)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_string_becomes_a_url_a_pool_size_and_a_mode() {
        let translated = translate(
            "Host=db.example;Port=5433;Database=ampora;User ID=am;Password='p@;ss''w';Maximum Pool Size=7;\
             SSL Mode=VerifyFull;Timeout=15;",
        );
        assert_eq!(
            translated.unwrap(),
            Translated {
                url: "postgres://am:p%40%3Bss'w@db.example:5433/ampora".to_owned(),
                max_pool_size: Some("7".to_owned()),
                tls: Some("verify-full"),
                ignored: vec!["Timeout".to_owned()],
            }
        );
    }

    #[test]
    fn urls_pass_as_they_are() {
        let url = "postgres://u@h/d?x=1";
        assert_eq!(translate(url).unwrap().url, url);
    }

    #[test]
    fn modes_that_fall_back_to_plain_text_are_not_taken_over() {
        let translated = translate("Host=h;SslMode=Prefer").unwrap();
        assert_eq!(
            (translated.tls, translated.ignored),
            (None, vec!["SslMode".to_owned()])
        );
    }

    #[test]
    fn broken_strings_are_refused_without_repeating_them() {
        for bad in [
            "secret",
            "Username=secret",
            "Host=h;Password='secret",
            "Host=h;Port=secret",
        ] {
            let error = translate(bad).unwrap_err();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
