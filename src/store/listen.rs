//! PostgreSQL's LISTEN and NOTIFY, for the bus.

use sea_orm::sqlx::postgres::PgListener;

use super::db::{Db, Engine};
use super::error::{Result, StoreError};
use super::sql::Sql;

const CHANNEL: &str = "task_inbox";

/// A connection that hears what other processes say.
pub struct Channel(PgListener);

impl Channel {
    /// Connects and listens. PostgreSQL only.
    pub async fn listen(db: &Db) -> Result<Self> {
        let broken = |e: sea_orm::SqlxError| StoreError::Unavailable(e.to_string());
        let mut listener = PgListener::connect(db.url()).await.map_err(broken)?;
        listener.listen(CHANNEL).await.map_err(broken)?;
        Ok(Self(listener))
    }

    /// Waits for the next message.
    pub async fn next(&mut self) -> Result<String> {
        // `try_recv` tells of a lost connection, where `recv` would connect again in silence.
        match self.0.try_recv().await {
            Ok(Some(message)) => Ok(message.payload().to_owned()),
            Ok(None) => Err(StoreError::Unavailable("the connection was closed".to_owned())),
            Err(e) => Err(StoreError::Unavailable(e.to_string())),
        }
    }
}

/// Says something to every process that listens. PostgreSQL only.
///
/// What is said is a transaction, which need not be durable: a message may be lost, and waiting for the
/// disk would only keep those that wait for it with more reason.
pub async fn notify(db: &Db, message: &str) -> Result<()> {
    debug_assert_eq!(db.engine(), Engine::Postgres);
    let sql = Sql::new(
        Engine::Postgres,
        "SELECT set_config('synchronous_commit', 'off', true), pg_notify('task_inbox', ",
    );
    let sql = sql.bind(message).push(")");
    sql.execute(db.write()).await?;
    Ok(())
}
