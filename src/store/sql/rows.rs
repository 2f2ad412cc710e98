//! Rows of values, as a table in a statement.

use sea_orm::sea_query::ArrayType;
use sea_orm::{ConnectionTrait, QueryResult, Value};
use uuid::Uuid;

use super::Sql;
use crate::store::db::Engine;
use crate::store::error::Result;

/// The type of a column of [`Rows`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Ty {
    Uuid,
    Text,
    Int,
    Bool,
    Bytes,
}

impl Ty {
    pub(super) fn array(self) -> ArrayType {
        match self {
            Self::Uuid => ArrayType::Uuid,
            Self::Text => ArrayType::String,
            Self::Int => ArrayType::BigInt,
            Self::Bool => ArrayType::Bool,
            Self::Bytes => ArrayType::Bytes,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Uuid => "uuid",
            Self::Text => "text",
            Self::Int => "bigint",
            Self::Bool => "boolean",
            Self::Bytes => "bytea",
        }
    }

    /// Stands for NULL inside an array, which can't carry one here: a value that no column of ours
    /// holds. Its literal is what `NULLIF` turns back.
    fn null(self) -> (Value, &'static str) {
        match self {
            Self::Uuid => (Uuid::nil().into(), "'00000000-0000-0000-0000-000000000000'"),
            Self::Text => (String::new().into(), "''"),
            Self::Int => (i64::MIN.into(), "-9223372036854775808"),
            Self::Bool => (false.into(), "NULL"),
            Self::Bytes => (Vec::<u8>::new().into(), "''"),
        }
    }

    fn is_null(value: &Value) -> bool {
        matches!(value, Value::Uuid(None) | Value::String(None) | Value::BigInt(None) | Value::Bytes(None))
    }
}

/// Whether a column of [`Rows`] may be NULL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Null {
    Never,
    Maybe,
}

/// One column of [`Rows`].
pub(in crate::store) type Column = (&'static str, Ty, Null);

/// Rows of values that a statement reads like a table.
#[derive(Clone)]
pub(in crate::store) struct Rows {
    columns: &'static [Column],
    rows: Vec<Vec<Value>>,
}

/// How many rows SQLite's statements have: few texts to prepare, none half empty. The last is the
/// most, since parameters are limited to 32,766.
const SQLITE_WIDTHS: [usize; 16] = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256];

/// The width of the statement that takes so many rows, or the most that one takes.
fn sqlite_width(rows: usize) -> usize {
    let fitting = SQLITE_WIDTHS.into_iter().find(|width| *width >= rows);
    fitting.unwrap_or(SQLITE_WIDTHS[SQLITE_WIDTHS.len() - 1])
}

impl Rows {
    pub(in crate::store) fn new(columns: &'static [Column]) -> Self {
        Self { columns, rows: Vec::new() }
    }

    /// Adds a row, in the columns' order.
    pub(in crate::store) fn push(&mut self, row: Vec<Value>) {
        debug_assert_eq!(row.len(), self.columns.len(), "a row has one value for each column");
        self.rows.push(row);
    }

    pub(in crate::store) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(in crate::store) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Adds, on PostgreSQL, the condition that a column has one of the values of a column of these rows: a join says so
    /// as well, but of a table that was counted while it was short, PostgreSQL would read all of it to join with it.
    pub(in crate::store) fn only(&self, sql: Sql, column: &str, of: &str) -> Sql {
        let Some(at) = self.columns.iter().position(|(name, ..)| *name == of) else { return sql };
        match sql.engine {
            Engine::Postgres => {
                let values = self.rows.iter().filter_map(|row| row.get(at).cloned()).collect();
                sql.push(" AND ").push(column).any(self.columns[at].1, values)
            }
            Engine::Sqlite => sql,
        }
    }

    /// The same for each of these columns, which together are the key that rows are found by. `table` is what stands
    /// before a column: `x.`, or nothing.
    pub(in crate::store) fn only_keys(&self, sql: Sql, table: &str, columns: &[&str]) -> Sql {
        columns.iter().fold(sql, |sql, column| self.only(sql, &format!("{table}{column}"), column))
    }

    /// The columns' names, comma-separated.
    pub(in crate::store) fn names(&self) -> String {
        self.columns.iter().map(|c| c.0).collect::<Vec<_>>().join(", ")
    }

    /// Inserts the rows; `suffix` may hold `ON CONFLICT` and `RETURNING`.
    pub(in crate::store) async fn insert(
        self,
        engine: Engine,
        db: &impl ConnectionTrait,
        table: &str,
        suffix: &str,
    ) -> Result<Vec<QueryResult>> {
        let names = self.names();
        let before = format!("INSERT INTO {table} ({names}) SELECT {names} FROM ");
        // SQLite needs a WHERE before ON CONFLICT, or it reads ON as a join's.
        let after = format!(" AS r WHERE true {suffix}");
        self.run(engine, db, |sql, rows| rows.table(sql.push(&before)).push(&after)).await
    }

    /// Runs a statement over the rows: on SQLite a text with one for each chunk.
    pub(in crate::store) async fn run(
        self,
        engine: Engine,
        db: &impl ConnectionTrait,
        mut statement: impl FnMut(Sql, Self) -> Sql,
    ) -> Result<Vec<QueryResult>> {
        if self.is_empty() {
            return Ok(Vec::new());
        }
        let sql = Sql::new(engine, "");
        match engine {
            Engine::Postgres => statement(sql, self),
            Engine::Sqlite => self.add(sql, statement),
        }
        .all(db)
        .await
    }

    /// Adds statements over the rows to SQLite's text, each with a semicolon behind it: as many as the
    /// rows need, none if there are none.
    pub(in crate::store) fn add(mut self, mut sql: Sql, mut statement: impl FnMut(Sql, Self) -> Sql) -> Sql {
        while !self.is_empty() {
            let rest = self.rows.split_off(self.len().min(sqlite_width(self.len())));
            let rows = Self { columns: self.columns, rows: std::mem::replace(&mut self.rows, rest) };
            sql = statement(sql, rows).push("; ");
        }
        sql
    }

    /// Adds the rows to a statement as a derived table with the columns' names, in their order.
    pub(in crate::store) fn table(self, sql: Sql) -> Sql {
        match sql.engine {
            Engine::Postgres => self.unnest(sql),
            Engine::Sqlite => self.values(sql),
        }
    }

    fn unnest(self, mut sql: Sql) -> Sql {
        let mut arrays: Vec<Vec<Value>> =
            self.columns.iter().map(|_| Vec::with_capacity(self.rows.len())).collect();
        for row in self.rows {
            for ((value, array), (_, ty, _)) in row.into_iter().zip(&mut arrays).zip(self.columns) {
                array.push(if Ty::is_null(&value) { ty.null().0 } else { value });
            }
        }
        let selected: Vec<String> = self
            .columns
            .iter()
            .map(|(name, ty, null)| match null {
                Null::Never => (*name).to_owned(),
                Null::Maybe => format!("NULLIF({name}, {}) AS {name}", ty.null().1),
            })
            .collect();
        sql = sql.push("(SELECT ").push(&selected.join(", ")).push(" FROM unnest(");
        for (i, (array, (_, ty, _))) in arrays.into_iter().zip(self.columns).enumerate() {
            let array = Value::Array(ty.array(), Some(Box::new(array)));
            sql = sql.push(if i == 0 { "" } else { ", " }).bind(array).push("::").push(ty.name()).push("[]");
        }
        let names: Vec<_> = self.columns.iter().map(|c| c.0).collect();
        sql.push(") AS u (").push(&names.join(", ")).push("))")
    }

    /// A row that only fills up has NULL in its first column, which no row of ours has.
    fn values(self, mut sql: Sql) -> Sql {
        debug_assert_eq!(self.columns[0].2, Null::Never, "the first column tells a row from filling");
        let selected: Vec<String> = self
            .columns
            .iter()
            .enumerate()
            .map(|(i, (name, ..))| format!("column{} AS {name}", i + 1))
            .collect();
        sql = sql.push("(SELECT ").push(&selected.join(", ")).push(" FROM (VALUES ");
        let width = sqlite_width(self.rows.len());
        let rows = self.rows.into_iter().map(Some).chain(std::iter::repeat(None)).take(width);
        for (i, row) in rows.enumerate() {
            sql = sql.push(if i == 0 { "(" } else { ", (" });
            match row {
                Some(row) => {
                    for (j, value) in row.into_iter().enumerate() {
                        sql = sql.push(if j == 0 { "" } else { ", " }).bind(value);
                    }
                }
                None => {
                    for j in 0..self.columns.len() {
                        sql = sql.push(if j == 0 { "" } else { ", " }).bind(Value::BigInt(None));
                    }
                }
            }
            sql = sql.push(")");
        }
        sql.push(") WHERE column1 IS NOT NULL)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_of_rows_has_a_width_that_is_at_least_half_full() {
        for rows in 1..=SQLITE_WIDTHS[SQLITE_WIDTHS.len() - 1] {
            let width = sqlite_width(rows);
            assert!(width >= rows && rows * 2 > width, "{rows} rows in {width}");
        }
        assert_eq!(sqlite_width(10_000), 256);
    }
}
