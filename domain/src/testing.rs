//! What tests are made of: a type, actors, arbitrary tasks and events.

use proptest::prelude::*;
use uuid::Uuid;

use crate::event::{Event, EventType};
use crate::schema::TaskType;
use crate::schema::parse::parse;
use crate::{Actor, Document, Phase, Task, Timestamp};

/// Lines, each two spaces further in.
pub(crate) fn indented(lines: &str) -> String {
    lines.lines().flat_map(|line| ["  ", line, "\n"]).collect()
}

/// The first type of a schema file, of which the lines are indented to belong to it.
pub(crate) fn task_type(lines: &str) -> TaskType {
    let text = format!("name: x\nsemver: 1\ntasktypes:\n- name: t\n{}", indented(lines));
    let mut schema = parse(&text).unwrap_or_else(|e| panic!("{text}\n{e:?}"));
    schema.task_types.remove(0)
}

pub(crate) fn document(text: &str) -> Document {
    Document::parse(text).expect(text)
}

pub(crate) fn uuids() -> impl Strategy<Value = Uuid> {
    any::<u128>().prop_map(Uuid::from_u128)
}

pub(crate) fn actors() -> impl Strategy<Value = Actor> {
    let named = (any::<bool>(), 0u128..3, prop::option::of("[a-c]")).prop_map(|(key, id, on_behalf_of)| {
        let id = Uuid::from_u128(id);
        let actor = if key { Actor::key(id, "k") } else { Actor::user(id, "é \"u\"") };
        Actor { on_behalf_of, ..actor }
    });
    prop_oneof![named, Just(Actor::cli()), Just(Actor::system())]
}

pub(crate) fn documents() -> impl Strategy<Value = Document> {
    prop::sample::select(vec![
        r#"{"n":1}"#,
        r#"{"n":2.50}"#,
        r#"{ "n" : 1 }"#,
        "null",
        "[]",
        r#"{"s":"\u00e9\""}"#,
    ])
    .prop_map(document)
}

/// Any moment that its text form holds.
pub(crate) fn moments() -> impl Strategy<Value = Timestamp> {
    (0i64..4_000_000_000_000_000).prop_map(Timestamp::from_micros)
}

pub(crate) fn tasks() -> impl Strategy<Value = Task> {
    let ids = (uuids(), uuids(), prop::option::of(uuids()));
    let phases = prop::sample::select(vec![
        Phase::Open,
        Phase::Resolved,
        Phase::Cancelled,
        Phase::Expired,
        Phase::Superseded,
    ]);
    let texts =
        (prop::option::of("\\PC{0,10}"), prop::option::of("\\PC{0,10}"), prop::option::of("[a-z]{1,5}"));
    let documents = (prop::option::of(documents()), prop::option::of(documents()));
    (ids, phases, texts, documents, moments(), 1i64..1000, prop::option::of((actors(), moments()))).prop_map(
        |(
            (id, ttype_id, user_id),
            phase,
            (external_id, merge_key, state),
            (meta, output),
            at,
            version,
            decided,
        )| {
            let (decided_by, decided_at) = decided.unzip();
            Task {
                id,
                created: at,
                updated: at,
                ttype_id,
                schema: "ti:x".to_owned(),
                semver: "v1.2".to_owned(),
                resolved: phase == Phase::Resolved,
                state,
                phase,
                user_id,
                meta,
                output,
                external_id,
                priority: Some(3),
                due_at: None,
                callback_url: None,
                merge_key,
                expires_at: None,
                supersedes: None,
                superseded_by: None,
                version,
                ttype: "flag-content".to_owned(),
                decided_by,
                decided_at,
            }
        },
    )
}

pub(crate) fn events() -> impl Strategy<Value = Event> {
    let header = (uuids(), 0..EventType::ALL.len(), any::<i64>(), "[a-z:]{1,8}", "[a-z:]{1,8}");
    let of_task = prop::option::of(("[a-z]{1,8}", uuids(), 1i64..1000));
    (header, of_task, "\\PC{0,20}").prop_map(|((id, kind, created, actor, schema), of_task, body)| {
        let (ttype, rest) = of_task.map(|(t, id, v)| (t, (id, v))).unzip();
        let (task_id, version) = rest.unzip();
        Event {
            id,
            kind: EventType::ALL[kind],
            created: Timestamp::from_micros(created),
            actor,
            schema,
            ttype,
            task_id,
            version,
            body,
        }
    })
}

/// The event of a task that was posted with this `meta`.
pub(crate) fn posted(meta: &str) -> Event {
    let task = Task {
        id: Uuid::from_u128(1),
        created: Timestamp::from_micros(1),
        updated: Timestamp::from_micros(1),
        ttype_id: Uuid::from_u128(2),
        schema: "shop".to_owned(),
        semver: "1".to_owned(),
        state: None,
        resolved: false,
        phase: Phase::Open,
        user_id: None,
        meta: Some(Document::parse_object(meta).expect("an object")),
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
        ttype: "refund".to_owned(),
        decided_by: None,
        decided_at: None,
    };
    crate::event::task_created(Uuid::from_u128(3), &task, &Actor::cli())
}
