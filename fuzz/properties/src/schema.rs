//! Schema files.

use task_inbox_domain::schema::parse::{ParseError, parse};
use task_inbox_domain::schema::{Schema, SchemaVersion, TaskType, registry};

/// Most errors that are told of one file.
const MAX_ERRORS: usize = 100;

/// Any text is read into a schema that is valid, or refused with errors that lie within it.
pub fn schema(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match parse(text) {
        Ok(schema) => {
            is_valid(&schema);
            let again = parse(text).expect("the same text is read the same");
            assert_eq!(registry::compare(&schema, &again), registry::Difference::default());
        }
        Err(errors) => are_within(&errors, text),
    }
}

fn is_valid(schema: &Schema) {
    let version = SchemaVersion::parse(schema.version.as_written());
    assert_eq!(version.as_ref(), Ok(&schema.version));
    assert_eq!(version.map(|v| v.as_written().to_owned()).as_deref(), Ok(schema.version.as_written()));
    assert!(!schema.task_types.is_empty());
    for task_type in &schema.task_types {
        let found = schema.task_type(&task_type.name).expect("a type is found by its name");
        assert!(std::ptr::eq(found, task_type), "two types are called {}", task_type.name);
        states_are_sound(task_type);
    }
}

fn states_are_sound(task_type: &TaskType) {
    assert!(!task_type.resolved_states.is_empty());
    assert!(task_type.has_state(None) && task_type.has_state(task_type.initial_state.as_deref()));
    let states: Vec<_> = task_type.states().collect();
    for (i, state) in states.iter().enumerate() {
        assert!(!states[..i].contains(state), "{state:?} is there twice");
        assert!(task_type.has_state(*state));
        for to in task_type.allowed_transitions(*state) {
            assert!(states.contains(&to), "{state:?} leads to {to:?}, which is no state");
        }
    }
    assert!(task_type.reason_required.iter().all(|state| states.contains(&Some(state.as_str()))));
    assert!(task_type.output.keys().all(|state| task_type.is_resolved(Some(state))));
}

fn are_within(errors: &[ParseError], text: &str) {
    assert!((1..=MAX_ERRORS).contains(&errors.len()));
    assert!(errors.is_sorted_by_key(|error| (error.line, error.column)));
    // A line break of one parser may be none to another: what counts most lines bounds them.
    let longest = text.chars().count() as u64;
    let breaks = ['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}'];
    let lines = text.split(breaks).count() as u64;
    for error in errors {
        assert!((1..=lines + 1).contains(&error.line), "{error}: there are {lines} lines");
        assert!((1..=longest + 1).contains(&error.column), "{error}: there are {longest} characters");
        assert!(!error.message.is_empty() && !error.message.contains('\n'), "{error}");
    }
}
