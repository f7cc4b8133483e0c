//! What changes a cluster: tokens, joining, votes, leadership.

use std::path::PathBuf;

use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use crate::cli::CliError;
use crate::cli::client::http::{Body, Call};
use crate::cli::client::output::{View, note};
use crate::cli::client::text::{card, cell, found, items};
use crate::cli::client::{ClientError, Session};

/// Largest token file that is read, in bytes.
const FILE_BYTES_MAX: usize = 16 * 1024;

/// Arguments of `cluster join-token`.
#[derive(Debug, clap::Args)]
pub struct TokenArgs {
    /// How many nodes may join with it [default: 1]
    #[arg(long)]
    uses: Option<u32>,
    /// Seconds until it stops working [default: 3600]
    #[arg(long, value_name = "SECONDS")]
    ttl: Option<u64>,
}

/// Arguments of `cluster join`.
#[derive(Debug, clap::Args)]
pub struct JoinArgs {
    /// `host:port` of a member's door for other nodes [default: those in the token]
    #[arg(long, value_name = "ADDRESS")]
    peer: Option<String>,
    /// File with the join token of that cluster; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    token_file: PathBuf,
    /// Set aside what this node holds, if it is not empty
    #[arg(long)]
    discard: bool,
}

/// A node.
#[derive(Debug, clap::Args)]
pub struct NodeArgs {
    /// Its id, from `cluster status`
    node: u64,
}

const TOKEN: View = View {
    text: |answer, _| match found(answer, "/command") {
        Some(command) => format!("{command}\n"),
        None => "the token was shown when the call was answered first; make another\n".to_owned(),
    },
    names: |answer| vec![cell(answer, "/id")],
};

const JOINING: View = View {
    text: |_, _| {
        "let in: this node starts again and learns; `ampora cluster status` shows how far it is\n"
            .to_owned()
    },
    names: |answer| vec![cell(answer, "/state")],
};

const MEMBERSHIP: View = View {
    text: |answer, _| {
        let list = |field: &str| {
            let nodes = items(answer, field).iter().map(Value::to_string);
            let nodes: Vec<String> = nodes.collect();
            if nodes.is_empty() {
                "-".to_owned()
            } else {
                nodes.join(", ")
            }
        };
        card(&[
            ("voters", list("voters")),
            ("learners", list("learners")),
            ("leader", cell(answer, "/leader_id")),
        ])
    },
    names: |answer| {
        items(answer, "voters")
            .iter()
            .map(Value::to_string)
            .collect()
    },
};

const LEADER: View = View {
    text: |answer, _| format!("node {} leads\n", cell(answer, "/leader_id")),
    names: |answer| vec![cell(answer, "/leader_id")],
};

const LEVEL: View = View {
    text: |answer, _| format!("the feature level is {}\n", cell(answer, "/feature_level")),
    names: |answer| vec![cell(answer, "/feature_level")],
};

pub(super) async fn join_token(session: &Session, args: &TokenArgs) -> Result<(), CliError> {
    let mut form = Map::new();
    form.extend(args.uses.map(|uses| ("uses".to_owned(), json!(uses))));
    form.extend(args.ttl.map(|ttl| ("ttl_seconds".to_owned(), json!(ttl))));
    let call = Call::new(Method::POST, &["cluster", "join-tokens"]);
    tell(session, call, Value::Object(form), TOKEN).await
}

pub(super) async fn join(session: &Session, args: &JoinArgs) -> Result<(), CliError> {
    let token = read(args)?;
    let mut form = json!({"token": token.trim(), "discard": args.discard});
    if let Some(peer) = &args.peer {
        form["peer_address"] = json!(peer);
    }
    let call = Call::new(Method::POST, &["cluster", "join"]);
    tell(session, call, form, JOINING).await
}

fn read(args: &JoinArgs) -> Result<String, CliError> {
    use std::io::Read;
    let read = || -> std::io::Result<String> {
        let mut text = String::new();
        let source: Box<dyn Read> = if args.token_file.as_os_str() == "-" {
            Box::new(std::io::stdin().lock())
        } else {
            Box::new(std::fs::File::open(&args.token_file)?)
        };
        source
            .take(FILE_BYTES_MAX as u64)
            .read_to_string(&mut text)?;
        Ok(text)
    };
    let path = args.token_file.clone();
    read().map_err(|source| ClientError::File { path, source }.into())
}

pub(super) async fn role(session: &Session, args: &NodeArgs, role: &str) -> Result<(), CliError> {
    let call = Call::new(Method::POST, &["cluster", "members"]);
    let form = json!({"node_id": args.node, "role": role});
    let answer = session.client.call(call.body(Body::Json(form))).await?;
    session.show(&answer.body, MEMBERSHIP)?;
    if answer.status == StatusCode::ACCEPTED {
        note(&format!(
            "node {} is to be a {role}, and is not yet: a node votes once it has caught up and the number of voters \
             stays odd, and stops once enough others live",
            args.node
        ));
    }
    Ok(())
}

pub(super) async fn remove(session: &Session, args: &NodeArgs) -> Result<(), CliError> {
    let id = args.node.to_string();
    let call = Call::new(Method::DELETE, &["cluster", "members", &id]);
    let answer = session.client.call(call).await?.body;
    session.show(&answer, MEMBERSHIP)
}

pub(super) async fn lead(session: &Session, node: Option<u64>) -> Result<(), CliError> {
    let call = Call::new(Method::POST, &["cluster", "leader"]);
    let form = node.map_or_else(|| json!({}), |node| json!({"node_id": node}));
    tell(session, call, form, LEADER).await
}

pub(super) async fn finalize(session: &Session) -> Result<(), CliError> {
    let call = Call::new(Method::POST, &["cluster", "feature-level"]);
    tell(session, call, json!({}), LEVEL).await
}

async fn tell(session: &Session, call: Call<'_>, form: Value, view: View) -> Result<(), CliError> {
    let answer = session.client.call(call.body(Body::Json(form))).await?;
    session.show(&answer.body, view)
}
