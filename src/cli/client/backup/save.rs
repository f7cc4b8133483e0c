//! `backup save`: has a snapshot taken, reads it into a file beside the wanted one, checks what was written from the disk,
//! and only then gives it its name.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ampora_storage::backup::Reader;
use http::Method;
use indicatif::{ProgressBar, ProgressStyle};

use super::{BACKUP, SaveArgs, shown};
use crate::cli::CliError;
use crate::cli::client::Session;
use crate::cli::client::error::ClientError;
use crate::cli::client::http::Call;
use crate::cli::client::output::note;
use crate::cli::client::text::cell;
use crate::entropy;

/// How often a snapshot is taken anew when one is gone before it was read, or breaks off.
const TRIES: u32 = 3;

/// How often the bar moves.
const TICK: Duration = Duration::from_millis(100);

pub(super) async fn run(session: &Session, args: &SaveArgs) -> Result<(), CliError> {
    let path = &args.file;
    refuse_existing(args)?;
    let mut tries = 1;
    let partial = loop {
        match fetch(session, path).await {
            Ok(partial) => break partial,
            Err(error) if tries < TRIES && is_worth_another(&error) => {
                note(&format!("{error}\ntaking another snapshot"));
                tries += 1;
            }
            Err(error) => return Err(error.into()),
        }
    };
    let file = File::open(&partial.path).map_err(writing(path))?;
    let of = |error| ClientError::backup("use what was written to", path, error);
    let reader = Reader::open(BufReader::new(file)).map_err(of)?;
    let header = reader.header().clone();
    let summary = reader.summary().map_err(of)?;
    refuse_existing(args)?;
    partial.keep(path)?;
    session.show(&shown(path, &header, &summary), BACKUP)
}

fn refuse_existing(args: &SaveArgs) -> Result<(), ClientError> {
    if !args.force && args.file.symlink_metadata().is_ok() {
        return Err(ClientError::Exists(args.file.clone()));
    }
    Ok(())
}

fn is_worth_another(error: &ClientError) -> bool {
    if let ClientError::Refused(problem) = error {
        return problem.code == "snapshot_not_found";
    }
    matches!(error, ClientError::Lost { .. })
}

/// A snapshot, read into a file that nobody has seen yet.
async fn fetch(session: &Session, path: &Path) -> Result<Partial, ClientError> {
    let call = Call::new(Method::POST, &["cluster", "snapshots"]);
    let taken = session.client.call(call).await?.body;
    let id = cell(&taken, "/id");
    let mut partial = Partial::create(path)?;
    let bar = bar(session);
    let call = Call::get(&["cluster", "snapshots", &id]);
    let download = session.client.download(call, |bytes| {
        bar.inc(bytes.len() as u64);
        partial.file.write_all(bytes).map_err(writing(path))
    });
    let ended = download.await;
    bar.finish_and_clear();
    ended?;
    partial.file.sync_all().map_err(writing(path))?;
    Ok(partial)
}

/// A bar on a terminal, nothing elsewhere; how much is to come nobody knows before it was made.
fn bar(session: &Session) -> ProgressBar {
    if !session.output.shows_progress {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner();
    let style = ProgressStyle::with_template("{spinner} {bytes} saved, {binary_bytes_per_sec}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    bar.enable_steady_tick(TICK);
    bar
}

/// A file that goes away unless it is kept.
#[derive(Debug)]
struct Partial {
    path: PathBuf,
    file: File,
    is_kept: bool,
}

impl Partial {
    fn create(wanted: &Path) -> Result<Self, ClientError> {
        let name = wanted.file_name().ok_or_else(|| {
            ClientError::Usage(format!("{} is not the name of a file", wanted.display()))
        })?;
        let unique = hex::encode(entropy::bytes::<4>());
        let path = wanted.with_file_name(format!(".{}.{unique}.new", name.to_string_lossy()));
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(writing(wanted))?;
        Ok(Self {
            path,
            file,
            is_kept: false,
        })
    }

    fn keep(mut self, wanted: &Path) -> Result<(), ClientError> {
        std::fs::rename(&self.path, wanted).map_err(writing(wanted))?;
        self.is_kept = true;
        let dir = match wanted.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => dir,
            Some(_) | None => Path::new("."),
        };
        File::open(dir)
            .and_then(|dir| dir.sync_all())
            .map_err(writing(wanted))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.is_kept {
            drop(std::fs::remove_file(&self.path));
        }
    }
}

fn writing(path: &Path) -> impl Fn(io::Error) -> ClientError {
    let path = path.to_owned();
    move |source| ClientError::Write {
        path: path.clone(),
        source,
    }
}
