//! The subject of an event: `task-inbox.{schema}.{type}.{event}`.
//!
//! What a subject can't hold in a part of it (dots, spaces, `*`, `>`) is percent-encoded (RFC 3986, section 2.1), as is
//! everything but ASCII letters, digits, `-`, `_` and `:`. So decoding gives back what was there, and no two names
//! have the same subject.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use task_inbox_domain::Event;

/// All subjects.
pub(super) const ALL: &str = "task-inbox.>";

/// The part of what an event has not: a schema, or a type. No name begins so.
const NONE: &str = "-";

const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b':');

/// The subject of an event.
pub(super) fn of(event: &Event) -> String {
    let schema = part(Some(&event.schema));
    let (ttype, kind) = (part(event.ttype.as_deref()), part(Some(event.kind.as_str())));
    format!("task-inbox.{schema}.{ttype}.{kind}")
}

fn part(name: Option<&str>) -> String {
    match name {
        None | Some("") => NONE.to_owned(),
        Some(name) => utf8_percent_encode(name, ENCODED).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use percent_encoding::percent_decode_str;
    use task_inbox_domain::{EventType, Timestamp};
    use uuid::Uuid;

    fn event(schema: &str, ttype: Option<&str>, kind: EventType) -> Event {
        Event {
            id: Uuid::nil(),
            kind,
            created: Timestamp::default(),
            actor: "cli".to_owned(),
            schema: schema.to_owned(),
            ttype: ttype.map(str::to_owned),
            task_id: None,
            version: None,
            body: "{}".to_owned(),
        }
    }

    #[test]
    fn names_schema_type_and_event() {
        let of_task = event("ti:sample", Some("flag-content"), EventType::TaskStateChanged);
        assert_eq!(of(&of_task), "task-inbox.ti:sample.flag-content.task%2Estate_changed");
        let of_schema = event("ti:sample", None, EventType::SchemaRemoved);
        assert_eq!(of(&of_schema), "task-inbox.ti:sample.-.schema%2Eremoved");
        let of_none = event("", None, EventType::EndpointPaused);
        assert_eq!(of(&of_none), "task-inbox.-.-.endpoint%2Epaused");
    }

    #[test]
    fn four_parts_that_can_be_read_back_whatever_the_names() {
        for name in ["a.b", "*", ">", "a b", "a\tb", "%2E", "é", "-", "a..b", "$SYS"] {
            let subject = of(&event(name, Some(name), EventType::TaskCreated));
            let parts: Vec<_> = subject.split('.').collect();
            assert_eq!(parts.len(), 4, "{subject}");
            assert!(subject.is_ascii() && !subject.contains(['*', '>', ' ', '\t']), "{subject}");
            for part in &parts[1..3] {
                assert_eq!(percent_decode_str(part).decode_utf8().expect("UTF-8"), name);
            }
        }
    }
}
