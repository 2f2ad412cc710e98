//! Filling SQLite, by statements of many rows.

use std::path::Path;

use anyhow::{Context, Result};
use sqlx::query_builder::Separated;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Executor, QueryBuilder, Sqlite, SqliteConnection};

use super::Installed;
use super::content::{ACTOR, ACTOR_JSON, Content, task_id};

/// Rows of one statement.
const ROWS: u64 = 100;
const DIGEST: [u8; 32] = [1; 32];

pub(super) async fn fill(file: &Path, content: &Content, installed: &Installed) -> Result<()> {
    // Nothing that is lost with the machine could not be made again.
    let options = SqliteConnectOptions::new()
        .filename(file)
        .journal_mode(SqliteJournalMode::Off)
        .synchronous(SqliteSynchronous::Off);
    let mut connection = options.connect().await?;
    connection.execute("BEGIN").await?;
    insert(
        &mut connection,
        "INSERT INTO tasks (id, created_at, updated_at, ttype_id, schema_name, ttype, semver, state, resolved,
            phase, user_id, meta, external_id, version, decided_by, decided_at) ",
        content.tasks,
        |row, number| task(row, content, installed, number),
    )
    .await?;
    insert(
        &mut connection,
        "INSERT INTO external_ids (schema_name, external_id, task_id, content_hash) ",
        content.tasks.div_ceil(super::content::NAMED),
        |row, number| named(row, content, number * super::content::NAMED),
    )
    .await?;
    insert(
        &mut connection,
        "INSERT INTO events (seq, id, kind, created_at, actor, schema_name, ttype, task_id, version, body, salt,
            digest) ",
        content.events(),
        |row, place| event(row, content, installed, place),
    )
    .await?;
    connection.execute("COMMIT").await?;
    connection.close().await?;
    Ok(())
}

type Row<'a, 'b> = Separated<'a, Sqlite, &'b str>;

async fn insert(
    connection: &mut SqliteConnection,
    statement: &str,
    count: u64,
    row: impl Fn(&mut Row<'_, '_>, u64) -> Result<()>,
) -> Result<()> {
    for first in (0..count).step_by(ROWS as usize) {
        let mut failed = Ok(());
        let mut query = QueryBuilder::<Sqlite>::new(statement);
        query.push_values(first..count.min(first + ROWS), |mut columns, number| {
            if let Err(error) = row(&mut columns, number) {
                failed = Err(error);
            }
        });
        failed?;
        query.build().execute(&mut *connection).await?;
    }
    Ok(())
}

/// A UUID's bytes.
fn bytes(uuid: &str) -> Result<Vec<u8>> {
    let digits = uuid.replace('-', "");
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(digits.get(at..at + 2).unwrap_or_default(), 16))
        .collect::<Result<_, _>>()
        .with_context(|| format!("{uuid:?} is no UUID"))
}

fn task(row: &mut Row<'_, '_>, content: &Content, installed: &Installed, number: u64) -> Result<()> {
    let task = content.task(number);
    let decided = task.version > 1;
    row.push_bind(bytes(&task_id(number))?)
        .push_bind(task.created() as i64)
        .push_bind(task.updated() as i64)
        .push_bind(bytes(installed.ttype(task))?)
        .push_bind(task.schema)
        .push_bind(task.ttype())
        .push_bind("1")
        .push_bind(task.state)
        .push_bind(task.is_resolved())
        .push_bind(task.phase())
        .push_bind(task.assignee().map(|user| bytes(&user)).transpose()?)
        .push_bind(task.meta())
        .push_bind(task.external_id())
        .push_bind(task.version as i64)
        .push_bind(decided.then_some(ACTOR_JSON))
        .push_bind(decided.then(|| task.updated() as i64));
    Ok(())
}

fn named(row: &mut Row<'_, '_>, content: &Content, number: u64) -> Result<()> {
    let task = content.task(number);
    row.push_bind(task.schema)
        .push_bind(task.external_id())
        .push_bind(bytes(&task_id(number))?)
        .push_bind(DIGEST.to_vec());
    Ok(())
}

fn event(row: &mut Row<'_, '_>, content: &Content, installed: &Installed, place: u64) -> Result<()> {
    let event = content.event(place);
    let task = event.task;
    row.push_bind((installed.seq + place + 1) as i64)
        .push_bind(bytes(&event.id)?)
        .push_bind(event.kind())
        .push_bind(task.updated() as i64)
        .push_bind(ACTOR)
        .push_bind(task.schema)
        .push_bind(task.ttype())
        .push_bind(bytes(&task_id(task.number))?)
        .push_bind(task.version as i64)
        .push_bind(event.body(installed.ttype(task)))
        .push_bind(DIGEST.to_vec())
        .push_bind(DIGEST.to_vec());
    Ok(())
}
