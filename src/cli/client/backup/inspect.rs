//! `backup inspect`: reads a file to its end and keeps nothing of it.

use std::fs::File;
use std::io::BufReader;

use ampora_raft::time::Clock;
use ampora_storage::backup::Reader;

use super::{BACKUP, FileArgs, shown};
use crate::cli::CliError;
use crate::cli::client::error::ClientError;
use crate::cli::client::output::Output;
use crate::clock::SystemClock;

pub(super) fn run(args: &FileArgs, output: Output) -> Result<(), CliError> {
    let path = &args.file;
    let file = File::open(path).map_err(|source| ClientError::File {
        path: path.clone(),
        source,
    })?;
    let of = |error| ClientError::backup("use", path, error);
    let reader = Reader::open(BufReader::new(file)).map_err(of)?;
    let header = reader.header().clone();
    let summary = reader.summary().map_err(of)?;
    output.show(
        &shown(path, &header, &summary),
        BACKUP,
        SystemClock.wall_ms(),
    )
}
