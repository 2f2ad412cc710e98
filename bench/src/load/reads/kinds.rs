//! Every kind of read: each filter by itself, those that the inbox combines, and positions.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::Site;
use crate::fill;

/// A kind of read: its name, and the path and query of one that `chance` chooses.
pub(super) type Kind = (&'static str, fn(&Site, u64) -> String);

pub(super) const KINDS: &[Kind] = &[
    ("get", |site, chance| format!("tasks/{}", any_task(site, chance))),
    ("history", |site, chance| format!("tasks/{}/history", any_task(site, chance))),
    ("list", |_, _| "tasks?limit=100".to_owned()),
    ("list, cursor in the last half", |site, chance| {
        format!("tasks?limit=100&cursor={}", late_cursor(site, chance))
    }),
    ("list resolved=un", |_, _| "tasks?resolved=un&limit=20".to_owned()),
    ("list resolved=un, cursor", |site, _| {
        format!("tasks?resolved=un&limit=20&cursor={}", task_cursor(site.tasks - site.tasks / 20))
    }),
    ("list resolved=un, schema of 20 %", |_, _| "tasks?resolved=un&schema=ti:payments&limit=10".to_owned()),
    ("list resolved=un, schema and ttype", |_, _| {
        "tasks?resolved=un&schema=ti:bench&ttype=refund&limit=10".to_owned()
    }),
    ("list schema of 70 %", |_, _| "tasks?schema=ti:bench&limit=20".to_owned()),
    ("list schema of 1 %", |_, _| "tasks?schema=ti:agents&limit=20".to_owned()),
    ("list schema of 1 %, cursor", |site, chance| {
        format!("tasks?schema=ti:agents&limit=20&cursor={}", late_cursor(site, chance))
    }),
    ("list schema and ttype", |_, _| "tasks?schema=ti:agents&ttype=refund&limit=20".to_owned()),
    ("list schema and ttype, cursor", |site, chance| {
        format!("tasks?schema=ti:accounts&ttype=refund&limit=20&cursor={}", late_cursor(site, chance))
    }),
    ("list ttype", |_, _| "tasks?ttype=refund&limit=20".to_owned()),
    ("list state=block", |_, _| "tasks?state=block&limit=20".to_owned()),
    ("list state=level2 (open: the newest)", |_, _| "tasks?state=level2&limit=20".to_owned()),
    ("list state=escalated (none is)", |_, _| "tasks?state=escalated&limit=20".to_owned()),
    ("list phase=open", |_, _| "tasks?phase=open&limit=20".to_owned()),
    ("list phase=resolved", |_, _| "tasks?phase=resolved&limit=20".to_owned()),
    ("list phase=cancelled (none is)", |_, _| "tasks?phase=cancelled&limit=20".to_owned()),
    ("list assignee", |_, chance| {
        format!("tasks?assignee={}&limit=20", fill::assignee(chance % fill::ASSIGNEES))
    }),
    ("list assignee, cursor", |site, chance| {
        let (user, cursor) = (fill::assignee(chance % fill::ASSIGNEES), late_cursor(site, chance));
        format!("tasks?assignee={user}&limit=20&cursor={cursor}")
    }),
    ("list resolved=un, assignee", |_, chance| {
        format!("tasks?assignee={}&resolved=un&limit=2", fill::assignee(chance % fill::ASSIGNEES))
    }),
    ("list external_id", |site, chance| {
        format!("tasks?external_id={}", fill::external_id(chance % site.tasks))
    }),
    ("events from the beginning", |_, _| "events?limit=100".to_owned()),
    ("events from the middle", |site, _| format!("events?limit=100&after={}", log_cursor(site.events / 2))),
    ("events at the end", |site, _| format!("events?limit=100&after={}", log_cursor(site.events - 100))),
    ("events of a schema of 70 %", |site, chance| {
        format!("events?schema=ti:bench&limit=100&after={}", any_place(site, chance))
    }),
    ("events of a schema of 1 %", |site, chance| {
        format!("events?schema=ti:agents&limit=20&after={}", any_place(site, chance))
    }),
    ("events of a task, its last", |site, chance| {
        let number = chance % site.tasks;
        // A bit before it was posted.
        let place = number.saturating_sub(1) * 3 + 1;
        format!("events?task={}&after={}", fill::task_id(number), log_cursor(place))
    }),
    ("events of a task, from the beginning", |site, chance| {
        format!("events?task={}", any_task(site, chance))
    }),
];

fn any_task(site: &Site, chance: u64) -> String {
    fill::task_id(chance % site.tasks)
}

/// Somewhere after the first half, with enough tasks behind it.
fn late_cursor(site: &Site, chance: u64) -> String {
    task_cursor(site.tasks / 2 + chance % (site.tasks / 8))
}

fn any_place(site: &Site, chance: u64) -> String {
    log_cursor(chance % (site.events / 2))
}

/// Cursors are opaque to clients; to make one for a place that was never listed, their form is
/// needed: a byte for the kind, then the place.
fn task_cursor(number: u64) -> String {
    let digits = fill::task_id(number).replace('-', "");
    let byte = |at: usize| digits.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
    let id = (0..digits.len()).step_by(2).filter_map(byte);
    BASE64_URL_SAFE_NO_PAD.encode(std::iter::once(2).chain(id).collect::<Vec<u8>>())
}

fn log_cursor(seq: u64) -> String {
    let mut bytes = vec![1];
    bytes.extend(seq.to_be_bytes());
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}
