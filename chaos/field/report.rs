//! What was found: said as it is found, and as one table at the end.

use std::io::{self, Write};

/// A question, what was found, what is aimed at, and whether that was reached.
struct Row {
    question: String,
    answer: String,
    aim: String,
    verdict: &'static str,
}

/// All of them.
#[derive(Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
    broken: usize,
}

impl Report {
    fn add(&mut self, row: Row) {
        let mark = match row.verdict {
            "" => String::new(),
            verdict => format!(" [{}: {verdict}]", row.aim),
        };
        note(&format!("{}: {}{mark}", row.question, row.answer));
        self.rows.push(row);
    }

    /// A figure.
    pub(crate) fn figure(&mut self, question: &str, answer: &str) {
        self.add(Row {
            question: question.to_owned(),
            answer: answer.to_owned(),
            aim: String::new(),
            verdict: "",
        });
    }

    /// A figure with an aim: a busy machine may miss it.
    pub(crate) fn aimed(&mut self, question: &str, answer: &str, aim: &str, reached: bool) {
        self.add(Row {
            question: question.to_owned(),
            answer: answer.to_owned(),
            aim: aim.to_owned(),
            verdict: if reached { "reached" } else { "MISSED" },
        });
    }

    /// What has to be so on any machine.
    pub(crate) fn must(&mut self, question: &str, answer: &str, aim: &str, holds: bool) {
        self.broken += usize::from(!holds);
        self.add(Row {
            question: question.to_owned(),
            answer: answer.to_owned(),
            aim: aim.to_owned(),
            verdict: if holds { "holds" } else { "BROKEN" },
        });
    }

    /// How much that has to be so was not.
    pub(crate) fn broken(&self) -> usize {
        self.broken
    }

    /// The table.
    pub(crate) fn print(&self) -> io::Result<()> {
        let mut out = io::stdout().lock();
        writeln!(out, "\n| question | answer | aim | |\n|---|---|---|---|")?;
        for row in &self.rows {
            let Row {
                question,
                answer,
                aim,
                verdict,
            } = row;
            writeln!(out, "| {question} | {answer} | {aim} | {verdict} |")?;
        }
        Ok(())
    }
}

/// Says something to whoever watches.
pub(crate) fn note(text: &str) {
    // a watcher who has gone away misses nothing of the table
    drop(writeln!(io::stderr(), "field: {text}"));
}
