//! Registered endpoints that ask for a schema by its name, when the name is freed: they asked for that schema, not
//! for whatever is called so next.

use sea_orm::ConnectionTrait;
use uuid::Uuid;

use crate::store::db::{Db, Engine};
use crate::store::endpoints;
use crate::store::error::Result;
use crate::store::registry::{EndpointStatus, Origin};
use crate::store::row::Row;
use crate::store::sql::Sql;

/// A registered endpoint, and the schemas that it asks for beside the one in question.
struct Hearer {
    id: Uuid,
    others: Vec<String>,
}

/// Takes away the endpoints that ask for this schema and for no other, with what waits for them: one that asks for
/// none any more would hear of all.
pub(super) async fn remove(db: &Db, schema: &str) -> Result<()> {
    let found = naming(db.engine(), db.read(), schema, "").await?;
    for hearer in found.iter().filter(|hearer| hearer.others.is_empty()) {
        endpoints::remove(db, hearer.id).await?;
    }
    Ok(())
}

/// Takes the name out of what endpoints ask for. Such as are left with none were registered meanwhile: they are
/// closed, and swept away.
pub(super) async fn forget(engine: Engine, db: &impl ConnectionTrait, schema: &str) -> Result<()> {
    for Hearer { id, others } in naming(engine, db, schema, " ORDER BY id {locked}").await? {
        let sql = Sql::new(engine, "UPDATE endpoints SET updated_at = {now}, ");
        let sql = if others.is_empty() {
            sql.push("status = ").bind(EndpointStatus::Removed.as_str())
        } else {
            sql.push("schemas = ").bind(serde_json::json!(others).to_string())
        };
        sql.push(" WHERE id = ").bind(id).execute(db).await?;
    }
    Ok(())
}

/// What a list that holds the name is like. It is JSON as this service wrote it, and no name needs escaping there;
/// `_` is any character, so that some more may be found.
pub(super) fn pattern(schema: &str) -> String {
    format!("%\"{schema}\"%")
}

/// The endpoints whose list holds the name.
async fn naming(engine: Engine, db: &impl ConnectionTrait, schema: &str, order: &str) -> Result<Vec<Hearer>> {
    let rows = Sql::new(engine, "SELECT id, schemas FROM endpoints WHERE origin = ")
        .bind(Origin::Registered.as_str())
        .push(" AND schemas LIKE ")
        .bind(pattern(schema))
        .push(order)
        .all(db)
        .await?;
    let mut found = Vec::new();
    for row in rows {
        let names: Vec<String> = serde_json::from_str(&row.get::<String>("schemas")?).unwrap_or_default();
        if names.iter().any(|name| name == schema) {
            let others = names.into_iter().filter(|name| name != schema).collect();
            found.push(Hearer { id: row.get("id")?, others });
        }
    }
    Ok(found)
}
