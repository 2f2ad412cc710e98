//! Any text at all is read or refused, and what was written is read.

use proptest::prelude::*;

use super::tests::{AGENT, PAYOUT, SAMPLE, shown};
use super::*;
use crate::schema::UNSET;

/// Text that gets further than random characters do.
fn almost_yaml() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "name",
            "semver",
            "tasktypes",
            "resolved_states",
            "pending_states",
            "transitions",
            "input",
            "output",
            "hook_auth",
            "kind",
            "unset",
            ": ",
            "- ",
            "\n",
            "\n  ",
            "[",
            "]",
            "{",
            "}",
            ", ",
            "'",
            "\"",
            "|",
            ">",
            "&a ",
            "*a",
            "!t ",
            "? ",
            "~",
            "true",
            "1.10",
            "#",
            "---\n",
            "...\n",
            "%YAML 1.2\n",
            "<<",
            "\t",
            "\u{feff}",
            "\u{0}",
            "é",
        ])
        .prop_map(str::to_owned),
        ".{0,3}",
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

/// An example with some of it cut out, doubled or written over.
fn damaged() -> impl Strategy<Value = String> {
    let edit = (any::<prop::sample::Index>(), any::<prop::sample::Index>(), "[\\PC\n]{0,4}", 0..3);
    (prop::sample::select(vec![SAMPLE, AGENT, PAYOUT]), prop::collection::vec(edit, 1..4)).prop_map(
        |(text, edits)| {
            let mut chars: Vec<char> = text.chars().collect();
            for (at, length, insert, kind) in edits {
                let at = at.index(chars.len().max(1));
                let end = (at + length.index(12)).min(chars.len());
                let old: Vec<char> = chars[at.min(end)..end].to_vec();
                let new = match kind {
                    0 => Vec::new(),
                    1 => old.iter().chain(&old).copied().collect(),
                    _ => insert.chars().collect(),
                };
                chars.splice(at.min(end)..end, new);
            }
            chars.into_iter().collect()
        },
    )
}

/// A valid file, and what must be read from it.
#[derive(Clone, Debug)]
struct Generated {
    text: String,
    types: Vec<(String, Vec<String>, Vec<String>)>,
}

fn generated() -> impl Strategy<Value = Generated> {
    let name = "[A-Za-z0-9][A-Za-z0-9:_-]{0,20}".prop_filter("reserved", |n| {
        n != UNSET && !matches!(tree::meaning(n), tree::Plain::Bool(_) | tree::Plain::Null)
    });
    let states = prop::collection::btree_set(name.clone(), 1..8);
    let types = prop::collection::btree_map(name, (states, any::<prop::sample::Index>()), 1..5);
    (types, any::<[bool; 3]>()).prop_map(|(types, [flow, quoted, windows])| {
        let types: Vec<_> = types
            .into_iter()
            .map(|(name, (states, split))| {
                let mut pending: Vec<_> = states.into_iter().collect();
                let resolved = pending.split_off(split.index(pending.len()));
                (name, pending, resolved)
            })
            .collect();
        // A name that ends in a colon, or holds one in a flow list, must be quoted.
        let scalar = |s: &str| if quoted || s.contains(':') { format!("'{s}'") } else { s.to_owned() };
        let list = |items: &[String]| {
            if flow || items.is_empty() {
                let items: Vec<_> = items.iter().map(|s| scalar(s)).collect();
                format!(" [{}]", items.join(", "))
            } else {
                items.iter().flat_map(|s| ["\n  - ".to_owned(), scalar(s)]).collect()
            }
        };
        let mut text = "name: x\nsemver: 1\ntasktypes:\n".to_owned();
        for (name, pending, resolved) in &types {
            let (name, pending, resolved) = (scalar(name), list(pending), list(resolved));
            let lines =
                ["- name: ", &name, "\n  pending_states:", &pending, "\n  resolved_states:", &resolved, "\n"];
            text.extend(lines);
        }
        if windows {
            text = text.replace('\n', "\r\n");
        }
        Generated { text, types }
    })
}

fn places_are_real(text: &str) -> Result<(), TestCaseError> {
    if let Err(errors) = parse(text) {
        prop_assert!(!errors.is_empty() && errors.len() <= findings::MAX_ERRORS);
        let lines = text.split(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']).count() as u64;
        for error in &errors {
            prop_assert!(error.line >= 1 && error.line <= lines + 1, "{}", error);
            prop_assert!(error.column >= 1, "{}", error);
            prop_assert!(!error.message.is_empty());
        }
        prop_assert!(errors.is_sorted_by_key(|e| (e.line, e.column)));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,200}") {
        places_are_real(&text)?;
    }

    #[test]
    fn almost_yaml_is_read_or_refused(text in almost_yaml()) {
        places_are_real(&text)?;
    }

    #[test]
    fn damaged_files_are_read_or_refused(text in damaged()) {
        places_are_real(&text)?;
    }

    #[test]
    fn what_was_written_is_read(file in generated()) {
        let schema = parse(&file.text).map_err(|e| TestCaseError::fail(format!("{}\n{}", file.text, shown(&e))))?;
        let read: Vec<_> = schema
            .task_types
            .into_iter()
            .map(|t| (t.name, t.pending_states, t.resolved_states))
            .collect();
        prop_assert_eq!(read, file.types);
    }
}
