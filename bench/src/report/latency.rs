//! Idle latency.

use super::page::{Page, Verdict};
use crate::chart::{Ink, Line, Lines, Mark};
use crate::part::latency::{Latencies, OnEngine, Times};
use crate::statistics::percentile;

/// Milliseconds that the service may add to a commit and a POST.
const MOST: f64 = 1.0;

pub(super) fn add(page: &mut Page, latencies: &Latencies) {
    page.heading("Idle latency");
    page.paragraph(
        "One decision at a time on a server that does nothing else: from the PATCH sent to the webhook's last byte \
         received. In turn with what nobody can do without: a bare commit (one small row by a prepared statement, \
         on the same database) and a bare POST (a body as long, by the same HTTP client, to the same receiver, \
         from sent to received). Client and receiver are one process, so that one clock is read. After each, the \
         server has 75 ms to be idle again.",
    );
    for on in &latencies.engines {
        let added = on.webhook.all.p50 - on.limit();
        let side = if added < 0.0 { "below" } else { "above" };
        page.target(
            &format!("idle, from PATCH to webhook received, {}", on.engine),
            &format!("median ≤ {MOST} ms above a bare commit and a bare POST"),
            &format!(
                "{:.2} ms {side} ({:.2} ms beside {:.2} ms)",
                added.abs(),
                on.webhook.all.p50,
                on.limit()
            ),
            Verdict::of(added <= MOST),
        );
        let name = format!("latency-{}", on.engine.to_string().to_lowercase());
        let alt = format!("Idle latency on {}", on.engine);
        page.chart(&name, &alt, chart(on).svg());
    }
    let rows: Vec<_> = latencies
        .engines
        .iter()
        .flat_map(|on| {
            [
                ("bare commit", &on.commit),
                ("bare POST, sent to received", &on.post),
                ("PATCH sent to answered", &on.answered),
                ("PATCH sent to webhook received", &on.webhook),
            ]
            .map(|(name, times)| row(&format!("{}: {name}", on.engine), times))
        })
        .collect();
    page.table(&["milliseconds", "median (each run's)", "p90", "p99", "samples"], &rows);
}

fn row(name: &str, times: &Times) -> Vec<String> {
    let Times { medians, all, .. } = times;
    let runs: Vec<_> = medians.each().iter().map(|median| format!("{median:.2}")).collect();
    vec![
        name.to_owned(),
        format!("{:.2} ({})", all.p50, runs.join(", ")),
        format!("{:.2}", all.p90),
        format!("{:.2}", all.p99),
        all.samples.to_string(),
    ]
}

fn chart(on: &OnEngine) -> Lines {
    let line = |name: &str, ink, times: &Times| Line {
        name: format!("{name}: {:.2} ms", times.all.p50),
        ink,
        points: times
            .percentiles
            .iter()
            .enumerate()
            .map(|(at, milliseconds)| (*milliseconds, at as f64 + 1.0))
            .collect(),
        has_dots: false,
    };
    let target = on.limit() + MOST;
    let engine = on.engine;
    Lines {
        title: format!("Idle latency, {engine}"),
        subtitle: "how many of 100 took at most so long; the legend has the medians".to_owned(),
        across: "milliseconds",
        up: "of 100",
        drawn: vec![
            line("bare commit", Ink::Limit, &on.commit),
            line("bare POST", Ink::Third, &on.post),
            line("PATCH to answer", Ink::Second, &on.answered),
            line("PATCH to webhook", Ink::Ours, &on.webhook),
        ],
        marks: vec![Mark::Across(target, format!("target for its median: {target:.2} ms"))],
        // The slowest would squeeze what matters into a corner; the table has them.
        until: Some((target * 1.3).max(percentile(&on.webhook.percentiles, 95.0))),
        stops: Vec::new(),
    }
}
