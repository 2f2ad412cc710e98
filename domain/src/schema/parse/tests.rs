//! Whole files: the examples, and what is wrong with others.

use super::*;
use crate::EventType;
use crate::schema::{Guard, Hook, HookAuth, OnError, OnTimeout, Timeout};
use crate::testing::indented;

pub(super) const SAMPLE: &str = include_str!("../../../../schemas/sample.yml");
pub(super) const PAYOUT: &str = include_str!("../../../../schemas/payout.yml");
pub(super) const AGENT: &str = include_str!("../../../../schemas/agent-command.yml");

/// A file of one type with further lines in it.
fn with_type(lines: &str) -> String {
    format!(
        "name: a\nsemver: 1\ntasktypes:\n- name: t\n  pending_states: [p]\n  resolved_states: [r, s]\n{}",
        indented(lines)
    )
}

/// A file with further lines at the top.
fn with_top(lines: &str) -> String {
    format!("name: a\nsemver: 1\ntasktypes:\n- name: t\n  resolved_states: [r]\n{lines}\n")
}

fn valid(text: &str) -> Schema {
    parse(text).unwrap_or_else(|errors| panic!("{text}\n{}", shown(&errors)))
}

pub(super) fn shown(errors: &[ParseError]) -> String {
    errors.iter().flat_map(|e| [e.to_string(), "\n".to_owned()]).collect()
}

fn refused(text: &str) -> String {
    shown(&parse(text).expect_err(text))
}

#[test]
fn the_originals_file_is_accepted_as_it_is() {
    let schema = valid(SAMPLE);
    assert_eq!(schema.name, "ti:sample");
    assert_eq!(schema.version.as_written(), "1");
    let auth = HookAuth::Head { header: "ti-key".to_owned() };
    assert_eq!(schema.hook, Some(Hook { url: "http://localhost:5001/api/v1/tihook".to_owned(), auth }));
    assert_eq!(schema.hook_events, [EventType::TaskStateChanged]);
    assert_eq!(schema.hook_body, HookBody::Full);
    assert!(schema.unsupported.is_empty());
    let [delete, flag] = &schema.task_types[..] else { panic!("two types") };
    assert_eq!((delete.name.as_str(), &delete.pending_states), ("delete-acct", &vec![]));
    assert_eq!(delete.resolved_states, ["deleted"]);
    assert_eq!(flag.pending_states, ["level1", "level2"]);
    assert_eq!(flag.resolved_states, ["block", "allow"]);
    assert!(flag.hook.is_none() && flag.transitions.is_none() && flag.input.is_none());
}

#[test]
fn the_other_example_uses_more() {
    let schema = valid(AGENT);
    assert!(schema.unsupported.is_empty(), "{:?}", schema.unsupported);
    assert_eq!(schema.hook.as_ref().map(|h| &h.auth), Some(&HookAuth::Hmac));
    let run = schema.task_type("run-command").expect("declared");
    assert_eq!(run.allowed_transitions(None), [Some("second-look"), Some("approved"), Some("denied")]);
    assert_eq!(run.allowed_transitions(Some("second-look")), [None, Some("approved"), Some("denied")]);
    assert!(run.allowed_transitions(Some("denied")).is_empty());
    assert_eq!(run.reason_required, ["denied"]);
    assert!(run.input.is_some() && run.output.contains_key("approved") && run.output.len() == 1);
}

#[test]
fn the_example_with_a_guard_has_it_where_money_leaves() {
    let schema = valid(PAYOUT);
    assert!(schema.unsupported.is_empty(), "{:?}", schema.unsupported);
    let ttype = schema.task_type("pay-out").expect("declared");
    let guarded: Vec<_> = ttype.states().filter(|state| ttype.guard_of(*state).is_some()).collect();
    assert_eq!(guarded, [Some("approved")]);
    assert_eq!(ttype.guard.as_ref().map(|guard| guard.on_error), Some(OnError::Deny));
}

#[test]
fn args_of_the_original_are_accepted() {
    for args in ["{a: 1}", "[1, {b: 2}]", "", "~"] {
        valid(&with_top(&format!("hook_auth: {{kind: head, val: ti-key, args: {args}}}")));
    }
    assert!(
        refused(&with_top("hook_auth: {kind: head, val: k, args: 3}"))
            .contains("hook_auth.args: expected a mapping")
    );
}

#[test]
fn scalars_stay_as_written() {
    for (written, semver) in
        [("1.10", "1.10.0"), ("'1.10'", "1.10.0"), ("1", "1.0.0"), ("v1.2", "1.2.0"), ("\" 2 \"", "2.0.0")]
    {
        let schema = valid(&with_top("").replace("semver: 1", &format!("semver: {written}")));
        assert_eq!(schema.version.semver().to_string(), semver);
    }
    assert_eq!(valid(&with_top("").replace("semver: 1", "semver: 1.10")).version.as_written(), "1.10");
    // YAML 1.1 made booleans and octals of these.
    let schema = valid(&with_top("").replace("[r]", "[yes, no, on, 010, 2]"));
    assert_eq!(schema.task_types[0].resolved_states, ["yes", "no", "on", "010", "2"]);
}

#[test]
fn null_means_absent() {
    let schema = valid(&with_type("title:\ntransitions: ~\nhook_url: null\ninitial_state: null"));
    assert!(schema.task_types[0].transitions.is_none());
}

#[test]
fn unset_may_be_written_or_null() {
    let schema = valid(&with_type("transitions: {unset: [p, r], r: [~], p: [unset, s]}"));
    let t = &schema.task_types[0];
    assert_eq!(t.allowed_transitions(Some("r")), [None]);
    assert_eq!(t.allowed_transitions(Some("p")), [None, Some("s")]);
    assert!(t.allowed_transitions(Some("s")).is_empty());
}

#[test]
fn reason_required_true_means_every_resolved_state() {
    assert_eq!(valid(&with_type("reason_required: true")).task_types[0].reason_required, ["r", "s"]);
    assert!(valid(&with_type("reason_required: false")).task_types[0].reason_required.is_empty());
    assert_eq!(valid(&with_type("reason_required: [p]")).task_types[0].reason_required, ["p"]);
}

#[test]
fn a_type_takes_from_the_schema_what_it_does_not_say() {
    let top = "default_hook_url: http://a/\nhook_auth: {kind: head, val: X-Key}";
    let hook = |type_lines: &str, top: &str| {
        valid(&format!("{}{top}\n", with_type(type_lines))).task_types[0].hook.clone()
    };
    let head = HookAuth::Head { header: "X-Key".to_owned() };
    let made = |url: &str, auth: &HookAuth| Some(Hook { url: url.to_owned(), auth: auth.clone() });
    assert_eq!(hook("", top), None);
    assert_eq!(hook("hook_url: http://b/", top), made("http://b/", &head));
    assert_eq!(hook("hook_url: http://b/\nhook_auth: {kind: hmac}", top), made("http://b/", &HookAuth::Hmac));
    assert_eq!(hook("hook_auth: {}", top), made("http://a/", &HookAuth::Hmac));
    assert_eq!(hook("hook_url: https://b/x?y=1", ""), made("https://b/x?y=1", &HookAuth::Hmac));
    // A schema may say how its types' endpoints authenticate, and have none of its own.
    assert_eq!(hook("hook_url: http://b/", "hook_auth: {kind: head, val: X-Key}"), made("http://b/", &head));
    assert!(
        refused(&with_type("hook_auth: {kind: hmac}"))
            .contains("line 7, column 14: tasktypes[0].hook_auth: there is no URL")
    );
}

#[test]
fn urls_are_absolute_and_hold_no_secrets() {
    for url in
        ["http://a", "https://a.example:8443/x?y=z", "HTTP://A/", "http://[::1]:80/", "http://127.0.0.1/"]
    {
        assert_eq!(valid(&with_top(&format!("default_hook_url: '{url}'"))).hook.expect("given").url, url);
    }
    for (url, said) in [
        ("/path", "not an absolute URL"),
        ("ftp://a/", "not an absolute URL"),
        ("http:a", "not an absolute URL"),
        ("http:/a", "not an absolute URL"),
        ("http://", "not a URL"),
        ("http://a:99999/", "not a URL"),
        ("http://u@a/", "user name or password"),
        ("http://u:p@a/", "user name or password"),
        ("http://a/#x", "fragment"),
        ("http://a/ b", "a space"),
        ("http:\\\\a", "backslash"),
    ] {
        let errors = refused(&with_top(&format!("default_hook_url: '{url}'")));
        assert!(errors.contains("line 6, column 19: default_hook_url: "), "{errors}");
        assert!(errors.contains(said), "{errors}");
    }
}

#[test]
fn each_error_says_where_and_what() {
    for (text, expected) in [
        ("", "line 1, column 1: the file is empty; expected a mapping with name, semver and tasktypes\n"),
        ("# only a comment\n", "line 1, column 1: the file is empty"),
        ("~\n", "line 1, column 1: the file is empty"),
        ("- a\n", "line 1, column 1: expected a schema, found a list\n"),
        ("text\n", "line 1, column 1: expected a schema, found text\n"),
        ("{}\n", "line 1, column 1: name: is missing; expected the schema's name, e.g. ti:sample\n"),
        (
            &with_top("").replace("name: a\n", "name: true\n"),
            "line 1, column 7: name: expected the schema's name, found a boolean; quote it",
        ),
        (
            &with_top("").replace("name: a\n", "name: a b\n"),
            "line 1, column 7: name: \"a b\" is not a name: 1 to 64 letters",
        ),
        (
            &with_top("").replace("name: a\n", "name:\n"),
            "line 1, column 5: name: expected the schema's name, e.g. ti:sample, found nothing",
        ),
        (
            &with_top("").replace("semver: 1", "semver: one"),
            "line 2, column 9: semver: \"one\" is not a version such as 1, 1.2 or 1.2.3",
        ),
        (
            &with_top("").replace("semver: 1", "semver: [1]"),
            "line 2, column 9: semver: expected a version such as 1, 1.2 or 1.2.3, found a list",
        ),
        (
            &with_top("hook_url: http://a"),
            "line 6, column 1: hook_url: is not a key of a schema; did you mean hook_auth?",
        ),
        (
            &with_top("tasktype: 1"),
            "line 6, column 1: tasktype: is not a key of a schema; did you mean tasktypes?",
        ),
        (&with_top("colour: red"), "is not a key of a schema; known are name, semver,"),
        (
            &with_top("hook_events: [task.created, task.creatd]"),
            "line 6, column 29: hook_events[1]: \"task.creatd\" is not an event; did you mean task.created?",
        ),
        (&with_top("hook_events: [schema.removed]"), "hook_events[0]: \"schema.removed\" is not an event"),
        (
            &with_top("hook_events: [task.created, task.created]"),
            "hook_events[1]: task.created is listed twice",
        ),
        (
            &with_top("hook_events: task.created"),
            "expected a list of events, e.g. [task.state_changed], found text",
        ),
        (&with_top("hook_body: all"), "line 6, column 12: hook_body: \"all\" is not one of full, output"),
        (&with_top("hook_auth: {kind: basic}"), "hook_auth.kind: \"basic\" is not one of hmac, head"),
        (
            &with_top("hook_auth: {kind: head}"),
            "line 6, column 12: hook_auth.val: is missing; expected the name of the header",
        ),
        (
            &with_top("hook_auth: {kind: head, val: Host}"),
            "line 6, column 30: hook_auth.val: Host can't be set",
        ),
        (&with_top("hook_auth: {val: ti-key}"), "hook_auth.val: names the header of kind: head"),
        (&with_top("hook_auth: ti-key"), "hook_auth: expected hook_auth, found text"),
        ("name: a\nsemver: 1\ntasktypes: []\n", "line 3, column 12: tasktypes: is empty"),
        (
            "name: a\nsemver: 1\ntasktypes: {t: 1}\n",
            "line 3, column 12: tasktypes: expected a list of task types, found a mapping",
        ),
        (
            "name: a\nsemver: 1\ntasktypes: [t]\n",
            "line 3, column 13: tasktypes[0]: expected a task type, found text",
        ),
        (&with_type("").replace("- name: t\n  ", "- "), "line 4, column 3: tasktypes[0].name: is missing"),
        (
            &with_type("").replace("  resolved_states: [r, s]\n", ""),
            "line 4, column 3: tasktypes[0].resolved_states: is missing; expected a list of at least one state",
        ),
        (&with_type("").replace("[r, s]", "[]"), "line 6, column 20: tasktypes[0].resolved_states: is empty"),
        (&with_type("").replace("[r, s]", "r"), "expected a list of states, found text"),
        (
            &with_type("").replace("[r, s]", "[r, 'a b']"),
            "line 6, column 24: tasktypes[0].resolved_states[1]: \"a b\" is not a name",
        ),
        (&with_type("").replace("[r, s]", "[r, unset]"), "unset is the state that every task has anyway"),
        (&with_type("").replace("[r, s]", "[r, p]"), "resolved_states[1]: p is a state of this type already"),
        (
            &with_type("initial_state: r"),
            "line 7, column 18: tasktypes[0].initial_state: r is a resolved state",
        ),
        (&with_type("initial_state: q"), "initial_state: \"q\" is not a state of this type; it has p, r, s"),
        (&with_type("reason_required: [unset]"), "reason_required[0]: \"unset\" is not a state of this type"),
        (
            &with_type("reason_required: yes"),
            "expected a list of states, or true for every resolved state, found text",
        ),
        (
            &with_type("transitions: {p: [r], q: [r]}"),
            "line 7, column 25: tasktypes[0].transitions.q: \"q\" is not a state",
        ),
        (
            &with_type("transitions: {p: [r, x]}"),
            "line 7, column 24: tasktypes[0].transitions.p[1]: \"x\" is not a state",
        ),
        (
            &with_type("transitions: {p: r}"),
            "transitions.p: expected a list of states, e.g. [unset], found text",
        ),
        (
            &with_type("transitions: {p: }"),
            "transitions.p: expected a list of states, e.g. [unset], found nothing",
        ),
        (&with_type("transitions: {p: [r, r]}"), "transitions.p[1]: r is listed twice"),
        (&with_type("transitions: {r: [p]}"), "no transition leads to a resolved state"),
        (&with_type("transitions: {}"), "no transition leads to a resolved state"),
        (&with_type("transitions: {~: [r]}"), "a key must be text"),
        (&with_type("input: true"), "expected a JSON Schema, as a mapping, found a boolean"),
        (
            &with_type("input: {type: strin}"),
            "line 7, column 17: tasktypes[0].input.type: \"strin\" is not a type",
        ),
        (
            &with_type("input:\n  properties:\n    a/b:\n      type: x"),
            "line 10, column 15: tasktypes[0].input.properties[\"a/b\"].type: \"x\" is not a type",
        ),
        (&with_type("input: {pattern: '(?=a)'}"), "\"(?=a)\" is not a pattern of the linear-time engine"),
        (&with_type("input: {$ref: 'https://example.com/x'}"), "a $ref may only point into the same schema"),
        (&with_type("input: {$ref: '#/nope'}"), "tasktypes[0].input: Pointer '/nope' does not exist"),
        (
            &with_type("input: {$schema: 'http://json-schema.org/draft-07/schema#'}"),
            "input.$schema: \"http://json-schema.org/draft-07/schema#\" is not the dialect",
        ),
        (&with_type("input: {minimum: .inf}"), "input.minimum: .inf is not a number that JSON can carry"),
        (
            &with_type("output: {p: {}}"),
            "line 7, column 12: tasktypes[0].output.p: p is a pending state; expected a resolved one",
        ),
        (
            &with_type("output: {r: {type: 3}}"),
            "line 7, column 22: tasktypes[0].output.r.type: 3 is not a type",
        ),
        (
            &with_type("outputs: {}"),
            "line 7, column 3: tasktypes[0].outputs: is not a key of a task type; did you mean output?",
        ),
        ("name: a\nname: b\n", "line 2, column 1: the key \"name\" occurs twice"),
    ] {
        let errors = refused(text);
        assert!(errors.contains(expected), "{text}\nexpected: {expected}\nfound:\n{errors}");
    }
}

#[test]
fn all_errors_come_at_once_in_file_order() {
    let errors = parse("name: a b\nsemver: x\ncolour: 1\ntasktypes:\n- resolved_states: [r]\n- name: t\n- name: t\n  resolved_states: [&a r]\n  undo: soon\n")
        .expect_err("wrong everywhere");
    let places: Vec<_> = errors.iter().map(|e| (e.line, e.path.as_str())).collect();
    assert_eq!(
        places,
        [
            (1, "name"),
            (2, "semver"),
            (3, "colour"),
            (5, "tasktypes[0].name"),
            (6, "tasktypes[1].resolved_states"),
            (7, "tasktypes[2].name"),
            (8, ""),
            (9, "tasktypes[2].undo"),
        ]
    );
    assert_eq!(errors[5].message, "t is the name of tasktypes[1] already");
}

#[test]
fn one_error_is_not_reported_again_by_its_consequences() {
    let errors = refused(
        &with_type("transitions: {p: [r]}\nreason_required: [r]\ninitial_state: p\noutput: {r: {}}")
            .replace("[r, s]", "[r, 'a b']"),
    );
    assert_eq!(errors.lines().count(), 1, "{errors}");
}

#[test]
fn own_keys_are_ignored_everywhere() {
    let text =
        with_type("x-a: {b: [1]}\nactions: [{state: r, x-icon: y}]") + "x-team: ops\nhook_auth: {x-b: 1}\n";
    assert!(valid(&text).unsupported.is_empty());
}

#[test]
fn keys_without_behaviour_are_checked_and_noted() {
    let text = with_type(
        "undo: 6s\napprovals: 2\nroles: [admin]\n\
         timeouts: {after: 2h, remind: [30m, 1h], escalate_to: lead, final_state: s}\n\
         priority: 5\nactions: [{state: r, label: Yes, key: y, style: primary, confirm: true}]\nhook_events: [task.due]",
    ) + "callback_hosts: [example.com, '*.example.org']\nretention: {tasks: 365d}\nmigrate: {tasks: open, states: {t: {q: p}}}\n\
         calendar: {timezone: Europe/Berlin, days: [mon, fri], hours: '09:00-17:30', holidays: [2030-12-25]}\n";
    let unsupported = valid(&text).unsupported;
    let paths: Vec<_> = unsupported.iter().map(|u| u.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "tasktypes[0].undo",
            "tasktypes[0].approvals",
            "tasktypes[0].roles",
            "tasktypes[0].timeouts.remind",
            "tasktypes[0].timeouts.escalate_to",
            "retention",
            "migrate",
        ]
    );
    assert_eq!((unsupported[1].line, unsupported[1].column), (8, 3));
    for (lines, path) in [
        ("approvals: {r: 2}", "approvals"),
        ("roles: {r: [admin], unset: [ops]}", "roles"),
        ("timeouts: {after: 1d, remind: 2h}", "timeouts.remind"),
    ] {
        assert_eq!(valid(&with_type(lines)).unsupported[0].path, format!("tasktypes[0].{path}"));
    }
    assert_eq!(valid(&with_top("retention: 90d")).unsupported[0].path, "retention");
}

#[test]
fn reads_where_callbacks_may_lead() {
    let top = "callback_hosts: [Example.com, '*.example.org']\nhook_auth: {kind: head, val: X-Key}";
    let callback = valid(&with_top(top)).callback.expect("given");
    assert_eq!(callback.auth, HookAuth::Head { header: "X-Key".to_owned() });
    for (host, found) in [
        ("example.com", Some("example.com")),
        ("EXAMPLE.COM", Some("example.com")),
        ("a.example.org", Some("*.example.org")),
        ("example.org", None),
        ("a.b.example.org", None),
        (".example.org", None),
        ("a.example.com", None),
    ] {
        assert_eq!(callback.host_for(host), found, "{host}");
    }
    assert!(valid(&with_top("callback_hosts: []")).callback.is_none());
    assert!(refused(&with_top("callback_hosts: [a.example, A.example]")).contains("listed twice"));
}

#[test]
fn reads_whom_to_ask_before_a_transition() {
    let guard = |fields: &str| {
        let lines = format!("guard: {{url: 'https://a.example/ask?k=1'{fields}}}");
        let schema = valid(&with_type(&lines));
        assert!(schema.unsupported.is_empty());
        let ttype = schema.task_types.into_iter().next().expect("a type");
        (ttype.guard.clone().expect("a guard"), ttype)
    };
    let (usual, ttype) = guard("");
    let url = "https://a.example/ask?k=1".to_owned();
    let timeout = std::time::Duration::from_secs(5);
    assert_eq!(usual, Guard { url, timeout, on_error: OnError::Deny, states: None });
    assert!(ttype.states().all(|state| ttype.guard_of(state).is_some()));
    let (some, ttype) = guard(", timeout: 15s, on_error: allow, states: [unset, r]");
    assert_eq!((some.timeout.as_secs(), some.on_error), (15, OnError::Allow));
    let guarded: Vec<_> = ttype.states().filter(|state| ttype.guard_of(*state).is_some()).collect();
    assert_eq!(guarded, [None, Some("r")]);
    assert_eq!(guard(", states: [~]").0.states, Some(vec![None]));
    assert!(valid(&with_type("guard: ~")).task_types[0].guard.is_none());
    for (lines, said) in [
        ("guard: {timeout: 3s}", "guard.url: is missing; expected where the application server answers"),
        ("guard: {url: 'ftp://a.example/'}", "guard.url: "),
        (
            "guard: {url: 'https://a.example/', on_error: ask}",
            "guard.on_error: \"ask\" is not one of allow, deny",
        ),
        ("guard: {url: 'https://a.example/', states: [q]}", "guard.states[0]: \"q\" is not a state"),
        ("guard: {url: 'https://a.example/', states: [r, r]}", "guard.states[1]: r is listed twice"),
        ("guard: {url: 'https://a.example/', states: []}", "guard.states: guards no state"),
        ("guard: {url: 'https://a.example/', timeout: 0s}", "guard.timeout: is no time at all"),
        ("guard: {url: 'https://a.example/', timeout: soon}", "guard.timeout: \"soon\" is not a duration"),
        ("guard: https://a.example/", "expected a guard, found text"),
        ("guard: {url: 'https://a.example/', retries: 3}", "guard.retries: is not a key of a guard"),
    ] {
        let errors = refused(&with_type(lines));
        assert!(errors.contains(said), "{lines}: {errors}");
    }
    let errors = refused(&with_type("guard: {url: 'https://a.example/', timeout: 16s}"));
    assert_eq!(
        errors,
        "line 7, column 47: tasktypes[0].guard.timeout: is longer than 15s; somebody waits for the answer\n"
    );
}

#[test]
fn every_event_of_the_format_can_be_asked_for() {
    let all = "hook_events: [task.created, task.state_changed, task.assigned, task.commented, task.due, task.escalated,
  task.cancelled, task.amended, task.expired, task.superseded, schema.version_created]";
    let schema = valid(&with_top(all));
    assert_eq!(schema.hook_events.len(), 11);
    assert!(schema.unsupported.is_empty());
}

#[test]
fn what_happens_while_a_task_waits_is_read() {
    let read = |lines: &str| valid(&with_type(lines)).task_types.remove(0);
    let none = read("title: x");
    assert_eq!((none.timeout, none.binds.len(), none.merge_key.len()), (None, 0, 0));
    let all = read(
        "timeouts: {after: 2h, final_state: r}\nbinds: [/meta/amount, /meta/a~1b~0/0, /meta]\nmerge_key: /user/id",
    );
    let after = std::time::Duration::from_hours(2);
    assert_eq!(all.timeout, Some(Timeout { after, then: OnTimeout::Move(Some("r".to_owned())) }));
    assert_eq!(all.binds, ["/meta/amount", "/meta/a~1b~0/0", "/meta"]);
    assert_eq!(all.merge_key, ["/user/id"]);
    assert_eq!(read("merge_key: [/a, /b]").merge_key, ["/a", "/b"]);
    for (lines, then) in [
        ("timeouts: {after: 2h}", OnTimeout::Expire),
        ("timeouts: {after: 2h, final_state: ~}", OnTimeout::Move(None)),
        ("timeouts: {after: 2h, final_state: unset}", OnTimeout::Move(None)),
        ("timeouts: {after: 2h, final_state: p}", OnTimeout::Move(Some("p".to_owned()))),
    ] {
        assert_eq!(read(lines).timeout, Some(Timeout { after, then }), "{lines}");
    }
}

#[test]
fn what_could_not_happen_while_a_task_waits_is_refused() {
    for (lines, said) in [
        ("timeouts: {after: 1h, final_state: x}", "\"x\" is not a state"),
        ("timeouts: {after: 1h, aftr: 1s}", "did you mean after?"),
        ("timeouts: {final_state: r}", "timeouts.after: is missing"),
        ("timeouts: 3h", "expected timeouts, found text"),
        ("timeouts: {after: 1h, final_state: r}\noutput: {r: {type: object}}", "needs an output"),
        (
            "timeouts: {after: 1h, final_state: r}\nguard: {url: 'https://a.example/'}",
            "the guard is asked about",
        ),
        (
            "timeouts: {after: 1h, final_state: r}\ntransitions: {unset: [p, r], p: [unset]}",
            "final_state is r, but transitions lead there from p not",
        ),
        ("binds: /meta", "expected a list of JSON pointers"),
        ("binds: []", "is empty"),
        ("binds: [/state]", "\"/state\" is not a pointer into meta"),
        ("binds: [/metadata]", "is not a pointer into meta"),
        ("binds: [meta]", "it begins with /"),
        ("binds: [/meta/a, /meta/a]", "binds[1]: /meta/a is listed twice"),
        ("merge_key: user", "\"user\" is not a JSON pointer (RFC 6901): it begins with /"),
        ("merge_key: /a~2", "~ is written ~0"),
        ("merge_key: [/a, /b~]", "merge_key[1]: "),
        ("merge_key: {a: b}", "expected a JSON pointer into meta"),
    ] {
        let errors = refused(&with_type(lines));
        assert!(errors.contains(said), "{lines}: {errors}");
        assert_eq!(errors.lines().count(), 1, "{errors}");
    }
}

#[test]
fn keys_without_behaviour_have_shapes() {
    for (lines, said) in [
        ("undo: soon", "\"soon\" is not a duration such as 6s"),
        ("undo: 0s", "no time at all"),
        ("undo: 11000d", "longer than ten years"),
        ("undo: 99999999999999999999999w", "is not a duration"),
        ("undo: s", "is not a duration"),
        ("undo: 6é", "is not a duration"),
        ("undo: +6s", "is not a duration"),
        ("approvals: 0", "an integer from 1 to 20"),
        ("approvals: {p: 2}", "p is a pending state"),
        ("roles: [a b]", "roles[0]: \"a b\" is not a name"),
        ("priority: high", "an integer from"),
        ("priority: 2147483648", "an integer from"),
        ("actions: [{label: x}]", "actions[0].state: is missing"),
        ("actions: [{state: r, style: red}]", "not one of default, primary, danger"),
        ("actions: [{state: r, key: ab}]", "longer than 1 characters"),
        ("title: ''", "found empty text"),
    ] {
        let errors = refused(&with_type(lines));
        assert!(errors.contains(said), "{lines}: {errors}");
    }
    for (lines, said) in [
        ("callback_hosts: ['*']", "is not a host name"),
        ("callback_hosts: ['http://a']", "is not a host name"),
        ("calendar: {hours: 17:00-09:00}", "is not hours"),
        ("calendar: {days: [monday]}", "is not one of mon"),
        ("calendar: {holidays: [2030-02-30]}", "is not a date"),
        ("migrate: {tasks: some}", "not one of open, all"),
        ("retention: {}\ndescription: []", "expected a description, found a list"),
    ] {
        let errors = refused(&with_top(lines));
        assert!(errors.contains(said), "{lines}: {errors}");
    }
}

#[test]
fn sizes_are_limited() {
    let types = |n: usize| -> String {
        let list: Vec<_> = (0..n).map(|i| format!("- {{name: t{i}, resolved_states: [r]}}\n")).collect();
        format!("name: a\nsemver: 1\ntasktypes:\n{}", list.concat())
    };
    assert_eq!(valid(&types(200)).task_types.len(), 200);
    assert_eq!(refused(&types(201)), "line 4, column 3: tasktypes: has 201 items; at most 200 are allowed\n");
    let states = |n: usize| {
        let list: Vec<_> = (0..n).map(|i| format!("s{i}")).collect();
        with_top("").replace("[r]", &format!("[{}]", list.join(", ")))
    };
    assert_eq!(valid(&states(100)).task_types[0].resolved_states.len(), 100);
    assert!(refused(&states(101)).contains("the type has 101 states; at most 100"));
    assert!(refused(&with_top(&format!("description: {}", "x".repeat(10_001)))).contains("10000 characters"));
}

#[test]
fn of_very_many_errors_the_first_are_told() {
    let wrong: Vec<_> = (0..12_000).map(|i| format!("state-{i}: [x]")).collect();
    let states: Vec<_> = (0..98).map(|i| format!("state_{i}")).collect();
    let text = with_type(&format!("transitions: {{{}}}", wrong.join(", ")))
        .replace("[r, s]", &format!("[{}]", states.join(", ")));
    let errors = parse(&text).expect_err("none of them is a state");
    assert_eq!(errors.len(), findings::MAX_ERRORS);
    assert!(errors[findings::MAX_ERRORS - 1].message.contains("more errors"));
}
