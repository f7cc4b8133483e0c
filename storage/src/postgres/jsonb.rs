//! JSON text as JSONB travels in binary: a version, then the text. Nothing is parsed on this side.

use std::error::Error;

use bytes::{BufMut, BytesMut};
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

/// The only version there is.
const VERSION: u8 = 1;

/// JSON text as a value of a row or as a parameter.
#[derive(Debug)]
pub(super) struct Jsonb<T>(pub(super) T);

impl<T: AsRef<str> + std::fmt::Debug> ToSql for Jsonb<T> {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.put_u8(VERSION);
        out.put_slice(self.0.as_ref().as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(type_: &Type) -> bool {
        *type_ == Type::JSONB
    }

    to_sql_checked!();
}

impl FromSql<'_> for Jsonb<String> {
    fn from_sql(_: &Type, raw: &[u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        match raw.split_first() {
            Some((&VERSION, text)) => Ok(Self(std::str::from_utf8(text)?.to_owned())),
            Some(_) | None => Err("another version of JSONB".into()),
        }
    }

    fn accepts(type_: &Type) -> bool {
        *type_ == Type::JSONB
    }
}
