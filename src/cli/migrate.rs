//! `ampora migrate`: brings the tables in Postgres to what this program knows, where no node does it at its start: by
//! another user, or past a pooler.

use ampora_storage::postgres::Postgres;

use super::{CliError, print};
use crate::config::{self, Sources};
use crate::history::postgres::options;

pub(super) fn migrate(sources: &Sources) -> Result<(), CliError> {
    let loaded = config::load(sources)?;
    let Some(options) = options(&loaded.config.postgres) else {
        return Err(CliError::Usage(
            "there is no Postgres: set `postgres.url`, or in the environment AMPORA_POSTGRES__URL",
        ));
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(CliError::Runtime)?;
    let migrated = runtime
        .block_on(async { Postgres::new(&options)?.migrate().await })
        .map_err(|error| CliError::Migrate(error.reason()))?;
    if migrated.from == migrated.to {
        print(&format!(
            "the schema is at version {} already\n",
            migrated.to
        ))
    } else {
        let (from, to) = (migrated.from, migrated.to);
        print(&format!("the schema went from version {from} to {to}\n"))
    }
}
