//! The page's code blocks, and whether a text is what a block shows.

use regex::Regex;

/// What a block holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// To be entered: `sh`.
    Commands,
    /// What was printed: `text` or `json`.
    Output,
}

/// A fenced block. Words behind its language say `terminal=NAME` and `only=RECEIVER`.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) kind: Kind,
    pub(crate) line: usize,
    pub(crate) text: String,
    words: Vec<String>,
}

impl Block {
    fn word(&self, name: &str) -> Option<&str> {
        self.words.iter().find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
    }

    /// Which terminal it belongs to; empty is the main one.
    pub(crate) fn terminal(&self) -> &str {
        self.word("terminal").unwrap_or_default()
    }

    /// Whether it is for the readers who chose this receiver.
    pub(crate) fn is_for(&self, receiver: &str) -> bool {
        self.word("only").is_none_or(|only| only == receiver)
    }
}

/// Every fenced block of a page.
pub(crate) fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = page.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let Some(info) = line.strip_prefix("```") else { continue };
        let mut words = info.split_whitespace().map(str::to_owned);
        let kind = match words.next().as_deref() {
            Some("sh") => Kind::Commands,
            Some("text" | "json") => Kind::Output,
            other => panic!("line {}: a block of {other:?}, which is never checked", number + 1),
        };
        let inside = lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```");
        let text = inside.flat_map(|line| [line, "\n"]).collect();
        blocks.push(Block { kind, line: number + 1, text, words: words.collect() });
    }
    blocks
}

/// What differs at every run, by its shape.
const SHAPES: [(&str, &str); 5] = [
    (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "{id}"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", "{time}"),
    (r"\bti_[A-Za-z0-9_-]{43}", "{api key}"),
    (r"\bwhsec_[A-Za-z0-9+/]{43}=", "{webhook key}"),
    (r#""(next_cursor|cursor)": ?"[A-Za-z0-9_-]+""#, "{cursor}"),
];

/// Whether what was printed is what is shown, but for what differs at every run. A `…` stands for
/// anything within its line.
pub(crate) fn is_as_shown(printed: &str, shown: &str) -> bool {
    let [printed, shown] = [printed, shown].map(|text| {
        SHAPES.iter().fold(text.trim_end().to_owned(), |text, (shape, name)| {
            Regex::new(shape).unwrap().replace_all(&text, *name).into_owned()
        })
    });
    let pattern: Vec<_> = shown.split('…').map(regex::escape).collect();
    Regex::new(&format!("^{}$", pattern.join(".*"))).unwrap().is_match(&printed)
}

#[test]
fn shapes_match_and_words_do_not() {
    let id = "01a1fcff-1738-7249-afb1-3080e581513b";
    assert!(is_as_shown(&format!("a {id}\n"), "a 00000000-0000-0000-0000-000000000000"));
    assert!(is_as_shown("\"detail\": \"no (really)\"", "\"detail\": \"…\""));
    for (printed, shown) in [("a b", "a c"), ("a\nb", "a…"), ("a", "a\nb"), ("xa", "a"), (id, "an id")] {
        assert!(!is_as_shown(printed, shown), "{printed:?} as {shown:?}");
    }
}
