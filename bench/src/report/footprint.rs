//! Memory, and the time from start to ready.

use super::page::{Page, Verdict};
use crate::chart::{Ink, Line, Lines, Mark};
use crate::part::footprint::{Footprint, megabytes};
use crate::stage::Engine;
use crate::statistics::number;

/// Megabytes, idle and after the posts.
const IDLE: f64 = 30.0;
const AFTER: f64 = 80.0;
/// Milliseconds from spawn to ready.
const START: f64 = 150.0;

pub(super) fn add(page: &mut Page, footprint: &Footprint) {
    let Footprint { posts, connections, engines } = footprint;
    let posts = number(*posts as f64, 0);
    page.heading("Memory and start");
    page.paragraph(&format!(
        "Resident memory of the server's process (`VmRSS`, millions of bytes): 5 s after its start, each second \
         while {connections} connections post {posts} tasks, and 5 s after the last. A start is measured from the \
         spawn of the process until `GET /health/ready` answers 200, on a migrated, empty database; the binary is \
         in the page cache."
    ));
    for on in engines {
        let engine = on.engine;
        let (idle, after) = (megabytes(on.idle), megabytes(on.after));
        let aims = [
            (format!("memory idle, {engine}"), IDLE, idle, "MB", 1),
            (format!("memory after {posts} posts, {engine}"), AFTER, after, "MB", 1),
            (format!("start to ready, {engine}"), START, on.start.median(), "ms", 0),
        ];
        for (what, most, measured, unit, digits) in aims {
            let sign = if unit == "ms" { "<" } else { "≤" };
            page.target(
                &what,
                &format!("{sign} {most:.0} {unit}"),
                &format!("{measured:.digits$} {unit}"),
                Verdict::of(if unit == "ms" { measured < most } else { measured <= most }),
            );
        }
    }
    page.chart("memory", "Memory while tasks are posted", chart(footprint, &posts).svg());
    let rows: Vec<_> = engines
        .iter()
        .map(|on| {
            vec![
                on.engine.to_string(),
                format!("{:.1} MB ({:.1} MB)", megabytes(on.idle), megabytes(on.idle_anonymous)),
                format!("{:.1} MB", megabytes(on.after)),
                format!("{:.1} MB", megabytes(on.peak)),
                format!("{}/s", number(on.measured.rate(), 0)),
                format!("{:.0} ms", on.start),
                format!("{:.0} ms", on.start_full.median()),
            ]
        })
        .collect();
    page.table(
        &[
            "",
            "idle (of that, not pages of its program)",
            &format!("after {posts} posts"),
            "at most",
            "posted at",
            "start to ready, empty database (each)",
            &format!("with {posts} tasks in it"),
        ],
        &rows,
    );
}

fn chart(footprint: &Footprint, posts: &str) -> Lines {
    let lines = footprint.engines.iter().map(|on| Line {
        name: on.engine.to_string(),
        ink: match on.engine {
            Engine::Postgres => Ink::Ours,
            Engine::Sqlite => Ink::Second,
        },
        points: on.course.iter().map(|(seconds, bytes)| (*seconds, megabytes(*bytes))).collect(),
        has_dots: false,
    });
    Lines {
        title: format!("Memory while {posts} tasks are posted"),
        subtitle: "resident memory of the server; the last 5 s are idle".to_owned(),
        across: "seconds",
        up: "MB",
        drawn: lines.collect(),
        marks: vec![Mark::Level(AFTER, format!("target: {AFTER:.0} MB"))],
        until: None,
        stops: Vec::new(),
    }
}
