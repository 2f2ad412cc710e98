//! What the tables are filled with: every row is a function of its number, so that a load generator
//! knows what is there without looking.

use crate::stage::{SCHEMA, TYPES};

/// Of 100 tasks, 70, 20, 9 and 1 are of these.
pub(crate) const SCHEMAS: [&str; 4] = [SCHEMA, "ti:payments", "ti:accounts", "ti:agents"];
/// One task of five is assigned to one of so many people.
pub(crate) const ASSIGNEES: u64 = 5;
/// Of the newest tenth, one of so many is still open; everything older is decided.
const OPEN: u64 = 10;
/// One of so many has its sender's own name.
pub(super) const NAMED: u64 = 10;
/// Between two events of one task there are those of so many others.
const APART: u64 = 100;
/// Milliseconds since the epoch when the first was posted, and from one to the next: a million take
/// three months and end in the past.
const FIRST: u64 = 1_780_000_000_000;
const STEP: u64 = 7_000;

/// How much there is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Content {
    pub(crate) tasks: u64,
    /// Events of each task: 1, when nothing was decided and all are open, or 3.
    steps: u64,
}

impl Content {
    /// Tasks of every schema, each changed twice; all but one of a hundred are decided.
    pub(crate) const fn decided(tasks: u64) -> Self {
        Self { tasks, steps: 3 }
    }

    /// Tasks of one schema that wait for their first decision.
    pub(crate) const fn open(tasks: u64) -> Self {
        Self { tasks, steps: 1 }
    }

    fn schema(&self, number: u64) -> &'static str {
        match mix(number, 4) % 100 {
            _ if self.steps == 1 => SCHEMAS[0],
            0..70 => SCHEMAS[0],
            70..90 => SCHEMAS[1],
            90..99 => SCHEMAS[2],
            _ => SCHEMAS[3],
        }
    }

    pub(crate) const fn events(&self) -> u64 {
        self.tasks * self.steps
    }

    pub(super) fn task(&self, number: u64) -> Task {
        let is_open = self.steps == 1 || number >= self.tasks / 10 * 9 && number % OPEN == 3;
        let state = match (self.steps, is_open, mix(number, 2) % 2) {
            (1, ..) => None,
            (_, true, _) => Some("level2"),
            (_, false, 0) => Some("block"),
            (_, false, _) => Some("allow"),
        };
        Task { number, schema: self.schema(number), version: self.steps, state }
    }

    /// The event at a place in the log, counted from 0.
    pub(super) fn event(&self, place: u64) -> Event {
        let (round, step) = (place / self.steps, place % self.steps);
        let task = self.task(event_task(self.tasks, round, step));
        let (before, after) = match step {
            0 => (None, None),
            1 => (None, Some("level1")),
            _ => (Some("level1"), task.state),
        };
        let task = Task { version: step + 1, state: after, ..task };
        Event { id: id(FIRST + round * STEP + step, mix(place, 3)), task, before, step }
    }
}

/// Which task the step of a round is about: a task's events come rounds apart.
const fn event_task(tasks: u64, round: u64, step: u64) -> u64 {
    (round + tasks - (step * APART) % tasks) % tasks
}

/// A task as it stood after so many events.
#[derive(Clone, Copy)]
pub(super) struct Task {
    pub(super) number: u64,
    pub(super) schema: &'static str,
    pub(super) version: u64,
    pub(super) state: Option<&'static str>,
}

pub(super) struct Event {
    pub(super) id: String,
    pub(super) task: Task,
    before: Option<&'static str>,
    step: u64,
}

impl Task {
    pub(super) fn ttype(self) -> &'static str {
        TYPES[(mix(self.number, 5) % TYPES.len() as u64) as usize]
    }

    pub(super) fn is_resolved(self) -> bool {
        matches!(self.state, Some("block" | "allow"))
    }

    pub(super) fn phase(self) -> &'static str {
        if self.is_resolved() { "resolved" } else { "open" }
    }

    pub(super) fn created(self) -> u64 {
        (FIRST + self.number * STEP) * 1000
    }

    pub(super) fn updated(self) -> u64 {
        self.created() + (self.version - 1) * APART * STEP * 1000
    }

    pub(super) fn assignee(self) -> Option<String> {
        let chance = mix(self.number, 6);
        (chance.is_multiple_of(5)).then(|| assignee(chance / 5 % ASSIGNEES))
    }

    pub(super) fn external_id(self) -> Option<String> {
        self.number.is_multiple_of(NAMED).then(|| external_id(self.number))
    }

    pub(super) fn meta(self) -> String {
        let number = self.number;
        format!(
            r#"{{"content_id":"{number}","url":"https://example.com/content/{number}","reported_by":"somebody","reason":"looks like spam to me"}}"#
        )
    }

    /// The task's object, as the service writes it.
    fn json(self, ttype_id: &str) -> String {
        let text = |value: Option<String>| value.map_or("null".to_owned(), |value| format!("\"{value}\""));
        format!(
            r#"{{"id":"{}","created":"{}","updated":"{}","ttype_id":"{ttype_id}","schema":"{}","semver":"1","state":{},"resolved":{},"phase":"{}","user_id":{},"meta":{},"output":null,"external_id":{},"priority":null,"due_at":null,"callback_url":null,"merge_key":null,"version":{}}}"#,
            task_id(self.number),
            time(self.created()),
            time(self.updated()),
            self.schema,
            text(self.state.map(str::to_owned)),
            self.is_resolved(),
            self.phase(),
            text(self.assignee()),
            self.meta(),
            text(self.external_id()),
            self.version,
        )
    }
}

impl Event {
    pub(super) fn kind(&self) -> &'static str {
        if self.step == 0 { "task.created" } else { "task.state_changed" }
    }

    /// The body that history and webhooks are made from.
    pub(super) fn body(&self, ttype_id: &str) -> String {
        let before = self.before.map_or("null".to_owned(), |state| format!("\"{state}\""));
        let meta = if self.step == 0 { self.task.meta() } else { "null".to_owned() };
        format!(
            r#"{{"task":{},"ttype":"{}","previous_state":{before},"actor":{ACTOR_JSON},"reason":null,"output":null,"update_meta":{meta}}}"#,
            self.task.json(ttype_id),
            self.task.ttype(),
        )
    }
}

/// Whoever did it all, by its pseudonym and as the API shows it.
pub(super) const ACTOR: &str = "key:01990000-0000-7000-8000-000000000001";
pub(super) const ACTOR_JSON: &str =
    r#"{"kind":"key","id":"01990000-0000-7000-8000-000000000001","name":"bench"}"#;

/// A task's id: a UUIDv7 whose time is that of its posting.
pub(crate) fn task_id(number: u64) -> String {
    id(FIRST + number * STEP, mix(number, 0))
}

/// One of the people whom tasks are assigned to.
pub(crate) fn assignee(number: u64) -> String {
    id(FIRST - 1 - number, mix(number, 7))
}

/// The name that the sender gave this task, if it is one of those that have one.
pub(crate) fn external_id(number: u64) -> String {
    format!("order-{}", number / NAMED * NAMED)
}

fn id(milliseconds: u64, chance: u64) -> String {
    hyphenate(&format!("{milliseconds:012x}7{:03x}8{:015x}", chance & 0xfff, chance >> 4))
}

/// 32 hexadecimal digits, as UUIDs are written.
pub(super) fn hyphenate(digits: &str) -> String {
    let part = |range: std::ops::Range<usize>| digits.get(range).unwrap_or_default();
    [part(0..8), part(8..12), part(12..16), part(16..20), part(20..32)].join("-")
}

fn time(micros: u64) -> String {
    chrono::DateTime::from_timestamp_micros(micros as i64)
        .unwrap_or_default()
        .to_rfc3339_opts(chrono::SecondsFormat::Micros, true)
}

/// Looks like chance and is always the same (the finaliser of SplitMix64).
pub(crate) const fn mix(number: u64, salt: u64) -> u64 {
    let mut x = number.wrapping_mul(16).wrapping_add(salt).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_task_has_its_events_in_order() {
        let content = Content::decided(1000);
        let mut versions = vec![Vec::new(); 1000];
        let mut ids = HashSet::new();
        for place in 0..content.events() {
            let event = content.event(place);
            versions[event.task.number as usize].push(event.task.version);
            assert!(ids.insert(event.id));
        }
        let in_order = versions.iter().filter(|versions| **versions == [1, 2, 3]).count();
        assert!(versions.iter().all(|versions| versions.len() == 3));
        // What would have been decided after the end is at the beginning instead.
        assert_eq!(in_order as u64, 1000 - 2 * APART);
    }

    #[test]
    fn ids_are_different_and_grow() {
        let ids: Vec<_> = (0..1000).map(task_id).collect();
        assert!(ids.is_sorted() && ids.iter().collect::<HashSet<_>>().len() == 1000);
        assert_eq!(ids[0].len(), 36);
        assert_eq!(&ids[0][14..15], "7");
    }

    #[test]
    fn bodies_are_json_that_agrees_with_the_task() {
        let content = Content::decided(500);
        for place in [0, 1, 2, 1499] {
            let event = content.event(place);
            let body: serde_json::Value = serde_json::from_str(&event.body("t")).unwrap();
            assert_eq!(body["task"]["id"], task_id(event.task.number).as_str());
            assert_eq!(body["task"]["version"], event.task.version);
        }
        let open = (0..500).filter(|number| !content.task(*number).is_resolved()).count();
        assert_eq!(open, 5);
    }
}
