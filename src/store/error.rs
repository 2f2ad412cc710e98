//! What can go wrong between the service and its database, sorted by what a caller can do.

use sea_orm::{DbErr, RuntimeErr, SqlxError};

/// Why a statement or a commit failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Nothing was written; the same again may succeed: a deadlock, a lock time-out, a statement that was
    /// cut off, a busy file.
    #[error("the database is contended: {0}")]
    Contended(String),
    /// Nothing was written, and the same data will fail again: a constraint, an impossible value.
    #[error("the database refused the data: {0}")]
    Data(String),
    /// Nothing was written, because there is no room for it.
    #[error("the database's disk is full: {0}")]
    Full(String),
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
            "40001" | "40P01" | "55P03" | "57014" => StoreError::Contended(text),
            "53100" => StoreError::Full(text),
            c if c.starts_with("22") || c.starts_with("23") => StoreError::Data(text),
            _ => StoreError::Unavailable(text),
        }
    } else {
        // SQLite's extended codes hold the primary code in the low byte: https://sqlite.org/rescode.html
        match code.parse::<u32>().unwrap_or(0) & 0xff {
            5 | 6 => StoreError::Contended(text),
            13 => StoreError::Full(text),
            18..=20 => StoreError::Data(text),
            _ => StoreError::Unavailable(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::error::Error;

    use sea_orm::sqlx::error::{DatabaseError, ErrorKind};

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("code {0}")]
    struct Coded(&'static str);

    impl DatabaseError for Coded {
        fn message(&self) -> &'static str {
            "refused"
        }

        fn code(&self) -> Option<Cow<'_, str>> {
            Some(self.0.into())
        }

        fn as_error(&self) -> &(dyn Error + Send + Sync + 'static) {
            self
        }

        fn as_error_mut(&mut self) -> &mut (dyn Error + Send + Sync + 'static) {
            self
        }

        fn into_error(self: Box<Self>) -> Box<dyn Error + Send + Sync + 'static> {
            self
        }

        fn kind(&self) -> ErrorKind {
            ErrorKind::Other
        }
    }

    #[test]
    fn what_a_database_says_is_sorted_by_what_can_be_done() {
        let sorted = |code| {
            let error = SqlxError::Database(Box::new(Coded(code)));
            StoreError::from(DbErr::Exec(RuntimeErr::SqlxError(error.into())))
        };
        for code in ["40001", "40P01", "55P03", "57014", "5", "6", "517"] {
            assert!(matches!(sorted(code), StoreError::Contended(_)), "{code}");
        }
        for code in ["53100", "13"] {
            assert!(matches!(sorted(code), StoreError::Full(_)), "{code}");
        }
        for code in ["22021", "23505", "18", "19", "20", "2067"] {
            assert!(matches!(sorted(code), StoreError::Data(_)), "{code}");
        }
        for code in ["08006", "57P01", "53300", "XX000", "10", "11", "14", "522"] {
            assert!(matches!(sorted(code), StoreError::Unavailable(_)), "{code}");
        }
    }
}
