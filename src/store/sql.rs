//! Statements that both engines understand, with many rows in one.
//!
//! A batch must cost the same number of round trips however many members it has, and the same
//! few statement texts, so that prepared ones are found again. PostgreSQL takes a column of
//! values as one array; SQLite takes `VALUES` of a few widths, filled up with rows of NULL that
//! are passed over. [`Rows`] hides the difference: a statement names its rows as a table and is
//! written once.

mod rows;

use std::ops::ControlFlow;

use futures_util::TryStreamExt;
use sea_orm::{ConnectionTrait, DatabaseConnection, QueryResult, Statement, StreamTrait, Value};
use uuid::Uuid;

use super::db::Engine;
use super::error::Result;
pub(super) use rows::{Column, Null, Rows, Ty};

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
}
