//! Taking values out of rows by name.

use sea_orm::{QueryResult, TryGetable};

use super::error::Result;

/// Reads columns of a row by name.
pub(super) trait Row {
    fn get<T: TryGetable>(&self, column: &str) -> Result<T>;
}

impl Row for QueryResult {
    fn get<T: TryGetable>(&self, column: &str) -> Result<T> {
        Ok(self.try_get("", column)?)
    }
}
