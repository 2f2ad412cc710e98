//! What can go wrong between the service and its database, sorted by what a caller can do.

use sea_orm::{DbErr, RuntimeErr, SqlxError};

/// Why a statement or a commit failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Nothing was written; the same again may succeed: a deadlock, a lock time-out, a busy file.
    #[error("the database is contended: {0}")]
    Contended(String),
    /// Nothing was written, and the same data will fail again: a constraint, an impossible value.
    #[error("the database refused the data: {0}")]
    Data(String),
    /// The database can't be reached or can't work now. What was under way may have been written.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// What was read can't have been written by this service.
    #[error("the database holds what it should not: {0}")]
    Corrupt(String),
}

/// Shorthand of this layer.
pub type Result<T> = std::result::Result<T, StoreError>;

impl StoreError {
    /// An error that was met in what a commit answered: what it wrote stands, and must not be written again.
    pub(super) fn after_commit(self) -> Self {
        Self::Unavailable(self.to_string())
    }
}

impl From<DbErr> for StoreError {
    fn from(error: DbErr) -> Self {
        let text = error.to_string();
        match error {
            DbErr::Conn(RuntimeErr::SqlxError(e))
            | DbErr::Exec(RuntimeErr::SqlxError(e))
            | DbErr::Query(RuntimeErr::SqlxError(e)) => classify(&e, text),
            DbErr::Type(_) | DbErr::Json(_) | DbErr::TryIntoErr { .. } => Self::Corrupt(text),
            _ => Self::Unavailable(text),
        }
    }
}

fn classify(error: &SqlxError, text: String) -> StoreError {
    let SqlxError::Database(error) = error else {
        return match error {
            SqlxError::ColumnDecode { .. } | SqlxError::Decode(_) | SqlxError::ColumnNotFound(_) => {
                StoreError::Corrupt(text)
            }
            _ => StoreError::Unavailable(text),
        };
    };
    let code = error.code().unwrap_or_default();
    if code.len() == 5 {
        // PostgreSQL: https://www.postgresql.org/docs/current/errcodes-appendix.html
        match &*code {
            "40001" | "40P01" | "55P03" => StoreError::Contended(text),
            c if c.starts_with("22") || c.starts_with("23") => StoreError::Data(text),
            _ => StoreError::Unavailable(text),
        }
    } else {
        // SQLite's extended codes hold the primary code in the low byte: https://sqlite.org/rescode.html
        match code.parse::<u32>().unwrap_or(0) & 0xff {
            5 | 6 => StoreError::Contended(text),
            18..=20 => StoreError::Data(text),
            _ => StoreError::Unavailable(text),
        }
    }
}
