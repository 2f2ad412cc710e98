//! A database full of tasks and their events, written straight into the tables that the binary
//! migrated: a million posts and two million decisions would take too long to wait for.
//!
//! The rows are what the service would have written, with contiguous numbers and a head that fits
//! them; only the chain of hashes isn't one, which no read looks at.

mod content;
mod postgres;
mod sqlite;

use std::collections::HashMap;

use anyhow::{Context, Result};
use task_inbox_testkit::Database;

pub(crate) use content::{ASSIGNEES, Content, SCHEMAS, assignee, external_id, mix, task_id};

/// What the rows refer to and the database already holds.
pub(crate) struct Installed {
    /// Ids of task types, by schema and name.
    types: HashMap<(String, String), String>,
    /// The last event's number.
    seq: u64,
}

impl Installed {
    /// The id of a task's type.
    fn ttype(&self, task: content::Task) -> &str {
        let name = (task.schema.to_owned(), task.ttype().to_owned());
        &self.types[&name]
    }

    async fn read(database: &Database) -> Result<Self> {
        let hex = match database {
            Database::Postgres(_) => "replace(id::text, '-', '')",
            Database::Sqlite(_) => "lower(hex(id))",
        };
        let rows = database.query(&format!("SELECT {hex} AS id, schema_name, name FROM task_types")).await?;
        let text = |row: &serde_json::Value, column: &str| -> Result<String> {
            Ok(row[column].as_str().with_context(|| format!("{column} is a text"))?.to_owned())
        };
        let types = rows
            .iter()
            .map(|row| {
                let id = content::hyphenate(&text(row, "id")?);
                Ok(((text(row, "schema_name")?, text(row, "name")?), id))
            })
            .collect::<Result<_>>()?;
        let head = database.query("SELECT seq FROM log_head").await?;
        let seq = head.first().and_then(|row| row["seq"].as_u64()).context("there is a head")?;
        Ok(Self { types, seq })
    }
}

/// Writes tasks and events; returns the last event's number.
pub(crate) async fn fill(database: &Database, content: &Content) -> Result<u64> {
    let installed = Installed::read(database).await?;
    match database {
        Database::Postgres(url) => postgres::fill(url, content, &installed).await?,
        Database::Sqlite(file) => sqlite::fill(file, content, &installed).await?,
    }
    let seq = installed.seq + content.events();
    database.execute(&format!("UPDATE log_head SET seq = {seq}")).await?;
    Ok(seq)
}

#[cfg(test)]
mod tests {
    use task_inbox_testkit::http::{Client, Request};

    use super::*;
    use crate::stage::{self, Engine, NOWHERE, Stage};

    #[tokio::test]
    async fn the_service_reads_what_was_filled_in() {
        let cluster = stage::cluster().await.unwrap();
        for engine in Engine::ALL {
            let directory = stage::directory().unwrap();
            let database = stage::database(engine, &cluster, directory.path()).await.unwrap();
            let schemas = content::SCHEMAS;
            let stage = Stage::on(database.clone(), directory, &schemas, NOWHERE, "task.state_changed")
                .await
                .unwrap();
            let content = Content::decided(500);
            let last = fill(&database, &content).await.unwrap();
            assert_eq!(last, 1500 + schemas.len() as u64);
            let counted = database.query("SELECT count(*) AS n, max(seq) AS last FROM events").await.unwrap();
            assert_eq!(counted, [serde_json::json!({"n": last, "last": last})], "{engine}");

            let server = stage.serve().await.unwrap();
            let mut client = Client::new(server.address());
            let mut get = async |path: String| {
                let request = Request::new("GET", &path, &[("api-key", &stage.key)]);
                let answer = client.send(&request).await.unwrap();
                assert_eq!(answer.status, 200, "{path}: {}", String::from_utf8_lossy(answer.body()));
                answer.json()
            };
            let id = task_id(7);
            assert_eq!(get(format!("/api/v1/tasks/{id}")).await["task"]["id"], id.as_str());
            let history = get(format!("/api/v1/tasks/{id}/history")).await;
            assert_eq!(history["history"].as_array().unwrap().len(), 3, "{engine}: {history}");
            let open = get("/api/v1/tasks?resolved=un&limit=500".to_owned()).await;
            assert_eq!(open["tasks"].as_array().unwrap().len(), 5, "{engine}: one of a hundred is open");
            let named = get(format!("/api/v1/tasks?external_id={}", external_id(10))).await;
            assert_eq!(named["tasks"].as_array().unwrap().len(), 1, "{engine}");
            let mine = get(format!("/api/v1/tasks?assignee={}&limit=500", assignee(0))).await;
            assert!(!mine["tasks"].as_array().unwrap().is_empty(), "{engine}");
            // The service goes on where the filling ended.
            stage.try_out(server.address()).await.unwrap();
            let added = database.query("SELECT max(seq) AS last FROM events").await.unwrap();
            assert_eq!(added, [serde_json::json!({"last": last + 1})], "{engine}");
            stage::end(server).await.unwrap();
        }
    }
}
