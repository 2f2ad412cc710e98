//! Which changes break, and which versions follow.

use super::*;
use crate::schema::parse::parse;
use crate::testing::indented;

const BASE: &str = "\
name: ti:a
semver: 1.2
default_hook_url: http://a/
tasktypes:
- name: t
  pending_states: [p, q]
  resolved_states: [r, s]
  reason_required: [s]
  input: {type: object, required: [a, b], properties: {a: {type: string}}}
  output:
    r: {type: object, required: [n]}
- name: u
  resolved_states: [r]
";

fn schema(text: &str) -> Schema {
    parse(text).unwrap_or_else(|e| panic!("{text}\n{e:?}"))
}

/// What differs after one replacement in the file.
fn after(from: &str, to: &str) -> Difference {
    assert!(BASE.contains(from), "{from}");
    compare(&schema(BASE), &schema(&BASE.replacen(from, to, 1)))
}

fn versions(list: &[&str]) -> Vec<SchemaVersion> {
    list.iter().map(|v| SchemaVersion::parse(v).expect(v)).collect()
}

#[test]
fn nothing_changed_is_no_change() {
    assert_eq!(compare(&schema(BASE), &schema(BASE)), Difference::default());
}

#[test]
fn breaking_changes_are_found() {
    for (from, to, line) in [
        ("- name: u\n  resolved_states: [r]\n", "", "breaking: u: the type is gone"),
        ("name: u", "name: v", "breaking: u: the type is gone"),
        ("[p, q]", "[p]", "breaking: t: the state q is gone"),
        ("[r, s]\n  reason_required: [s]", "[r]\n", "breaking: t: the state s is gone"),
        (
            "[p, q]\n  resolved_states: [r, s]",
            "[p]\n  resolved_states: [r, s, q]",
            "breaking: t: the state q was pending and is resolved now",
        ),
        (
            "[p, q]\n  resolved_states: [r, s]",
            "[p, q, s]\n  resolved_states: [r]",
            "breaking: t: the state s was resolved and is pending now",
        ),
        (
            "reason_required: [s]",
            "reason_required: true",
            "breaking: t.reason_required: r needs a reason now",
        ),
        (
            "reason_required: [s]",
            "transitions: {p: [r, s, q], unset: [p, q, r, s], r: [unset], s: [unset]}",
            "breaking: t.transitions: q no longer leads to unset, p, r, s",
        ),
        ("required: [a, b]", "required: [a, b, c]", "breaking: t.input: may refuse what it accepted before"),
        ("{a: {type: string}}", "{a: {type: string, maxLength: 3}}", "breaking: t.input: may refuse"),
        (
            "properties: {a: {type: string}}",
            "properties: {a: {type: string}}, additionalProperties: false",
            "breaking: t.input: may refuse",
        ),
        ("required: [n]", "required: [n, m]", "breaking: t.output.r: may refuse"),
        (
            "    r: {type: object, required: [n]}",
            "    r: {type: object, required: [n]}\n    s: {type: object}",
            "breaking: t.output.s: is checked now",
        ),
        ("default_hook_url: http://a/\n", "", "breaking: default_hook_url: is gone"),
        (
            "http://a/\n",
            "http://a/\nhook_auth: {kind: head, val: k}\n",
            "breaking: hook_auth: was hmac, is now head k",
        ),
        ("http://a/\n", "http://a/\nhook_body: output\n", "breaking: hook_body: is now output"),
        (
            "http://a/\n",
            "http://a/\nhook_events: [task.created]\n",
            "breaking: hook_events: task.state_changed is no longer sent",
        ),
        ("name: u\n", "name: u\n  hook_url: http://b/\n", "breaking: u.hook_url: "),
        (
            "name: u\n",
            "name: u\n  input: {type: object, required: [x]}\n",
            "breaking: u.input: is checked now",
        ),
        (
            "name: u\n",
            "name: u\n  guard: {url: 'http://b/'}\n",
            "breaking: u.guard: unset, r may be refused by the application server now",
        ),
        (
            "name: u\n",
            "name: u\n  binds: [/meta/a]\n",
            "breaking: u.binds: decisions are bound to /meta/a, too",
        ),
        (
            "name: u\n",
            "name: u\n  merge_key: [/a, /b]\n",
            "breaking: u.merge_key: tasks with the same /a, /b replace each other now",
        ),
    ] {
        let difference = after(from, to);
        let lines: Vec<_> = difference.changes.iter().map(ToString::to_string).collect();
        assert!(difference.breaking, "{to}: {lines:?}");
        assert!(lines.iter().any(|l| l.starts_with(line)), "{to}: {lines:?}");
        assert!(lines.iter().all(|l| !l.contains('\n')));
    }
}

#[test]
fn a_guard_that_lets_more_pass_is_breaking() {
    const GUARD: &str = "guard: {url: 'http://b/', states: [r]}";
    let with = |guard: &str| schema(&BASE.replace("name: u\n", &format!("name: u\n  {guard}\n")));
    for (to, line) in [
        ("title: U", "breaking: u.guard: the application server is not asked any more about r"),
        (
            "guard: {url: 'http://b/', states: [unset]}",
            "breaking: u.guard: the application server is not asked any more about r",
        ),
        (
            "guard: {url: 'http://b/', states: [unset, r]}",
            "breaking: u.guard: unset may be refused by the application server now",
        ),
        (
            "guard: {url: 'http://b/', states: [r], on_error: allow}",
            "breaking: u.guard: on_error is allow now",
        ),
        ("guard: {url: 'http://c/', states: [r]}", "u.guard: is asked at http://c/ now"),
        ("guard: {url: 'http://b/', states: [r], timeout: 9s}", "u.guard: waits 9 s now"),
    ] {
        let difference = compare(&with(GUARD), &with(to));
        let lines: Vec<_> = difference.changes.iter().map(ToString::to_string).collect();
        assert!(lines.iter().any(|l| l == line), "{to}: {lines:?}");
        assert_eq!(difference.breaking, line.starts_with("breaking"), "{to}: {lines:?}");
    }
    let allow = "guard: {url: 'http://b/', states: [r], on_error: allow}";
    let difference = compare(&with(allow), &with(GUARD));
    assert_eq!(difference.changes.len(), 1);
    assert!(!difference.breaking, "denying is what a guard is for");
}

#[test]
fn harmless_changes_are_told_and_pass() {
    for (from, to, line) in [
        ("name: u\n", "name: u\n  title: U\n", "u: title or description changed"),
        ("- name: u", "- name: v\n  resolved_states: [r]\n- name: u", "v: the type is new"),
        ("[p, q]", "[p, q, x]", "t: the state x is new"),
        ("  reason_required: [s]\n", "", "t.reason_required: s needs no reason any more"),
        ("required: [a, b]", "required: [b]", "t.input: accepts all that it did"),
        (
            "{a: {type: string}}",
            "{a: {type: string}, c: {type: integer}}",
            "t.input: accepts all that it did",
        ),
        ("{a: {type: string}}", "{a: {type: [string, 'null']}}", "t.input: accepts all that it did"),
        (
            "  input: {type: object, required: [a, b], properties: {a: {type: string}}}\n",
            "",
            "t.input: is not checked any more",
        ),
        ("name: u\n", "name: u\n  input: {description: anything}\n", "u.input: is described"),
        (
            "    r: {type: object, required: [n]}",
            "    r: {type: object}",
            "t.output.r: accepts all that it did",
        ),
        ("http://a/", "http://b/", "default_hook_url: is now http://b/"),
        (
            "http://a/\n",
            "http://a/\nhook_events: [task.created, task.state_changed]\n",
            "hook_events: task.created is sent, too",
        ),
        ("http://a/\n", "http://a/\ndescription: x\n", "description: changed"),
        (
            "name: u\n",
            "name: u\n  transitions: {unset: [r], r: [unset, r]}\n",
            "u.transitions: r now leads to r",
        ),
        ("name: t\n", "name: t\n  initial_state: p\n", "t.initial_state: is now p"),
        ("name: u\n", "name: u\n  hook_events: []\n", "u.hook_events: changed"),
    ] {
        let difference = after(from, to);
        let lines: Vec<_> = difference.changes.iter().map(ToString::to_string).collect();
        assert!(!difference.breaking, "{to}: {lines:?}");
        assert!(lines.iter().any(|l| l.starts_with(line)), "{to}: {lines:?}");
    }
}

#[test]
fn order_and_spelling_are_no_change() {
    assert_eq!(after("[p, q]", "[q, p]"), Difference::default());
    assert_eq!(
        after("name: u\n", "name: u\n  transitions: {unset: [r], r: [unset]}\n"),
        Difference::default()
    );
}

#[test]
fn the_first_version_may_be_any() {
    assert_eq!(check_install(&[], None, &schema(BASE), false), Ok(Difference::default()));
}

#[test]
fn versions_are_immutable_and_rise() {
    let new = schema(BASE);
    let refused = |installed: &[&str], force| {
        check_install(&versions(installed), None, &new, force).expect_err("refused").to_string()
    };
    for force in [false, true] {
        assert_eq!(
            refused(&["1", "v1.2.0", "2"], force),
            "version v1.2.0 is installed already, and a version never changes; give the file a greater semver"
        );
        assert_eq!(
            refused(&["1", "1.10", "1.3"], force),
            "version 1.2 is not greater than the latest, 1.10; give the file a greater semver"
        );
    }
    assert!(check_install(&versions(&["1", "1.1"]), None, &new, false).is_ok());
}

#[test]
fn breaking_needs_a_greater_major_or_force() {
    let install = |old: &str, new: &str, force| {
        let old = schema(&BASE.replace("1.2", old));
        let new = schema(&BASE.replace("1.2", new).replace("[p, q]", "[p]"));
        check_install(std::slice::from_ref(&old.version), Some(&old), &new, force)
    };
    let refusal = install("1.2", "1.3", false).expect_err("breaking");
    let message = refusal.to_string();
    assert!(
        message.contains("t: the state q is gone") && message.contains("raise the major version"),
        "{message}"
    );
    assert!(!message.contains('\n'));
    assert!(matches!(refusal, InstallRefusal::BreakingWithoutMajor { difference } if difference.breaking));
    assert!(install("1.2", "1.3", true).expect("forced").breaking);
    assert!(install("1.2", "2", false).expect("major").breaking);
    assert!(install("0.1", "0.1.1", false).is_err());
    assert!(install("0.1", "0.2", false).is_ok());
    assert!(install("0.9", "1", false).is_ok());
}

#[test]
fn harmless_passes_with_a_patch() {
    let old = schema(BASE);
    let new = schema(&BASE.replace("1.2", "1.2.1").replace("[p, q]", "[p, q, x]"));
    let difference =
        check_install(std::slice::from_ref(&old.version), Some(&old), &new, false).expect("harmless");
    assert_eq!(difference.changes.len(), 1, "{difference:?}");
}

#[test]
fn what_is_not_acted_on_is_not_installed() {
    let new = schema(&format!("{BASE}  undo: 6s\n  approvals: 2\n"));
    for force in [false, true] {
        let refusal = check_install(&[], None, &new, force).expect_err("refused");
        assert_eq!(
            refusal.to_string(),
            "this build does not act on tasktypes[1].undo (line 14, column 3), tasktypes[1].approvals (line 15, \
             column 3); take it out, or install a build that does"
        );
    }
}

#[test]
fn what_happens_while_a_task_waits_is_compared() {
    let with = |lines: &str| schema(&BASE.replace("name: u\n", &format!("name: u\n{}", indented(lines))));
    let told = |from: &str, to: &str| -> Vec<String> {
        compare(&with(from), &with(to)).changes.iter().map(ToString::to_string).collect()
    };
    assert_eq!(
        told("title: u", "title: u\ntimeouts: {after: 1h, final_state: r}"),
        ["u.timeouts: tasks that nobody decides go to r after 1h now"]
    );
    assert_eq!(
        told("timeouts: {after: 1h, final_state: r}", "timeouts: {after: 1h}"),
        ["breaking: u.timeouts: tasks expire after 1h now"]
    );
    assert_eq!(
        told("timeouts: {after: 1h}", "timeouts: {after: 90m}"),
        ["u.timeouts: tasks expire after 90m now"]
    );
    assert_eq!(
        told("timeouts: {after: 1h}", "x-note: none"),
        ["breaking: u.timeouts: tasks wait for ever now"]
    );
    assert_eq!(
        told("binds: [/meta/a]", "binds: [/meta/a, /meta/b]"),
        ["u.binds: decisions are bound to /meta/b, too"]
    );
    assert_eq!(
        told("binds: [/meta/a]\nmerge_key: /a", "title: u"),
        [
            "u: title or description changed",
            "breaking: u.binds: decisions are not bound to /meta/a any more",
            "breaking: u.merge_key: tasks don't replace each other any more",
        ]
    );
}
