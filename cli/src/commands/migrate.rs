//! `migrate up`, `migrate down`, `migrate status`.

use anyhow::bail;
use serde_json::json;
use task_inbox::startup;
use task_inbox::store::Db;

use crate::output::{Answer, Cell, Table};
use crate::target::Where;

/// What to do with the database's schema.
#[derive(clap::Subcommand)]
pub(crate) enum Migrate {
    /// Apply every pending migration
    Up,
    /// Take back the latest migrations; destroys what is in their tables
    Down {
        /// How many
        #[arg(default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
        steps: u32,
        /// Do it: without this it only says what would go
        #[arg(long)]
        yes: bool,
    },
    /// List migrations
    Status,
}

pub(crate) async fn run(args: &Migrate, place: &Where) -> anyhow::Result<Answer> {
    place.must_be_local("migrate")?;
    let config = place.quiet_config()?;
    let db = startup::connect(&config.database_url).await?;
    let done = match args {
        Migrate::Up => up(&db).await,
        Migrate::Down { steps, yes } => down(&db, *steps, *yes).await,
        Migrate::Status => status(&db).await,
    };
    db.close().await?;
    done
}

async fn up(db: &Db) -> anyhow::Result<Answer> {
    let applied = db.migrate_up().await?;
    let text = match applied.len() {
        0 => "the database is up to date".to_owned(),
        _ => format!("applied {}", applied.join(", ")),
    };
    Ok(Answer::new(json!({"applied": applied}), text))
}

async fn down(db: &Db, steps: u32, yes: bool) -> anyhow::Result<Answer> {
    let before = db.applied_migrations().await?;
    if !yes && !before.is_empty() {
        bail!("taking migrations back destroys what is in their tables; repeat with --yes if that is meant");
    }
    // On SQLite a server can be seen; on PostgreSQL its replicas may be anywhere.
    let _alone = startup::lock(db)?;
    db.migrate_down(steps).await?;
    let after = db.applied_migrations().await?;
    let reverted: Vec<_> = before.into_iter().filter(|name| !after.contains(name)).collect();
    let text = match reverted.len() {
        0 => "there is nothing to take back".to_owned(),
        _ => format!("took back {}", reverted.join(", ")),
    };
    Ok(Answer::new(json!({"reverted": reverted}), text))
}

async fn status(db: &Db) -> anyhow::Result<Answer> {
    let (applied, pending) = (db.applied_migrations().await?, db.pending_migrations().await?);
    let row = |status: &str, name: &String| vec![Cell::status(status), name.as_str().into()];
    let table = Table::new(&["status", "migration"])
        .none("there are no migrations")
        .rows(applied.iter().map(|n| row("applied", n)))
        .rows(pending.iter().map(|n| row("pending", n)));
    Ok(Answer::painted(json!({"applied": applied, "pending": pending}), table.to_text()))
}
