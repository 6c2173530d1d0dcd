//! Writes and checks the checksum that each row has. SQLite has none: its own check accepts a blob
//! in which a bit has changed.
//!
//! The checksum is the CRC-32 of `zlib`, which detects every change of up to three bits in a row of
//! ordinary length. It protects against bit rot, not against an attacker.

use rusqlite::{
    Result, Row, Statement, ToSql,
    types::{ToSqlOutput, ValueRef},
};

use super::{error::Damage, schema::Table};

/// A value to be bound to a statement.
struct Field<'a>(ValueRef<'a>);

impl ToSql for Field<'_> {
    fn to_sql(&self) -> Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(self.0))
    }
}

/// Computes the checksum of a row over the name of the table and each value with its type and its
/// length. `scratch` is a buffer to be reused.
fn sum(table: &Table, values: &[ValueRef<'_>], scratch: &mut Vec<u8>) -> i64 {
    scratch.clear();
    scratch.extend_from_slice(table.name.as_bytes());
    for value in values {
        match value {
            ValueRef::Null => scratch.push(0),
            ValueRef::Integer(number) => {
                scratch.push(1);
                scratch.extend_from_slice(&number.to_le_bytes());
            }
            ValueRef::Real(number) => {
                scratch.push(2);
                scratch.extend_from_slice(&number.to_le_bytes());
            }
            ValueRef::Text(bytes) => with_length(3, bytes, scratch),
            ValueRef::Blob(bytes) => with_length(4, bytes, scratch),
        }
    }
    i64::from(crc32fast::hash(scratch))
}

fn with_length(kind: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(kind);
    out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    out.extend_from_slice(bytes);
}

/// Binds the values and their checksum to the statement, and executes it.
pub(super) fn write(
    statement: &mut Statement<'_>,
    table: &Table,
    values: &[ValueRef<'_>],
    scratch: &mut Vec<u8>,
) -> Result<()> {
    let sum = sum(table, values, scratch);
    for (index, value) in values.iter().enumerate() {
        // An update does not use the columns that never change, except for the key.
        statement.raw_bind_parameter(index + 1, Field(*value))?;
    }
    statement.raw_bind_parameter(values.len() + 1, sum)?;
    statement.raw_execute().map(drop)
}

/// Largest number of columns of a table.
const COLUMNS_MAX: usize = 16;

/// The values of a row whose checksum is right.
#[derive(Debug)]
pub(super) struct Values<'a> {
    table: &'static Table,
    values: [ValueRef<'a>; COLUMNS_MAX],
}

impl<'a> Values<'a> {
    /// Reads a row and checks its checksum.
    pub(super) fn read(
        table: &'static Table,
        row: &'a Row<'_>,
        scratch: &mut Vec<u8>,
    ) -> Result<Self, Damage> {
        let mut values = [ValueRef::Null; COLUMNS_MAX];
        for (index, value) in values.iter_mut().enumerate().take(table.width() + 1) {
            *value = row.get_ref(index).map_err(|_| Damage::row(table, None, "is incomplete"))?;
        }
        let (sum_read, key) = (values[table.width()], key(values[0]));
        if sum_read != ValueRef::Integer(sum(table, &values[..table.width()], scratch)) {
            return Err(Damage::row(table, key, "is not what was written: its sum does not fit"));
        }
        Ok(Self { table, values })
    }

    pub(super) fn int<T: TryFrom<i64>>(&self, index: usize) -> Result<T, Damage> {
        self.maybe_int(index)?.ok_or_else(|| self.unreadable(index))
    }

    pub(super) fn maybe_int<T: TryFrom<i64>>(&self, index: usize) -> Result<Option<T>, Damage> {
        match self.values[index] {
            ValueRef::Null => Ok(None),
            ValueRef::Integer(number) => {
                number.try_into().map(Some).map_err(|_| self.unreadable(index))
            }
            _ => Err(self.unreadable(index)),
        }
    }

    pub(super) fn maybe_text(&self, index: usize) -> Result<Option<&'a str>, Damage> {
        match self.values[index] {
            ValueRef::Null => Ok(None),
            ValueRef::Text(bytes) => {
                str::from_utf8(bytes).map(Some).map_err(|_| self.unreadable(index))
            }
            _ => Err(self.unreadable(index)),
        }
    }

    pub(super) fn text(&self, index: usize) -> Result<&'a str, Damage> {
        self.maybe_text(index)?.ok_or_else(|| self.unreadable(index))
    }

    pub(super) fn maybe_blob(&self, index: usize) -> Result<Option<&'a [u8]>, Damage> {
        match self.values[index] {
            ValueRef::Null => Ok(None),
            ValueRef::Blob(bytes) => Ok(Some(bytes)),
            _ => Err(self.unreadable(index)),
        }
    }

    pub(super) fn blob(&self, index: usize) -> Result<&'a [u8], Damage> {
        self.maybe_blob(index)?.ok_or_else(|| self.unreadable(index))
    }

    /// Returns the damage of a row whose checksum is right but whose column has an invalid value:
    /// another program wrote it.
    pub(super) fn unreadable(&self, index: usize) -> Damage {
        let why = format!("has a `{}` that makes no sense", self.table.column(index));
        Damage::row(self.table, key(self.values[0]), why)
    }
}

fn key(value: ValueRef<'_>) -> Option<i64> {
    value.as_i64().ok()
}
