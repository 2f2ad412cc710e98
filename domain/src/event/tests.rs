//! What a webhook's receiver gets, byte by byte (wire.md section 3).

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::testing::{actors, documents, moments, tasks, uuids};

const HEAD: fn() -> HookAuth = || HookAuth::Head { header: "ti-key".to_owned() };

fn read(text: &str) -> Value {
    serde_json::from_str(text).expect(text)
}

/// Keys in the order of the text.
fn keys(text: &str) -> Vec<String> {
    struct Keys(Vec<String>);
    impl<'de> serde::Deserialize<'de> for Keys {
        fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
            struct Visitor;
            impl<'de> serde::de::Visitor<'de> for Visitor {
                type Value = Keys;
                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("an object")
                }
                fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Keys, A::Error> {
                    let mut keys = Vec::new();
                    while let Some((key, _)) = map.next_entry::<String, serde::de::IgnoredAny>()? {
                        keys.push(key);
                    }
                    Ok(Keys(keys))
                }
            }
            d.deserialize_map(Visitor)
        }
    }
    serde_json::from_str::<Keys>(text).expect(text).0
}

/// An event of a transition, with the task after it.
fn transitions() -> impl Strategy<Value = (Event, Task, Actor)> {
    (uuids(), tasks(), tasks(), actors(), prop::option::of("\\PC{0,20}")).prop_map(
        |(id, before, after, actor, reason)| {
            let said = Said { reason, ..Said::default() };
            (state_changed(id, &before, &after, &actor, said), after, actor)
        },
    )
}

#[test]
fn wire_names_come_back() {
    for kind in EventType::ALL {
        assert_eq!(EventType::parse(kind.as_str()), Some(kind));
        assert_eq!(kind.to_string(), kind.as_str());
    }
    assert_eq!(EventType::parse("task.createD"), None);
}

proptest! {
    /// Whoever has an event from the feed can make the same body of it.
    #[test]
    fn the_originals_body_comes_out_of_the_feeds_data((event, ..) in transitions(), seq in 1_i64..) {
        let sent = event.webhook_body(seq, &HEAD(), HookBody::Full);
        prop_assert_eq!(head_body(&event.data(seq)), sent);
    }
}

#[test]
fn a_webhook_is_this_text() {
    let mut task = Task {
        id: Uuid::from_u128(1),
        created: Timestamp::from_micros(0),
        updated: Timestamp::from_micros(1),
        ttype_id: Uuid::from_u128(2),
        schema: "ti:sample".to_owned(),
        semver: "1".to_owned(),
        state: None,
        resolved: false,
        phase: crate::Phase::Open,
        user_id: None,
        meta: Some(crate::testing::document(r#"{"z":1.50, "a":"é"}"#)),
        output: None,
        external_id: None,
        priority: None,
        due_at: None,
        callback_url: None,
        merge_key: None,
        expires_at: None,
        supersedes: None,
        superseded_by: None,
        version: 1,
        ttype: "flag-content".to_owned(),
        decided_by: None,
        decided_at: None,
    };
    let actor = Actor::key(Uuid::from_u128(3), "app");
    let task_json = r#"{"id":"00000000-0000-0000-0000-000000000001","created":"1970-01-01T00:00:00.000000Z","updated":"1970-01-01T00:00:00.000001Z","ttype_id":"00000000-0000-0000-0000-000000000002","schema":"ti:sample","semver":"1","state":null,"resolved":false,"phase":"open","user_id":null,"meta":{"z":1.50, "a":"é"},"output":null,"external_id":null,"priority":null,"due_at":null,"callback_url":null,"merge_key":null,"version":1}"#;
    let actor_json = r#"{"kind":"key","id":"00000000-0000-0000-0000-000000000003","name":"app"}"#;
    let created = task_created(Uuid::from_u128(4), &task, &actor);
    assert_eq!(
        created.webhook_body(5, &HookAuth::Hmac, HookBody::Full),
        format!(
            r#"{{"type":"task.created","timestamp":"1970-01-01T00:00:00.000001Z","data":{{"event_id":"00000000-0000-0000-0000-000000000004","seq":5,"cursor":"{}","task":{task_json},"ttype":"flag-content","previous_state":null,"actor":{actor_json},"reason":null,"output":null,"update_meta":{{"z":1.50, "a":"é"}}}}}}"#,
            LogCursor(5).encode()
        )
    );
    assert_eq!(
        created.webhook_body(5, &HEAD(), HookBody::Full),
        format!(r#"{{"task":{task_json},"ttype":"flag-content"}}"#)
    );
    let before = task.clone();
    task.state = Some("block".to_owned());
    task.output = Some(crate::testing::document(r#"{"n": 1}"#));
    let said = Said { reason: Some("spam \"x\"".to_owned()), ..Said::default() };
    let changed = state_changed(Uuid::from_u128(5), &before, &task, &actor, said.clone());
    assert_eq!(
        changed.webhook_body(6, &HookAuth::Hmac, HookBody::Output),
        r#"{"task_id":"00000000-0000-0000-0000-000000000001","phase":"open","state":"block","output":{"n": 1},"reason":"spam \"x\""}"#
    );
    assert_eq!(changed.actor, "key:00000000-0000-0000-0000-000000000003");
    // A guarded transition says so, behind everything else; all others have the bytes that they always had.
    assert!(changed.body.ends_with(r#","update_meta":null}"#), "{}", changed.body);
    let said = Said { guard: Some(Passed::Unreachable), ..said };
    let guarded = state_changed(Uuid::from_u128(5), &before, &task, &actor, said);
    let rest = changed.body.strip_suffix('}').expect("an object");
    assert_eq!(guarded.body, format!(r#"{rest},"guard":"unreachable"}}"#));
}

#[test]
fn events_of_a_schema_have_a_body_too() {
    let now = Timestamp::from_micros(9);
    let installed = schema_version_created(Uuid::nil(), "ti:a", "v1", &Actor::cli(), now);
    let data = read(&installed.data(3));
    assert_eq!((&data["schema"], &data["semver"], &data["seq"]), (&json!("ti:a"), &json!("v1"), &json!(3)));
    assert_eq!(installed.version, None);
    let removed = schema_removed(Uuid::nil(), "ti:a", &Actor::cli(), now);
    assert_eq!(read(&removed.data(4)).get("semver"), None);
    // Not a task's, and still no panic.
    assert_eq!(removed.webhook_body(4, &HEAD(), HookBody::Full), r#"{"task":null,"ttype":null}"#);
    // A decision would have nothing but nulls.
    assert_eq!(removed.webhook_body(4, &HookAuth::Hmac, HookBody::Output), removed.envelope(4));
}

#[test]
fn an_erased_body_still_makes_json() {
    let event = schema_removed(Uuid::nil(), "ti:a", &Actor::cli(), Timestamp::from_micros(9));
    for body in ["{}", ""] {
        let erased = Event { body: body.to_owned(), ..event.clone() };
        assert_eq!(keys(&erased.data(1)), ["event_id", "seq", "cursor"]);
        read(&erased.webhook_body(1, &HEAD(), HookBody::Full));
        read(&erased.webhook_body(1, &HookAuth::Hmac, HookBody::Output));
    }
}

proptest! {
    #[test]
    fn the_envelope_has_these_keys_and_no_others((event, task, actor) in transitions(), seq in 1i64..) {
        let text = event.webhook_body(seq, &HookAuth::Hmac, HookBody::Full);
        prop_assert_eq!(&text, &event.envelope(seq));
        prop_assert_eq!(keys(&text), ["type", "timestamp", "data"]);
        let data = event.data(seq);
        prop_assert_eq!(
            keys(&data),
            ["event_id", "seq", "cursor", "task", "ttype", "previous_state", "actor", "reason", "output", "update_meta"]
        );
        let envelope = read(&text);
        prop_assert_eq!(&envelope["type"], "task.state_changed");
        prop_assert_eq!(&envelope["timestamp"], &json!(task.updated));
        prop_assert_eq!(&envelope["data"], &read(&data));
        prop_assert_eq!(&envelope["data"]["event_id"], &json!(event.id));
        prop_assert_eq!(&envelope["data"]["seq"], &json!(seq));
        prop_assert_eq!(&envelope["data"]["cursor"], &json!(LogCursor(seq).encode()));
        prop_assert_eq!(&envelope["data"]["task"], &serde_json::to_value(&task).expect("a task"));
        prop_assert_eq!(&envelope["data"]["output"], &serde_json::to_value(&task.output).expect("a document"));
        prop_assert_eq!(&envelope["data"]["update_meta"], &Value::Null);
        prop_assert_eq!(&envelope["data"]["actor"], &serde_json::to_value(&actor).expect("an actor"));
        prop_assert_eq!(keys(&serde_json::to_string(&task).expect("a task")).len(), 18);
    }

    #[test]
    fn documents_are_carried_byte_by_byte((event, task, _) in transitions(), seq in 1i64..) {
        let meta = task.meta.as_ref().map_or("null", Document::as_str);
        for auth in [HookAuth::Hmac, HEAD()] {
            let text = event.webhook_body(seq, &auth, HookBody::Full);
            let carried = format!("\"meta\":{meta},\"output\":");
            prop_assert!(text.contains(&carried), "{}", text);
        }
    }

    #[test]
    fn the_originals_body_has_the_task_and_its_type((event, task, _) in transitions(), seq in 1i64..) {
        let text = event.webhook_body(seq, &HEAD(), HookBody::Full);
        prop_assert_eq!(keys(&text), ["task", "ttype"]);
        prop_assert_eq!(read(&text), json!({"task": task, "ttype": task.ttype}));
    }

    #[test]
    fn the_output_body_has_the_decision((event, task, _) in transitions(), seq in 1i64..) {
        for auth in [HookAuth::Hmac, HEAD()] {
            let text = event.webhook_body(seq, &auth, HookBody::Output);
            prop_assert_eq!(keys(&text), ["task_id", "phase", "state", "output", "reason"]);
            let body = read(&text);
            prop_assert_eq!(&body["task_id"], &json!(task.id));
            prop_assert_eq!(&body["phase"], &json!(task.phase));
            prop_assert_eq!(&body["state"], &json!(task.state));
            prop_assert_eq!(&body["output"], &serde_json::to_value(&task.output).expect("a document"));
        }
    }

    #[test]
    fn the_header_is_that_of_the_task((event, task, actor) in transitions()) {
        prop_assert_eq!(event.created, task.updated);
        prop_assert_eq!(event.task_id, Some(task.id));
        prop_assert_eq!(event.version, Some(task.version));
        prop_assert_eq!(event.ttype, Some(task.ttype));
        prop_assert_eq!(&event.actor, &actor.pseudonym());
        // The permanent header names nobody.
        prop_assert!(!event.actor.contains("é \"u\""));
    }

    #[test]
    fn a_task_comes_back_from_its_text(task in tasks()) {
        let text = serde_json::to_string(&task).expect("a task");
        let read: Task = serde_json::from_str(&text).expect("own text");
        // What is null may have been a document that says null.
        prop_assert_eq!(serde_json::to_string(&read).expect("a task"), text);
    }

    #[test]
    fn posting_records_the_meta(id in uuids(), task in tasks(), actor in actors(), meta in documents(), at in moments()) {
        let task = Task { meta: Some(meta.clone()), updated: at, ..task };
        let data = read(&task_created(id, &task, &actor).data(1));
        prop_assert_eq!(&data["update_meta"], &meta.to_value());
        prop_assert_eq!(&data["previous_state"], &Value::Null);
        prop_assert_eq!(&data["task"]["updated"], &json!(at));
    }
}
