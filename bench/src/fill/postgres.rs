//! Filling PostgreSQL, by COPY.

use anyhow::Result;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Executor, PgConnection};

use super::Installed;
use super::content::{ACTOR, ACTOR_JSON, Content, task_id};

/// So many bytes go at once.
const CHUNK: usize = 1 << 20;
/// In COPY's text format a backslash is written twice.
const DIGEST: &str = r"\\x0101010101010101010101010101010101010101010101010101010101010101";

pub(super) async fn fill(url: &str, content: &Content, installed: &Installed) -> Result<()> {
    let mut connection = url.parse::<PgConnectOptions>()?.connect().await?;
    copy(
        &mut connection,
        "COPY tasks (id, created_at, updated_at, ttype_id, schema_name, ttype, semver, state, resolved, phase,
            user_id, meta, external_id, version, decided_by, decided_at) FROM STDIN",
        (0..content.tasks).map(|number| task(content, installed, number)),
    )
    .await?;
    copy(
        &mut connection,
        "COPY external_ids (schema_name, external_id, task_id, content_hash) FROM STDIN",
        (0..content.tasks).filter_map(|number| named(content, number)),
    )
    .await?;
    copy(
        &mut connection,
        "COPY events (seq, id, kind, created_at, actor, schema_name, ttype, task_id, version, body, salt,
            digest) FROM STDIN",
        (0..content.events()).map(|place| event(content, installed, place)),
    )
    .await?;
    // As autovacuum would in time.
    connection.execute("VACUUM (ANALYZE) tasks, external_ids, events").await?;
    connection.execute("CHECKPOINT").await?;
    Ok(())
}

async fn copy(
    connection: &mut PgConnection,
    statement: &str,
    lines: impl Iterator<Item = String>,
) -> Result<()> {
    let mut copy = connection.copy_in_raw(statement).await?;
    let mut chunk = String::with_capacity(2 * CHUNK);
    for line in lines {
        chunk.push_str(&line);
        if chunk.len() > CHUNK {
            copy.send(chunk.as_bytes()).await?;
            chunk.clear();
        }
    }
    copy.send(chunk.as_bytes()).await?;
    copy.finish().await?;
    Ok(())
}

fn null(text: Option<String>) -> String {
    text.unwrap_or_else(|| r"\N".to_owned())
}

fn task(content: &Content, installed: &Installed, number: u64) -> String {
    let task = content.task(number);
    let decided = task.version > 1;
    let fields = [
        task_id(number),
        task.created().to_string(),
        task.updated().to_string(),
        installed.ttype(task).to_owned(),
        task.schema.to_owned(),
        task.ttype().to_owned(),
        "1".to_owned(),
        null(task.state.map(str::to_owned)),
        task.is_resolved().to_string(),
        task.phase().to_owned(),
        null(task.assignee()),
        task.meta(),
        null(task.external_id()),
        task.version.to_string(),
        null(decided.then(|| ACTOR_JSON.to_owned())),
        null(decided.then(|| task.updated().to_string())),
    ];
    fields.join("\t") + "\n"
}

fn named(content: &Content, number: u64) -> Option<String> {
    let task = content.task(number);
    Some(format!("{}\t{}\t{}\t{DIGEST}\n", task.schema, task.external_id()?, task_id(number)))
}

fn event(content: &Content, installed: &Installed, place: u64) -> String {
    let event = content.event(place);
    let task = event.task;
    format!(
        "{}\t{}\t{}\t{}\t{ACTOR}\t{}\t{}\t{}\t{}\t{}\t{DIGEST}\t{DIGEST}\n",
        installed.seq + place + 1,
        event.id,
        event.kind(),
        task.updated(),
        task.schema,
        task.ttype(),
        task_id(task.number),
        task.version,
        event.body(installed.ttype(task)),
    )
}
