//! Which node is meant, and the token to show it: what was typed, then the environment, then the configuration that
//! `serve` would read on this machine.

use std::io::Read;
use std::path::{Path, PathBuf};

use url::Url;

use super::error::ClientError;
use crate::{
    cli::{CliError, Surroundings, args::ReachArgs, sources},
    config::{self, Config, Secret, Target},
    trust::Trust,
};

/// Largest token file that is read, in bytes: a token is a line.
const TOKEN_FILE_BYTES_MAX: u64 = 4096;

/// A node to talk to.
#[derive(Debug, Clone)]
pub(super) struct Reach {
    /// The base of its REST API.
    pub(super) url: Url,
    /// What is shown to it.
    pub(super) token: Token,
    /// How it is known to be it, when it speaks TLS.
    pub(super) trust: Trust,
    /// The certificate that is shown to it.
    pub(super) identity: Option<PathBuf>,
}

/// The token of a command, or why there is none.
#[derive(Debug, Clone)]
pub(super) enum Token {
    /// One was found.
    Found {
        /// Its text.
        text: Secret<String>,
        /// Where.
        from: String,
    },
    /// None was found.
    Missing {
        /// Where it was looked for, a sentence each.
        looked: Vec<String>,
    },
}

/// Finds the node and the token. The configuration is read only when something is left open, so that one that is
/// broken does not stand in the way of a node elsewhere.
pub(super) fn find(reach: ReachArgs, surroundings: &Surroundings) -> Result<Reach, CliError> {
    let given = |name: &str| {
        let value = surroundings.environment.get(name);
        value.filter(|value| !value.is_empty()).cloned()
    };
    let typed_url = match (reach.client.url, given("AMPORA_URL")) {
        (Some(url), _) => Some(checked(&url, "--url")?),
        (None, Some(url)) => Some(checked(&url, "AMPORA_URL")?),
        (None, None) => None,
    };
    let token = match (reach.client.token, given("AMPORA_TOKEN")) {
        (Some(text), _) => Some(token(&text, "--token")?),
        (None, Some(text)) => Some(token(&text, "AMPORA_TOKEN")?),
        (None, None) => None,
    };
    let file = |typed: Option<PathBuf>, name| typed.or_else(|| given(name).map(PathBuf::from));
    let ca_file = file(reach.client.ca_file, "AMPORA_CA_FILE");
    let identity = file(reach.client.client_cert, "AMPORA_CLIENT_CERT");
    // who has no authority for an https address may be on the machine of the node
    let is_trusted = |url: &Url| url.scheme() == "http" || ca_file.is_some() || is_elsewhere(url);
    if let (Some(url), Some(token)) = (&typed_url, &token)
        && is_trusted(url)
    {
        return Ok(Reach {
            url: url.clone(),
            token: token.clone(),
            trust: ca_file.map_or(Trust::System, Trust::Authorities),
            identity,
        });
    }
    let typed = typed_url.as_ref().map(Url::as_str);
    // For a node elsewhere nothing of this machine's configuration is used.
    let config = if typed_url.as_ref().is_some_and(is_elsewhere) {
        Config::default()
    } else {
        config::load(&sources(reach.source, surroundings))?.config
    };
    let Target {
        url,
        token_file,
        certificate_file,
    } = config::locate_admin(&config, typed);
    let url = checked(&url, "admin.listen")?;
    if url.port() == Some(0) {
        return Err(ClientError::Unreachable {
            url: url.to_string(),
            reason: format!(
                "the system chooses the port, and no node has written it to {}",
                config.node.data_dir.join("node.json").display()
            ),
        }
        .into());
    }
    let trust = match (ca_file, certificate_file) {
        (Some(authorities), _) => Trust::Authorities(authorities),
        (None, Some(certificate)) => Trust::Exactly(certificate),
        (None, None) => Trust::System,
    };
    Ok(Reach {
        url,
        token: token.unwrap_or_else(|| token_of_file(token_file.as_deref())),
        trust,
        identity,
    })
}

/// Whether an address is of another machine for sure.
fn is_elsewhere(url: &Url) -> bool {
    let target = config::locate_admin(&Config::default(), Some(url.as_str()));
    target.token_file.is_none()
}

/// Checks an address before anything is sent there.
fn checked(text: &str, from: &str) -> Result<Url, ClientError> {
    let refuse = |why: &str| ClientError::Usage(format!("{from}: {why}, found `{text}`"));
    let wanted = "expected an address such as http://127.0.0.1:4321";
    let url = Url::parse(text).map_err(|_| refuse(wanted))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(refuse(wanted));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(refuse(wanted));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(ClientError::Usage(format!(
            "{from}: a user or password is not sent to a node; give a token with --token or AMPORA_TOKEN"
        )));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(refuse("an address of a node has no `?` and no `#`"));
    }
    Ok(url)
}

/// Checks a token that was given by hand: what cannot stand in a header is a slip.
fn token(text: &str, from: &str) -> Result<Token, ClientError> {
    let is_fine = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_fine {
        return Err(ClientError::Usage(format!(
            "{from}: a token is printable ASCII without spaces"
        )));
    }
    Ok(Token::Found {
        text: Secret::new(text.to_owned()),
        from: from.to_owned(),
    })
}

fn token_of_file(path: Option<&Path>) -> Token {
    let mut looked = vec![
        "--token was not given".to_owned(),
        "AMPORA_TOKEN is not set".to_owned(),
    ];
    let Some(path) = path else {
        looked.push("the token of this machine is only sent to loopback addresses".to_owned());
        return Token::Missing { looked };
    };
    let read = || -> Result<String, String> {
        let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
        let mut text = String::new();
        file.take(TOKEN_FILE_BYTES_MAX)
            .read_to_string(&mut text)
            .map_err(|error| error.to_string())?;
        Ok(text.trim_end().to_owned())
    };
    let from = path.display().to_string();
    match read()
        .and_then(|text| token(&text, &from).map_err(|_| "it does not hold a token".to_owned()))
    {
        Ok(token) => token,
        Err(why) => {
            looked.push(format!("{from}: {why}"));
            Token::Missing { looked }
        }
    }
}

#[cfg(test)]
mod tests;
