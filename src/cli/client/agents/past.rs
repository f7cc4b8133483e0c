//! `ampora agents list --at`: many agents as they were, a line each.

use serde_json::Value;

use crate::cli::CliError;
use crate::cli::client::http::Call;
use crate::cli::client::output::View;
use crate::cli::client::text::{Look, cell, items, short_hash, table};
use crate::cli::client::{Session, note};

const VIEW: View = View {
    text,
    names: |answer| {
        let items = items(answer, "items").iter();
        items.map(|agent| cell(agent, "/instance_uid")).collect()
    },
};

pub(super) async fn run(session: &Session, at: &str, limit: Option<u32>) -> Result<(), CliError> {
    let call = Call::get(&["agents"]).with("at", Some(at));
    let answer = session.client.pages(call, "items", limit).await?;
    session.show_list(&answer, VIEW)?;
    if answer["complete"] == false {
        note("some of it may be missing: a replica answered whose primary is away");
    }
    Ok(())
}

fn text(answer: &Value, look: &Look) -> String {
    let mut head = vec![
        "UID",
        "NAME",
        "TYPE",
        "VERSION",
        "STATE",
        "HEALTHY",
        "CONFIG",
        "LAST CHANGE",
    ];
    if look.is_wide {
        head.extend(["EFFECTIVE", "TRANSPORT", "NODE"]);
    }
    let rows = items(answer, "items").iter().map(|agent| {
        let mut row: Vec<String> = [
            "/instance_uid",
            "/name",
            "/agent_type",
            "/agent_version",
            "/state",
            "/health/healthy",
            "/config_status/status",
            "/last_change",
        ]
        .map(|pointer| cell(agent, pointer))
        .into();
        if look.is_wide {
            row.extend([
                short_hash(agent, "/effective_config/hash"),
                cell(agent, "/transport"),
                cell(agent, "/owner_node"),
            ]);
        }
        row
    });
    table(&head, rows.collect(), "no agents were known then")
}
