//! Log lines to standard error: text on a terminal, else JSON.
//!
//! They go through a bounded queue, so that a stuck reader of standard error never stalls the node. Lines that find
//! the queue full are lost and counted. This file knows no room.

use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    time::Duration,
};

use parking_lot::{Condvar, Mutex};
use tracing_subscriber::{
    EnvFilter, Layer, Registry, fmt::MakeWriter, layer::SubscriberExt, reload,
    util::SubscriberInitExt,
};

use crate::config::{Log, LogFormat};

/// Lines that wait for standard error: two seconds of a node that logs each of 2 000 new connections a second.
const LINES_QUEUED_MAX: usize = 4096;

/// Longest line, in bytes; the rest is cut. With the number above it bounds the queue to 32 MiB.
const LINE_BYTES_MAX: usize = 8 * 1024;

/// What the process knows of its standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outlet {
    /// It is a terminal, so that people read along.
    pub is_terminal: bool,
    /// Colours may be used on a terminal (`NO_COLOR` is unset).
    pub allows_color: bool,
}

/// Why logging did not start or change.
#[derive(Debug, thiserror::Error)]
pub enum LogsError {
    /// The directives do not parse.
    #[error("`{directives}` is no log level")]
    Level {
        /// As given.
        directives: String,
        /// Where it went wrong.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// Logging was started before.
    #[error("cannot take over logging")]
    Taken(#[from] tracing_subscriber::util::TryInitError),
    /// The thread that writes could not be started.
    #[error("cannot start the log writer")]
    Thread(#[from] io::Error),
    /// The subscriber is gone.
    #[error("cannot change the log level")]
    Reload(#[from] reload::Error),
}

/// The running log: change its level, ask what it lost, flush it before the end.
#[derive(Debug, Clone)]
pub struct Logs {
    filter: reload::Handle<EnvFilter, Registry>,
    queue: Queue,
}

impl Logs {
    /// Starts logging to standard error for the whole process.
    ///
    /// # Errors
    /// When the level does not parse, logging runs already, or no thread can be started.
    pub fn start(log: &Log, outlet: Outlet) -> Result<Self, LogsError> {
        let (subscriber, logs) = build(log, outlet, io::stderr())?;
        subscriber.try_init()?;
        Ok(logs)
    }

    /// Changes what is logged from the next line on.
    ///
    /// # Errors
    /// When the directives do not parse; then nothing changes.
    pub fn set_level(&self, directives: &str) -> Result<(), LogsError> {
        self.filter.reload(parse(directives)?)?;
        Ok(())
    }

    /// Lines lost since the start because standard error was stuck.
    pub fn lines_lost(&self) -> u64 {
        self.queue.counts.lost.load(Ordering::Acquire)
    }

    /// Waits until all lines so far are written, at most for the given time. Tells whether they were.
    pub fn flush(&self, wait_max: Duration) -> bool {
        let taken = self.queue.counts.taken.load(Ordering::Acquire);
        let mut written = self.queue.counts.written.lock();
        let is_behind = |written: &mut u64| *written < taken;
        !self
            .queue
            .counts
            .progress
            .wait_while_for(&mut written, is_behind, wait_max)
            .timed_out()
    }
}

/// Libraries that tell every step at `info`; a directive that names one still wins.
const LIBRARIES: &str = "openraft=warn,sled=warn,hyper=warn,h2=warn,refinery_core=warn";

fn parse(directives: &str) -> Result<EnvFilter, LogsError> {
    EnvFilter::builder()
        .parse(format!("{LIBRARIES},{directives}"))
        .map_err(|source| LogsError::Level {
            directives: directives.to_owned(),
            source,
        })
}

fn build(
    log: &Log,
    outlet: Outlet,
    out: impl Write + Send + 'static,
) -> Result<
    (
        impl SubscriberInitExt + tracing::Subscriber + Send + Sync,
        Logs,
    ),
    LogsError,
> {
    let (filter, handle) = reload::Layer::new(parse(&log.level)?);
    let format = log.format.unwrap_or(if outlet.is_terminal {
        LogFormat::Text
    } else {
        LogFormat::Json
    });
    let queue = Queue::start(out, format)?;
    let lines = tracing_subscriber::fmt::layer().with_writer(queue.clone());
    let lines = match format {
        LogFormat::Text => lines
            .with_ansi(outlet.is_terminal && outlet.allows_color)
            .boxed(),
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .boxed(),
    };
    let subscriber = tracing_subscriber::registry().with(filter).with(lines);
    Ok((
        subscriber,
        Logs {
            filter: handle,
            queue,
        },
    ))
}

/// How far the lines have got.
#[derive(Debug, Default)]
struct Counts {
    /// Lines that the queue took.
    taken: AtomicU64,
    /// Lines that found it full.
    lost: AtomicU64,
    /// Lines that were handed to standard error.
    written: Mutex<u64>,
    /// Signalled when `written` grows.
    progress: Condvar,
}

/// The way to the writing thread.
#[derive(Debug, Clone)]
struct Queue {
    lines: SyncSender<Vec<u8>>,
    counts: Arc<Counts>,
}

impl Queue {
    /// Starts the thread that writes. It is a thread of its own because a write to standard error may block for
    /// ever; it ends when the last sender is gone.
    fn start(out: impl Write + Send + 'static, format: LogFormat) -> Result<Self, io::Error> {
        let (lines, queued) = sync_channel(LINES_QUEUED_MAX);
        let counts = Arc::new(Counts::default());
        let queue = Self {
            lines,
            counts: Arc::clone(&counts),
        };
        let writing = move || write_all(out, &queued, &counts, format);
        std::thread::Builder::new()
            .name("logs".to_owned())
            .spawn(writing)?;
        Ok(queue)
    }

    fn push(&self, line: Vec<u8>) {
        let count = match self.lines.try_send(line) {
            Ok(()) => &self.counts.taken,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => &self.counts.lost,
        };
        count.fetch_add(1, Ordering::Release);
    }
}

/// Writes what arrives, and says how many lines were lost since it said so last. Errors of standard error have
/// nowhere to go.
fn write_all(mut out: impl Write, queued: &Receiver<Vec<u8>>, counts: &Counts, format: LogFormat) {
    let mut told = 0;
    while let Ok(line) = queued.recv() {
        let _ = out.write_all(&line);
        let lost = counts.lost.load(Ordering::Acquire);
        if lost > told {
            let _ = out.write_all(lost_notice(lost - told, format).as_bytes());
            told = lost;
        }
        *counts.written.lock() += 1;
        counts.progress.notify_all();
    }
}

fn lost_notice(lines: u64, format: LogFormat) -> String {
    let message = "log lines were lost because standard error was stuck";
    match format {
        LogFormat::Text => format!("WARN {lines} {message}\n"),
        LogFormat::Json => {
            format!("{{\"level\":\"WARN\",\"message\":\"{message}\",\"log.lines_lost\":{lines}}}\n")
        }
    }
}

impl<'a> MakeWriter<'a> for Queue {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line {
            queue: self,
            bytes: Vec::new(),
        }
    }
}

/// One line under construction; it goes to the queue when it is dropped.
#[derive(Debug)]
struct Line<'a> {
    queue: &'a Queue,
    bytes: Vec<u8>,
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = LINE_BYTES_MAX.saturating_sub(self.bytes.len());
        self.bytes
            .extend_from_slice(&bytes[..bytes.len().min(room)]);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        let mut line = std::mem::take(&mut self.bytes);
        if line.is_empty() {
            return;
        }
        if line.last() != Some(&b'\n') {
            line.push(b'\n');
        }
        self.queue.push(line);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::SyncSender;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// Takes what is written, once it is let; until then a write blocks.
    struct Gate {
        open: Receiver<()>,
        is_open: bool,
        taken: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if !self.is_open {
                self.is_open = self.open.recv().is_ok();
            }
            self.taken.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn gated(format: LogFormat, then: impl FnOnce(&Logs, &SyncSender<()>)) -> String {
        let (opener, open) = sync_channel(1);
        let taken = Arc::new(Mutex::new(Vec::new()));
        let out = Gate {
            open,
            is_open: false,
            taken: Arc::clone(&taken),
        };
        let log = Log {
            format: Some(format),
            level: "info".to_owned(),
        };
        let outlet = Outlet {
            is_terminal: false,
            allows_color: false,
        };
        let (subscriber, logs) = build(&log, outlet, out).unwrap();
        tracing::subscriber::with_default(subscriber, || then(&logs, &opener));
        assert!(logs.flush(PATIENCE));
        String::from_utf8(taken.lock().clone()).unwrap()
    }

    #[test]
    fn stuck_standard_error_stalls_nobody_and_losses_are_told() {
        let text = gated(LogFormat::Json, |logs, opener| {
            for _ in 0..LINES_QUEUED_MAX + 100 {
                tracing::info!("line");
            }
            assert!(!logs.flush(Duration::ZERO));
            let lost = logs.lines_lost();
            assert!((99..=100).contains(&lost), "{lost}");
            opener.send(()).unwrap();
        });
        let notices = text
            .lines()
            .filter(|line| line.contains("log.lines_lost"))
            .count();
        assert_eq!(notices, 1, "{notices}");
        assert!(
            text.lines()
                .all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok())
        );
    }

    #[test]
    fn level_changes_while_running_and_a_bad_one_changes_nothing() {
        let text = gated(LogFormat::Text, |logs, opener| {
            opener.send(()).unwrap();
            tracing::debug!("unheard");
            logs.set_level("debug").unwrap();
            tracing::debug!("heard");
            assert!(logs.set_level("info,=,").is_err());
            tracing::debug!("still heard");
        });
        assert!(!text.contains("unheard"), "{text}");
        assert!(
            text.contains("heard") && text.contains("still heard"),
            "{text}"
        );
    }

    #[test]
    fn fields_stand_beside_the_message_in_json() {
        let text = gated(LogFormat::Json, |_, opener| {
            opener.send(()).unwrap();
            tracing::info!(agent.id = "a", "agent connected");
        });
        let line: serde_json::Value = serde_json::from_str(text.trim()).unwrap();
        assert_eq!(line["message"], "agent connected");
        assert_eq!(line["agent.id"], "a");
        assert_eq!(line["level"], "INFO");
    }

    #[test]
    fn long_line_is_cut_and_still_ends() {
        let text = gated(LogFormat::Text, |_, opener| {
            opener.send(()).unwrap();
            tracing::info!("{}", "x".repeat(10 * LINE_BYTES_MAX));
            tracing::info!("after");
        });
        let first = text.lines().next().map(str::len);
        assert_eq!(first, Some(LINE_BYTES_MAX));
        assert!(text.lines().nth(1).unwrap().ends_with("after"), "{text}");
    }
}
