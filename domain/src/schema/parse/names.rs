//! Names, and what somebody may have meant who wrote another.

use super::findings::Findings;
use super::read::At;

/// What a schema, type or state may be called.
pub const RULE: &str = "1 to 64 letters, digits, or any of : _ -, beginning with a letter or digit";

/// The longest name, in characters.
const MAX_NAME: usize = 64;

/// Whether a schema, type or state may be called so.
pub fn is_name(text: &str) -> bool {
    text.len() <= MAX_NAME
        && text.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric)
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b":_-".contains(&b))
}

/// Reads a name.
pub(super) fn name<'a>(at: &At<'a>, findings: &mut Findings, what: &str) -> Option<&'a str> {
    let text = at.text(findings, what)?;
    if !is_name(text) {
        at.error(findings, format!("{} is not a name: {RULE}", quoted(text)));
        return None;
    }
    Some(text)
}

/// Text in quotes, cut where it gets long.
pub(super) fn quoted(text: &str) -> String {
    match text.char_indices().nth(MAX_NAME) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// `; did you mean …?`, or nothing: for who wrote a word that is none of these.
pub fn nearest(text: &str, known: &[&str]) -> String {
    let plain = |s: &str| s.to_ascii_lowercase().replace('-', "_");
    let text = plain(text);
    // Nobody misspells a word so badly, and comparing is quadratic.
    if text.len() > MAX_NAME {
        return String::new();
    }
    let nearest = known
        .iter()
        .filter(|word| text.len().abs_diff(word.len()) <= 3)
        .map(|word| (distance(&text, &plain(word)), *word))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, word)| *distance <= (word.len() / 3).min(3));
    nearest.map_or_else(String::new, |(_, word)| format!("; did you mean {word}?"))
}

/// Edits between two words: inserted, removed, replaced or swapped neighbouring letters.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    rows[0] = (0..=b.len()).collect();
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = least;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_rule() {
        for name in ["a", "0", "ti:sample", "delete-acct", "level_1", &"a".repeat(64)] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "-a", ":a", "_a", "a b", "é", "a.b", "a/b", &"a".repeat(65)] {
            assert!(!is_name(name), "{name}");
        }
    }

    #[test]
    fn counts_edits() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("ab", "ba"), 1);
        assert_eq!(distance("same", "same"), 0);
    }

    #[test]
    fn suggests_near_misses_only() {
        let known = ["resolved_states", "name", "undo"];
        assert_eq!(nearest("resolved-states", &known), "; did you mean resolved_states?");
        assert_eq!(nearest("ResolvedStates", &known), "; did you mean resolved_states?");
        assert_eq!(nearest("nmae", &known), "; did you mean name?");
        assert_eq!(nearest("colour", &known), "");
        assert_eq!(nearest("x", &known), "");
        assert_eq!(nearest(&"n".repeat(300), &known), "");
    }
}
