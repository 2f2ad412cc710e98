//! How an engine means to run a statement, looked at in builds with debug assertions: one that gets slow as a
//! table grows is a fault that no small database shows. It ends the test that ran it.

mod postgres;
mod sqlite;

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use sea_orm::{ConnectionTrait, Value};

use super::db::Engine;
use super::statistics::LARGE;

static SEEN: Mutex<Option<HashSet<String>>> = Mutex::new(None);

/// Looks at each text once.
///
/// # Panics
///
/// If it reads a whole table, or one again and again.
pub(super) async fn check(engine: Engine, text: &str, values: &[Value], db: &impl ConnectionTrait) {
    if !LARGE.iter().any(|table| text.contains(table)) {
        return;
    }
    let is_new = {
        let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get_or_insert_default().insert(text.to_owned())
    };
    if is_new {
        match engine {
            Engine::Sqlite => sqlite::check(text, values, db).await,
            Engine::Postgres => postgres::check(text, values, db).await,
        }
    }
}
