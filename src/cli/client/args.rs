//! The first words of the commands that talk to a running node, and what arguments of several of them look like.

use clap::{Args, Subcommand};

use super::{
    agents::AgentsCommand, audit::AuditCommand, backup::BackupCommand, cluster::ClusterCommand,
    configs::ConfigsCommand, dispatch::DispatchCommand, enrollment::EnrollmentCommand,
    groups::GroupsCommand, http::Call, tokens::TokensCommand,
};
use crate::cli::args::ReachArgs;

/// A command for a running node.
#[derive(Debug, Subcommand)]
pub enum ClientCommand {
    /// Show whether the node works and what it serves
    Status(StatusArgs),
    /// Look at agents, restart them, offer their configuration again
    Agents(Noun<AgentsCommand>),
    /// Keep configurations in immutable versions
    Configs(Noun<ConfigsCommand>),
    /// Say which agents run which configuration
    // Behind `groups put`, `--config` is what the group is to run.
    #[command(mut_arg("config", |arg| arg.global(false)))]
    Groups(Noun<GroupsCommand>),
    /// Follow instructions to agents
    Dispatch(Noun<DispatchCommand>),
    /// Look at the nodes, and let them come, vote, lead and go
    Cluster(Noun<ClusterCommand>),
    /// See who changed what, and check that no record was altered
    Audit(Noun<AuditCommand>),
    /// Say who may use this interface
    Tokens(Noun<TokensCommand>),
    /// Say with what agents may come
    Enrollment(Noun<EnrollmentCommand>),
    /// Save everything into a file, look at one, begin a new cluster from one
    Backup(Noun<BackupCommand>),
}

impl ClientCommand {
    /// Which node is meant, taken out of the command.
    pub(super) fn take_reach(&mut self) -> ReachArgs {
        if let Self::Groups(noun) = self {
            let file = noun.command.take_config_file();
            noun.reach.source.config = file.or(noun.reach.source.config.take());
        }
        std::mem::take(match self {
            Self::Status(args) => &mut args.reach,
            Self::Agents(noun) => &mut noun.reach,
            Self::Configs(noun) => &mut noun.reach,
            Self::Groups(noun) => &mut noun.reach,
            Self::Dispatch(noun) => &mut noun.reach,
            Self::Cluster(noun) => &mut noun.reach,
            Self::Audit(noun) => &mut noun.reach,
            Self::Tokens(noun) => &mut noun.reach,
            Self::Enrollment(noun) => &mut noun.reach,
            Self::Backup(noun) => &mut noun.reach,
        })
    }
}

/// A word with commands of its own; options of reaching the node may stand anywhere behind it.
#[derive(Debug, Args)]
pub struct Noun<C: Subcommand> {
    /// What to do.
    #[command(subcommand)]
    pub command: C,
    /// Which node is meant.
    #[command(flatten)]
    pub reach: ReachArgs,
}

/// Arguments of `status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Whether to ask again and again.
    #[command(flatten)]
    pub watch: WatchArgs,
    /// Which node is meant.
    #[command(flatten)]
    pub reach: ReachArgs,
}

/// Whether to ask again and again.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct WatchArgs {
    /// Show it again whenever it changes, until Ctrl-C
    #[arg(long)]
    pub watch: bool,
}

/// How much of a list to show.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct LimitArgs {
    /// Show this many at most [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: Option<u32>,
}

/// From when to when.
#[derive(Debug, Default, clap::Args)]
pub struct SpanArgs {
    /// Only from this time on, in RFC 3339
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<String>,
    /// Only before this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<String>,
}

impl SpanArgs {
    /// Asks for this span alone.
    pub(super) fn narrow<'a>(&self, call: Call<'a>) -> Call<'a> {
        call.with("since", self.since.as_ref())
            .with("until", self.until.as_ref())
    }
}

/// Checks a time before it becomes part of an address.
pub(super) fn time(text: &str) -> Result<String, String> {
    match crate::api::timestamp::parse_rfc3339(text) {
        Some(_) => Ok(text.to_owned()),
        None => Err("a time is RFC 3339, such as 2026-11-24T17:00:00Z".to_owned()),
    }
}

/// Checks a name of a configuration or group before it becomes part of an address.
pub(super) fn name(text: &str) -> Result<String, String> {
    let is_fine = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    let starts = bytes.first().is_some_and(|first| is_fine(*first));
    let goes_on = |byte: &u8| is_fine(*byte) || b"._-".contains(byte);
    if starts && bytes.len() <= NAME_BYTES_MAX && bytes.iter().all(goes_on) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "a name has 1 to {NAME_BYTES_MAX} characters of a-z, 0-9, `.`, `_` and `-`, and begins with a letter or digit"
    ))
}

/// Bytes of a name at most; REST says the same.
const NAME_BYTES_MAX: usize = 63;

/// `NAME` or `NAME@V`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionName {
    /// The configuration.
    pub name: String,
    /// Its version; the newest when absent.
    pub version: Option<u32>,
}

/// Reads `NAME` or `NAME@V`.
pub(super) fn version_name(text: &str) -> Result<VersionName, String> {
    let (configuration, version) = match text.split_once('@') {
        None => (text, None),
        Some((configuration, version)) => (configuration, Some(version)),
    };
    let version = match version {
        None => None,
        Some(digits) => Some(
            digits
                .parse::<u32>()
                .ok()
                .filter(|version| *version > 0)
                .ok_or_else(|| {
                    format!("`{digits}` is not the number of a version; they begin with 1")
                })?,
        ),
    };
    Ok(VersionName {
        name: name(configuration)?,
        version,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_pattern_of_rest() {
        for good in ["a", "0", "edge-1.2_x", &"a".repeat(63)] {
            assert_eq!(name(good).as_deref(), Ok(good));
        }
        for bad in ["", "-a", ".", "..", "A", "a/b", "a@1", "ä", &"a".repeat(64)] {
            assert!(name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn version_follows_an_at_sign() {
        let of = |name: &str, version| VersionName {
            name: name.to_owned(),
            version,
        };
        assert_eq!(version_name("edge"), Ok(of("edge", None)));
        assert_eq!(version_name("edge@3"), Ok(of("edge", Some(3))));
        for bad in [
            "edge@",
            "edge@0",
            "edge@x",
            "edge@-1",
            "edge@1@2",
            "@1",
            "edge@4294967296",
        ] {
            assert!(version_name(bad).is_err(), "{bad}");
        }
    }
}
