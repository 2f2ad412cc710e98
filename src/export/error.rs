//! Why events are not exported.

use crate::store::StoreError;

/// What keeps events from being exported, for the operator.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExportError {
    /// The NATS server, or the way to it.
    #[error("{what}: {error}")]
    Nats {
        /// What was to be done.
        what: &'static str,
        /// What came of it.
        error: String,
    },
    /// The connection is gone.
    #[error("the connection to NATS was lost")]
    Lost,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What the stream holds last is not in the log.
    #[error(
        "the stream {stream} ends with event {seq} of another log: of another inbox, or of this one before it was \
         restored from a backup; delete the stream to export this log anew, or let TASK_INBOX_EXPORT_URL name an \
         account of its own"
    )]
    AnotherLog {
        /// The stream.
        stream: &'static str,
        /// The event's number there.
        seq: i64,
    },
    /// The event is larger than the server takes.
    #[error("event {seq} is larger than the NATS server takes: raise max_payload in its configuration")]
    TooLarge {
        /// The event's number.
        seq: i64,
    },
    /// An answer came from a stream of another name.
    #[error("the stream {got} takes what is to go to {stream}: take task-inbox.> away from its subjects")]
    AnotherStream {
        /// The stream that was meant.
        stream: &'static str,
        /// The one that took it.
        got: String,
    },
}

impl ExportError {
    /// A failure of the NATS server, or on the way to it.
    pub(super) fn nats(what: &'static str) -> impl Fn(&dyn std::error::Error) -> Self {
        move |error| Self::Nats { what, error: error.to_string() }
    }

    /// Whether somebody has to do something.
    pub(super) const fn needs_somebody(&self) -> bool {
        matches!(self, Self::AnotherLog { .. } | Self::TooLarge { .. } | Self::AnotherStream { .. })
    }
}
