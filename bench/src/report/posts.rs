//! Posts per second.

use super::page::{Page, Verdict};
use crate::chart::{Bar, Bars, Ink};
use crate::load::Measured;
use crate::part::posts::{Cell, FEW, MANY, Posts};
use crate::stage::Engine;
use crate::statistics::{Runs, number};

/// The least multiples of pgbench's transactions, with few and with many connections.
const BESIDE_PGBENCH: [(usize, f64); 2] = [(FEW, 1.5), (MANY, 2.0)];
/// The least posts per second on SQLite, where the disk makes so many writes durable.
const ON_SQLITE: (f64, f64) = (12_000.0, 10_000.0);
/// The least multiple of the figure on PostgreSQL.
const BESIDE_POSTGRES: f64 = 1.2;

pub(super) fn add(page: &mut Page, posts: &Posts) {
    page.heading("Posts");
    page.paragraph(&format!(
        "As many connections as told, each with one post under way, for {} s after 2 s of warm-up; in turn with \
         pgbench's transaction of three inserts (rows shaped like a task, its event and a delivery; `-M prepared \
         -j 1`, as many connections) and with `pg_test_fsync` (one 8 KiB write and fdatasync, on the disk that \
         holds the databases).",
        posts.seconds
    ));
    targets(page, posts);
    page.chart("posts", "Posts per second beside pgbench and fdatasync", chart(posts).svg());
    let mut rows = Vec::new();
    for (connections, rate, latency) in &posts.pgbench {
        let name = format!("PostgreSQL: pgbench's transactions, {connections} connections");
        let mut row = vec![name, rate.to_string(), "1".to_owned()];
        row.extend([format!("{:.1} ms on average", latency.median()), String::new(), String::new()]);
        rows.push(row);
    }
    let name = "SQLite's disk: writes with fdatasync, one by one".to_owned();
    let mut row = vec![name, posts.fdatasync.to_string(), "1".to_owned()];
    row.extend([String::new(), String::new(), String::new()]);
    rows.push(row);
    rows.extend(posts.cells.iter().map(|cell| row_of(posts, cell)));
    page.table(
        &["", "per second", "beside its limit", "p50", "p99", "CPU of one: server, load generator, database"],
        &rows,
    );
}

fn targets(page: &mut Page, posts: &Posts) {
    for (connections, least) in BESIDE_PGBENCH {
        let Some((cell, limit)) = posts.cell(Engine::Postgres, connections).zip(posts.pgbench(connections))
        else {
            continue;
        };
        let ratio = cell.rate().median() / limit.median();
        page.target(
            &format!("posts on PostgreSQL, {connections} connections"),
            &format!("≥ {least} × pgbench's three inserts, {connections} connections"),
            &format!("{ratio:.2} × ({}/s beside {}/s)", shown(&cell.rate()), shown(limit)),
            Verdict::of(ratio >= least),
        );
    }
    let Some(cell) = posts.cell(Engine::Sqlite, FEW) else { return };
    let (rate, disk) = (cell.rate().median(), posts.fdatasync.median());
    let (least, fast) = ON_SQLITE;
    let verdict = if rate >= least || disk >= fast {
        Verdict::of(rate >= least)
    } else {
        Verdict::NotHere(format!("not for this disk: {}/s", number(disk, 0)))
    };
    page.target(
        &format!("posts on SQLite, {FEW} connections"),
        &format!("≥ {}/s where fdatasync shows ≥ {}/s", number(least, 0), number(fast, 0)),
        &format!("{}/s, fdatasync {}/s", number(rate, 0), number(disk, 0)),
        verdict,
    );
    if let Some(postgres) = posts.cell(Engine::Postgres, FEW) {
        let ratio = rate / postgres.rate().median();
        page.target(
            "the same",
            &format!("≥ {BESIDE_POSTGRES} × the figure on PostgreSQL"),
            &format!("{ratio:.2} ×"),
            Verdict::of(ratio >= BESIDE_POSTGRES),
        );
    }
}

fn shown(runs: &Runs) -> String {
    number(runs.median(), 0)
}

fn limit<'a>(posts: &'a Posts, cell: &Cell) -> Option<&'a Runs> {
    match cell.engine {
        Engine::Postgres => posts.pgbench(cell.connections),
        Engine::Sqlite => Some(&posts.fdatasync),
    }
}

fn row_of(posts: &Posts, cell: &Cell) -> Vec<String> {
    let Cell { engine, connections, variant, runs } = cell;
    let median = |figure: fn(&Measured) -> f64| Runs::of(runs, figure).median();
    let ratio = limit(posts, cell).map_or(0.0, |limit| cell.rate().median() / limit.median());
    let mut cpu = vec![median(|run| run.cpu_of_one().server), median(|run| run.cpu_of_one().load)];
    if *engine == Engine::Postgres {
        cpu.push(median(|run| run.cpu_of_one().database));
    }
    let cpu: Vec<_> = cpu.iter().map(|micros| format!("{micros:.0} µs")).collect();
    vec![
        format!("{engine}: {}, {connections} connections", variant.title()),
        cell.rate().to_string(),
        format!("{ratio:.2}"),
        format!("{:.1} ms", median(|run| run.latency.p50)),
        format!("{:.1} ms", median(|run| run.latency.p99)),
        cpu.join(", "),
    ]
}

fn chart(posts: &Posts) -> Bars {
    let ours = |cell: &Cell, target: Option<(f64, String)>| Bar {
        label: "task-inbox".to_owned(),
        runs: cell.rate(),
        ink: Ink::Ours,
        target,
    };
    let mut groups = Vec::new();
    for (connections, least) in BESIDE_PGBENCH {
        let mut bars = Vec::new();
        if let Some(limit) = posts.pgbench(connections) {
            let label = "pgbench, three inserts".to_owned();
            bars.push(Bar { label, runs: limit.clone(), ink: Ink::Limit, target: None });
            let target = (limit.median() * least, format!("{least} ×"));
            bars.extend(posts.cell(Engine::Postgres, connections).map(|cell| ours(cell, Some(target))));
        }
        groups.push((format!("PostgreSQL, {connections} connections"), bars));
    }
    let postgres = posts.cell(Engine::Postgres, FEW).map_or(0.0, |cell| cell.rate().median());
    let target = (postgres * BESIDE_POSTGRES, format!("{BESIDE_POSTGRES} ×"));
    let label = "fdatasync, one by one".to_owned();
    let mut bars = vec![Bar { label, runs: posts.fdatasync.clone(), ink: Ink::Limit, target: None }];
    bars.extend(posts.cell(Engine::Sqlite, FEW).map(|cell| ours(cell, Some(target))));
    let heading = format!("SQLite, {FEW} connections; the target is a multiple of the figure on PostgreSQL");
    groups.push((heading, bars));
    Bars {
        title: "Posts per second".to_owned(),
        subtitle:
            "blue: the service; grey: what the machine does without it; thin line: least and most of the runs"
                .to_owned(),
        unit: "per second",
        groups,
    }
}
