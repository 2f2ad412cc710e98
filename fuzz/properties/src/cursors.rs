//! Cursors: opaque to clients, exact to us.

use task_inbox_domain::cursor::{DeliveryCursor, LogCursor, ReplayCursor, TaskCursor};
use uuid::Uuid;

/// A text is one kind of cursor in one way, or none; and what is encoded is read back.
pub fn cursors(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        let read = [
            LogCursor::parse(text).map(LogCursor::encode),
            TaskCursor::parse(text).map(TaskCursor::encode),
            DeliveryCursor::parse(text).map(DeliveryCursor::encode),
            ReplayCursor::parse(text).map(ReplayCursor::encode),
        ];
        let kinds: Vec<_> = read.iter().flatten().collect();
        assert!(kinds.len() <= 1, "{text:?} is a cursor of several kinds");
        assert!(kinds.iter().all(|encoded| *encoded == text), "{text:?} is written otherwise");
    }
    if let Some(bytes) = data.first_chunk() {
        let seq = i64::from_be_bytes(*bytes);
        let read = LogCursor::parse(&LogCursor(seq).encode());
        assert_eq!(read.ok(), Some(LogCursor(seq)).filter(|_| seq >= 0), "{seq}");
    }
    if let Some(bytes) = data.first_chunk() {
        let id = Uuid::from_bytes(*bytes);
        assert_eq!(TaskCursor::parse(&TaskCursor(id).encode()), Ok(TaskCursor(id)));
        assert_eq!(DeliveryCursor::parse(&DeliveryCursor(id).encode()), Ok(DeliveryCursor(id)));
        assert_eq!(ReplayCursor::parse(&ReplayCursor(id).encode()), Ok(ReplayCursor(id)));
    }
}
