//! Statements that both engines understand, with many rows in one.
//!
//! A batch must cost the same number of round trips however many members it has, and the same
//! few statement texts, so that prepared ones are found again. PostgreSQL takes a column of
//! values as one array; SQLite takes `VALUES` of a few widths, filled up with rows of NULL that
//! are passed over. [`Rows`] hides the difference: a statement names its rows as a table and is
//! written once.

use std::ops::ControlFlow;

use futures_util::TryStreamExt;
use sea_orm::sea_query::ArrayType;
use sea_orm::{ConnectionTrait, DatabaseConnection, QueryResult, Statement, StreamTrait, Value};
use uuid::Uuid;

use super::db::Engine;
use super::error::Result;

/// How many bytes of documents a page holds: several hundred large tasks would fill the memory of a
/// small server, several times over when several ask.
pub(super) const PAGE_BYTES: usize = 4 << 20;

/// A statement under construction: text and the values bound so far.
#[derive(Clone)]
pub(super) struct Sql {
    engine: Engine,
    text: String,
    values: Vec<Value>,
    walks: bool,
}

impl Sql {
    /// Begins with this text. `{now}` becomes the database's clock in microseconds (the statement's
    /// beginning, so that an index can be searched for it), `{locked}` the
    /// clause that locks the rows of a SELECT (nothing on SQLite, whose writer is alone anyway),
    /// `{skip_locked}` the same, passing over rows that others hold; `{row}` the column that tells where a row is
    /// stored, for a statement that finds rows and deletes them.
    pub(super) fn new(engine: Engine, text: &str) -> Self {
        Self { engine, text: String::with_capacity(text.len() + 64), values: Vec::new(), walks: false }
            .push(text)
    }

    /// Adds text.
    pub(super) fn push(mut self, text: &str) -> Self {
        if text.contains('{') {
            let (now, locked, skip, row) = match self.engine {
                Engine::Postgres => (
                    "(extract(epoch FROM statement_timestamp()) * 1000000)::bigint",
                    "FOR NO KEY UPDATE",
                    "FOR NO KEY UPDATE SKIP LOCKED",
                    "ctid",
                ),
                Engine::Sqlite => ("CAST(unixepoch('subsec') * 1000000 AS INTEGER)", "", "", "rowid"),
            };
            let text = text.replace("{now}", now).replace("{locked}", locked).replace("{skip_locked}", skip);
            let text = text.replace("{row}", row);
            self.text.push_str(&text);
        } else {
            self.text.push_str(text);
        }
        self
    }

    /// Adds a placeholder and binds a value to it.
    pub(super) fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self.placeholder();
        self
    }

    fn placeholder(&mut self) {
        match self.engine {
            Engine::Postgres => {
                self.text.push('$');
                self.text.push_str(&self.values.len().to_string());
            }
            Engine::Sqlite => self.text.push('?'),
        }
    }

    /// Adds a condition that holds for any of these: ` = ANY($1)`, ` IN (?, ?)`.
    pub(super) fn any(mut self, ty: Ty, values: Vec<Value>) -> Self {
        match self.engine {
            Engine::Postgres => {
                self = self.push(" = ANY(").bind(Value::Array(ty.array(), Some(Box::new(values)))).push(")");
            }
            Engine::Sqlite => {
                // Filled up with repetitions of the last, so that there are few texts to prepare.
                let width = if values.is_empty() { 0 } else { values.len().next_power_of_two() };
                let last = values.last().cloned();
                self = self.push(" IN (");
                for (i, value) in values
                    .into_iter()
                    .chain(std::iter::repeat_with(|| last.clone()).flatten())
                    .take(width)
                    .enumerate()
                {
                    self = self.push(if i == 0 { "" } else { ", " }).bind(value);
                }
                self = self.push(")");
            }
        }
        self
    }

    /// Adds a condition that holds for any that a query finds, which is run once: as a join, PostgreSQL may run it
    /// for each row that there is.
    pub(super) fn any_of(self, query: impl FnOnce(Self) -> Self) -> Self {
        let (begin, end) = match self.engine {
            Engine::Postgres => (" = ANY(ARRAY(", "))"),
            Engine::Sqlite => (" IN (", ")"),
        };
        query(self.push(begin)).push(end)
    }

    /// A list of ids, for [`Sql::any`].
    pub(super) fn any_id(self, ids: impl IntoIterator<Item = Uuid>) -> Self {
        self.any(Ty::Uuid, ids.into_iter().map(Value::from).collect())
    }

    /// The finished statement.
    pub(super) fn build(self) -> Statement {
        Statement::from_sql_and_values(self.engine.into(), self.text, self.values)
    }

    /// Says that it reads the whole of a large table, on purpose and seldom.
    pub(super) fn walks(mut self) -> Self {
        self.walks = true;
        self
    }

    /// The finished statement, which is about to run there.
    async fn checked(self, db: &impl ConnectionTrait) -> Statement {
        #[cfg(debug_assertions)]
        if !self.walks {
            super::plans::check(self.engine, &self.text, &self.values, db).await;
        }
        #[cfg(not(debug_assertions))]
        let _ = (db, self.walks);
        self.build()
    }

    /// Runs it; returns the number of rows that it changed.
    pub(super) async fn execute(self, db: &impl ConnectionTrait) -> Result<u64> {
        Ok(db.execute_raw(self.checked(db).await).await?.rows_affected())
    }

    /// Runs it; returns its rows.
    pub(super) async fn all(self, db: &impl ConnectionTrait) -> Result<Vec<QueryResult>> {
        Ok(db.query_all_raw(self.checked(db).await).await?)
    }

    /// Runs it and takes its rows one by one, so that never all of them are in memory, until `take`
    /// breaks; says whether it did.
    pub(super) async fn each(
        self,
        db: &DatabaseConnection,
        mut take: impl FnMut(&QueryResult) -> Result<ControlFlow<()>>,
    ) -> Result<bool> {
        let mut rows = db.stream_raw(self.checked(db).await).await?;
        while let Some(row) = rows.try_next().await? {
            if take(&row)?.is_break() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Runs it, which asks for one row more than `limit`; returns a page of at most `limit` and, but for
    /// one large item, of at most [`PAGE_BYTES`], and whether there are more.
    pub(super) async fn page<T>(
        self,
        db: &DatabaseConnection,
        limit: u64,
        read: impl Fn(&QueryResult) -> Result<T>,
        bytes: impl Fn(&T) -> usize,
    ) -> Result<(Vec<T>, bool)> {
        let (mut page, mut total) = (Vec::new(), 0);
        let more = self
            .each(db, |row| {
                let item = read(row)?;
                total += bytes(&item);
                if page.len() as u64 >= limit || (total > PAGE_BYTES && !page.is_empty()) {
                    return Ok(ControlFlow::Break(()));
                }
                page.push(item);
                Ok(ControlFlow::Continue(()))
            })
            .await?;
        Ok((page, more))
    }

    /// Runs it; returns its first row.
    pub(super) async fn one(self, db: &impl ConnectionTrait) -> Result<Option<QueryResult>> {
        Ok(db.query_one_raw(self.checked(db).await).await?)
    }
}

/// The type of a column of [`Rows`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ty {
    Uuid,
    Text,
    Int,
    Bool,
    Bytes,
}

impl Ty {
    fn array(self) -> ArrayType {
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
pub(super) enum Null {
    Never,
    Maybe,
}

/// One column of [`Rows`].
pub(super) type Column = (&'static str, Ty, Null);

/// Rows of values that a statement reads like a table.
#[derive(Clone)]
pub(super) struct Rows {
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
    pub(super) fn new(columns: &'static [Column]) -> Self {
        Self { columns, rows: Vec::new() }
    }

    /// Adds a row, in the columns' order.
    pub(super) fn push(&mut self, row: Vec<Value>) {
        debug_assert_eq!(row.len(), self.columns.len(), "a row has one value for each column");
        self.rows.push(row);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Adds, on PostgreSQL, the condition that a column has one of the values of a column of these rows: a join says so
    /// as well, but of a table that was counted while it was short, PostgreSQL would read all of it to join with it.
    pub(super) fn only(&self, sql: Sql, column: &str, of: &str) -> Sql {
        let Some(at) = self.columns.iter().position(|(name, ..)| *name == of) else { return sql };
        match sql.engine {
            Engine::Postgres => {
                let values = self.rows.iter().filter_map(|row| row.get(at).cloned()).collect();
                sql.push(" AND ").push(column).any(self.columns[at].1, values)
            }
            Engine::Sqlite => sql,
        }
    }

    /// The columns' names, comma-separated.
    pub(super) fn names(&self) -> String {
        self.columns.iter().map(|c| c.0).collect::<Vec<_>>().join(", ")
    }

    /// Inserts the rows; `suffix` may hold `ON CONFLICT` and `RETURNING`.
    pub(super) async fn insert(
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
    pub(super) async fn run(
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
    pub(super) fn add(mut self, mut sql: Sql, mut statement: impl FnMut(Sql, Self) -> Sql) -> Sql {
        while !self.is_empty() {
            let rest = self.rows.split_off(self.len().min(sqlite_width(self.len())));
            let rows = Self { columns: self.columns, rows: std::mem::replace(&mut self.rows, rest) };
            sql = statement(sql, rows).push("; ");
        }
        sql
    }

    /// Adds the rows to a statement as a derived table with the columns' names, in their order.
    pub(super) fn table(self, sql: Sql) -> Sql {
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
    fn a_list_is_filled_up_and_may_be_empty() {
        let text = |engine, count: usize| {
            let ids = std::iter::repeat_n(Uuid::nil(), count);
            Sql::new(engine, "id").any_id(ids).build().sql
        };
        assert_eq!(text(Engine::Sqlite, 0), "id IN ()");
        assert_eq!(text(Engine::Sqlite, 1), "id IN (?)");
        assert_eq!(text(Engine::Sqlite, 3), "id IN (?, ?, ?, ?)");
        assert_eq!(text(Engine::Postgres, 0), "id = ANY($1)");
    }

    #[test]
    fn every_number_of_rows_has_a_width_that_is_at_least_half_full() {
        for rows in 1..=SQLITE_WIDTHS[SQLITE_WIDTHS.len() - 1] {
            let width = sqlite_width(rows);
            assert!(width >= rows && rows * 2 > width, "{rows} rows in {width}");
        }
        assert_eq!(sqlite_width(10_000), 256);
    }
}
