//! What is in maintenance, as part of the snapshot: what a commit was prepared under it was also
//! prepared under this.

use std::collections::HashMap;
use std::time::Duration;

use sea_orm::{ConnectionTrait, QueryResult};
use task_inbox_domain::Timestamp;

use super::Registry;
use crate::store::db::Engine;
use crate::store::error::Result;
use crate::store::row::Row;
use crate::store::sql::Sql;

/// Maintenance of the whole inbox or of one schema, while it goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Maintenance {
    /// The schema; `None`: the whole inbox.
    pub schema: Option<String>,
    /// What whoever is refused is told.
    pub message: String,
    /// When it is worth another try.
    pub retry_after: Duration,
    /// Whether deliveries wait, too.
    pub hold_deliveries: bool,
    /// When it began.
    pub since: Timestamp,
    /// Who said so last, by pseudonym.
    pub by: String,
}

/// Whose deliveries wait because of maintenance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    /// Those of these schemas' events, sorted; often of none.
    Schemas(Vec<String>),
    /// All.
    Everything,
}

impl Default for Held {
    fn default() -> Self {
        Self::Schemas(Vec::new())
    }
}

/// All maintenance at one moment, by scope.
#[derive(Debug, Default)]
pub(super) struct Maintained {
    by_scope: HashMap<String, Maintenance>,
    held: Held,
}

impl Maintained {
    pub(super) async fn load(engine: Engine, db: &impl ConnectionTrait) -> Result<Self> {
        let rows = Sql::new(engine, "SELECT * FROM maintenance").all(db).await?;
        let all = rows.iter().map(from_row).collect::<Result<Vec<_>>>()?;
        let holding = || all.iter().filter(|m| m.hold_deliveries);
        let held = if holding().any(|m| m.schema.is_none()) {
            Held::Everything
        } else {
            let mut schemas: Vec<_> = holding().filter_map(|m| m.schema.clone()).collect();
            schemas.sort_unstable();
            Held::Schemas(schemas)
        };
        let by_scope = all.into_iter().map(|m| (m.schema.clone().unwrap_or_default(), m)).collect();
        Ok(Self { by_scope, held })
    }
}

impl Registry {
    /// The maintenance that keeps from writing to a schema, or (`None`) to the inbox as a whole. That of
    /// the whole inbox comes first.
    pub fn maintenance(&self, schema: Option<&str>) -> Option<&Maintenance> {
        let of = |scope: &str| self.maintained.by_scope.get(scope);
        of("").or_else(|| schema.and_then(of))
    }

    /// All maintenance: that of the whole inbox first, then by schema.
    pub fn all_maintenance(&self) -> Vec<&Maintenance> {
        let mut all: Vec<_> = self.maintained.by_scope.values().collect();
        all.sort_unstable_by_key(|m| &m.schema);
        all
    }

    /// Whose deliveries wait.
    pub fn held_schemas(&self) -> &Held {
        &self.maintained.held
    }

    /// Whether deliveries of a schema's events wait; those of events that concern no schema have the empty
    /// name.
    pub fn holds_deliveries(&self, schema: &str) -> bool {
        match &self.maintained.held {
            Held::Everything => true,
            Held::Schemas(names) => names.iter().any(|name| name == schema),
        }
    }
}

/// Maintenance out of its row.
pub(in crate::store) fn from_row(row: &QueryResult) -> Result<Maintenance> {
    let scope: String = row.get("scope")?;
    let retry_after: i64 = row.get("retry_after_s")?;
    Ok(Maintenance {
        schema: Some(scope).filter(|name| !name.is_empty()),
        message: row.get("message")?,
        retry_after: Duration::from_secs(retry_after.max(1) as u64),
        hold_deliveries: row.get("hold_deliveries")?,
        since: Timestamp::from_micros(row.get("since")?),
        by: row.get("by")?,
    })
}
