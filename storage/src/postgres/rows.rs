//! Rows with a key of their own: audit records and finished deliveries. A batch goes in by one statement, what is
//! there already is left, and the cursor moves in the same transaction; nothing changes under a stale fence.

use std::borrow::Cow;

use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, ToSql, Type};

use super::lease::{self, Held};
use super::storable::{escaped, storable};
use super::{Connection, Error, Purpose, cursor};

/// A parameter with its type.
pub(super) type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

/// A value of a row.
pub(super) fn get<'a, T: FromSql<'a>>(row: &'a Row, at: usize) -> Result<T, Error> {
    let name = "row";
    row.try_get(at)
        .map_err(|source| Error::Misfit { name, source })
}

/// A table that takes rows as columns of one statement. They own what they have: borrowed ones would tie the future
/// that writes them to lifetimes that nobody who spawns it can state.
pub(super) trait Columns: Sized + Send + Sync {
    /// A row before it is one.
    type Row: Sync;

    /// The name of the query.
    const NAME: &'static str;

    /// Arrays in, `ON CONFLICT DO NOTHING`.
    const INSERT: &'static str;

    /// Turns rows into columns.
    fn of(rows: &[Self::Row], form: Form) -> Result<Self, Error>;

    /// The arrays.
    fn parameters(&self) -> Vec<Parameter<'_>>;
}

/// How texts are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As they are, as far as Postgres is known to hold them.
    Plain,
    /// In ASCII, because the server has refused them.
    Ascii,
}

impl Form {
    /// A text for a `text` column, which holds everything but NUL.
    pub(super) fn text(self, text: &str) -> Cow<'_, str> {
        let is_held = |c: char| match self {
            Self::Plain => c != '\0',
            Self::Ascii => matches!(c, ' '..='~'),
        };
        if text.chars().all(is_held) {
            return Cow::Borrowed(text);
        }
        let mut held = String::with_capacity(text.len() + 16);
        for c in text.chars() {
            if is_held(c) {
                held.push(c);
            } else {
                held.extend(c.escape_unicode());
            }
        }
        Cow::Owned(held)
    }

    /// JSON for a `jsonb` column.
    pub(super) fn json(self, json: &str) -> Cow<'_, str> {
        match self {
            Self::Plain => storable(json),
            Self::Ascii => Cow::Owned(escaped(json, None)),
        }
    }
}

/// From where to where a cursor moves, as whoever writes knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// Where it stands at least: all before that is there.
    pub from: u64,
    /// Where it stands afterwards.
    pub upto: u64,
}

/// Writes rows and moves the cursor.
pub(super) async fn put<C: Columns>(
    connection: &mut Connection,
    held: Held,
    (key, way): (&str, Move),
    rows: &[C::Row],
) -> Result<(), Error> {
    let stays = Move {
        upto: way.from,
        ..way
    };
    match insert::<C>(connection, held, (key, way), rows, Form::Plain).await {
        Err(error) if error.is_about_data() => {}
        done => return done,
    }
    for row in rows.chunks(1) {
        match insert::<C>(connection, held, (key, stays), row, Form::Plain).await {
            Err(error) if error.is_about_data() => {
                insert::<C>(connection, held, (key, stays), row, Form::Ascii).await?;
            }
            done => done?,
        }
    }
    insert::<C>(connection, held, (key, way), &[], Form::Plain).await
}

async fn insert<C: Columns>(
    connection: &mut Connection,
    held: Held,
    (key, way): (&str, Move),
    rows: &[C::Row],
    form: Form,
) -> Result<(), Error> {
    let columns = C::of(rows, form)?;
    let tx = connection.begin(Purpose::Write).await?;
    lease::show(&tx, held).await?;
    let stands = cursor::lock(&tx, key).await?;
    if stands < way.from {
        return Err(Error::SetBack {
            cursor: key.to_owned(),
            known: way.from,
            found: stands,
        });
    }
    if !rows.is_empty() {
        let parameters = columns.parameters();
        tx.execute(C::NAME, C::INSERT, &parameters).await?;
    }
    cursor::advance(&tx, key, way.upto, None).await?;
    tx.commit().await
}

#[cfg(test)]
mod tests {
    use super::Form;

    #[test]
    fn texts_lose_what_a_column_cannot_hold() {
        assert_eq!(Form::Plain.text("é\n"), "é\n");
        assert_eq!(Form::Plain.text("a\0b"), "a\\u{0}b");
        assert_eq!(Form::Ascii.text("aé"), "a\\u{e9}");
    }
}
