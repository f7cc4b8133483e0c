//! Somebody with psql who does something and goes on sitting there, with whatever locks that took.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use super::Server;

/// An open session. Dropping it ends it, and its transaction with it.
pub(crate) struct Session(Child);

impl Server {
    /// Begins a transaction, does something in it and leaves it open.
    pub(crate) fn hold(&self, database: &str, sql: &str) -> Session {
        let mut psql = Command::new(self.programs.join("psql"))
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"])
            .args(["-d", &self.url(database)])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a program that starts");
        let input = psql.stdin.as_mut().expect("piped");
        writeln!(input, "BEGIN; {sql};\n\\echo done").expect("it reads");
        let mut said = String::new();
        let mut output = BufReader::new(psql.stdout.take().expect("piped"));
        while said != "done\n" {
            said.clear();
            let read = output.read_line(&mut said).expect("a text");
            assert_ne!(read, 0, "psql ended: {sql}");
        }
        Session(psql)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // at the end of its input it goes, and its server process at once with it
        drop(self.0.stdin.take());
        drop(self.0.wait());
    }
}
