//! The service, installed and ready to be measured.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use task_inbox_testkit::http::{Client, Request};
use task_inbox_testkit::signature::Secret;
use task_inbox_testkit::{Database, Installation, Postgres, Server};
use tempfile::TempDir;

/// What most parts post to.
pub(crate) const SCHEMA: &str = "ti:bench";
/// The types of every schema here.
pub(crate) const TYPES: [&str; 3] = ["flag-content", "delete-acct", "refund"];
/// Where nobody listens: for schemas that want no webhook of what is done.
pub(crate) const NOWHERE: &str = "http://127.0.0.1:9/hook";

/// The two databases that the service runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Engine {
    Postgres,
    Sqlite,
}

impl Engine {
    pub(crate) const ALL: [Self; 2] = [Self::Postgres, Self::Sqlite];
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Postgres => "PostgreSQL",
            Self::Sqlite => "SQLite",
        })
    }
}

/// A cluster that takes as many connections as any part opens, with the defaults otherwise.
pub(crate) async fn cluster() -> Result<Postgres> {
    Postgres::start_with(&[("max_connections", "400")]).await
}

/// A new, empty database; a SQLite file lies in `directory`.
pub(crate) async fn database(engine: Engine, cluster: &Postgres, directory: &Path) -> Result<Database> {
    Ok(match engine {
        Engine::Postgres => Database::Postgres(cluster.url(&cluster.create_database().await?)),
        Engine::Sqlite => Database::Sqlite(directory.join("bench.db")),
    })
}

pub(crate) fn directory() -> Result<TempDir> {
    Ok(tempfile::Builder::new().prefix("task-inbox-bench-").tempdir()?)
}

/// An installation with schemas, and a key that may post, read and decide.
pub(crate) struct Stage {
    pub(crate) installation: Installation,
    pub(crate) key: String,
    /// Holds its files, and goes with it.
    directory: TempDir,
}

impl Stage {
    /// One with the schema [`SCHEMA`], whose webhooks of `events` go to `hook`.
    pub(crate) async fn new(engine: Engine, cluster: &Postgres, hook: &str, events: &str) -> Result<Self> {
        let directory = directory()?;
        let database = database(engine, cluster, directory.path()).await?;
        Self::on(database, directory, &[SCHEMA], hook, events).await
    }

    /// One on a database that is new.
    pub(crate) async fn on(
        database: Database,
        directory: TempDir,
        schemas: &[&str],
        hook: &str,
        events: &str,
    ) -> Result<Self> {
        let installation = Installation::new(directory.path(), database)?;
        installation.cli(&["migrate", "up"]).await?;
        let mut stage = Self { installation, key: String::new(), directory };
        for schema in schemas {
            stage.add(schema, hook, events).await?;
        }
        stage.key = stage.new_key(&["tasks:write", "tasks:read", "tasks:resolve"]).await?;
        Ok(stage)
    }

    /// Installs one more schema, with a key for its webhooks.
    pub(crate) async fn add(&self, schema: &str, hook: &str, events: &str) -> Result<()> {
        let file = self.directory.path().join("schema.yml");
        std::fs::write(&file, schema_file(schema, hook, events))?;
        self.installation.cli(&["taskschema", &file.display().to_string()]).await?;
        let made = self.installation.cli(&["webhook_key", schema]).await?;
        let secret = made["key"].as_str().and_then(Secret::parse);
        ensure!(secret.is_some(), "webhook_key gives a whsec_ secret, not {made}");
        Ok(())
    }

    /// Makes an API key.
    pub(crate) async fn new_key(&self, permissions: &[&str]) -> Result<String> {
        let mut arguments = vec!["api_key", "--name", "bench"];
        arguments.extend(permissions.iter().flat_map(|permission| ["--permission", permission]));
        let made = self.installation.cli(&arguments).await?;
        Ok(made["key"].as_str().with_context(|| format!("no key in {made}"))?.to_owned())
    }

    /// Starts a server.
    pub(crate) async fn serve(&self) -> Result<Server> {
        self.installation.serve("server").await
    }

    /// Removes its database, so that no autovacuum of it disturbs what is measured next.
    pub(crate) async fn strike(self, cluster: &Postgres) -> Result<()> {
        if let Database::Postgres(url) = self.installation.database() {
            let name = url.rsplit('/').next().unwrap_or_default();
            cluster.run("dropdb", &["--force", name]).await?;
        }
        Ok(())
    }

    /// Posts one task, so that a measurement that fails does so before it is begun.
    pub(crate) async fn try_out(&self, address: SocketAddr) -> Result<()> {
        let body = format!(r#"{{"schema_name":"{SCHEMA}","task":"{}"}}"#, TYPES[0]);
        let request = Request::json("POST", "/api/v1/tasks/", &[("api-key", &self.key)], &body);
        let answer = Client::new(address).send(&request).await?;
        ensure!(
            answer.status == 201,
            "a post was answered {}: {}",
            answer.status,
            String::from_utf8_lossy(answer.body())
        );
        Ok(())
    }
}

fn schema_file(name: &str, hook: &str, events: &str) -> String {
    let types = TYPES.map(|name| {
        format!("- name: {name}\n  pending_states: [level1, level2]\n  resolved_states: [block, allow]\n")
    });
    let types = types.concat();
    format!(
        "name: '{name}'\nsemver: '1'\ndefault_hook_url: {hook}\nhook_events: [{events}]\ntasktypes:\n{types}"
    )
}

/// Its process, while it runs.
pub(crate) fn process_of(server: &Server) -> Result<u32> {
    server.process_id().context("the server runs")
}

/// Ends a server in order.
pub(crate) async fn end(server: Server) -> Result<()> {
    let status = server.terminate(Duration::from_mins(1)).await?;
    ensure!(status.success(), "the server ended with {status}");
    Ok(())
}
