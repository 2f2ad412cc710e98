//! A long queue, drained.

use super::page::{Page, Verdict};
use crate::chart::{Ink, Line, Lines};
use crate::part::drain::{Drain, Queue, Tenth};
use crate::stage::Engine;
use crate::statistics::number;

/// How many times as long as the first tenth, and its claims, the last may take.
const MOST: f64 = 1.5;

pub(super) fn add(page: &mut Page, drain: &Drain) {
    for queue in &drain.queues {
        let of_one = |tenth: Option<&Tenth>| tenth.map_or(0.0, Tenth::of_one);
        page.target(
            &format!("draining {}, {}", size(queue), queue.engine),
            &format!("a claim in the last tenth ≤ {MOST} × one in the first"),
            &format!(
                "{:.2} × ({:.2} ms beside {:.2} ms)",
                queue.ratio(),
                of_one(queue.tenths.last()),
                of_one(queue.tenths.first())
            ),
            Verdict::of(queue.ratio() <= MOST),
        );
        let seconds = |tenth: Option<&Tenth>| tenth.map_or(0.0, |tenth| tenth.seconds);
        page.target(
            "the same, all that it takes",
            &format!("the last tenth ≤ {MOST} × the first"),
            &format!(
                "{:.2} × ({:.1} s beside {:.1} s), {}/s",
                queue.ratio_in_all(),
                seconds(queue.tenths.last()),
                seconds(queue.tenths.first()),
                number(queue.deliveries as f64 / queue.seconds, 0)
            ),
            Verdict::of(queue.ratio_in_all() <= MOST),
        );
    }
    page.heading("A long queue");
    page.paragraph(
        "Every event is queued for every one of the registered endpoints, before the dispatcher starts; then it sends \
         them all, to one nginx process. A claim is one look for deliveries of one endpoint that are due, and its time \
         is what `/metrics` tells (`task_inbox_claim_duration_seconds`), by each tenth of the deliveries.",
    );
    page.chart("drain", "Time of a claim while a long queue is drained", chart(drain).svg());
    let rows: Vec<_> = drain
        .queues
        .iter()
        .flat_map(|queue| {
            let row = |(i, tenth): (usize, &Tenth)| {
                vec![
                    format!("{}, tenth {}", queue.engine, i + 1),
                    number(tenth.claims, 0),
                    number(tenth.rows, 0),
                    format!("{:.2} ms", tenth.of_one()),
                    format!("{:.1} s", tenth.seconds),
                ]
            };
            queue.tenths.iter().enumerate().map(row).collect::<Vec<_>>()
        })
        .collect();
    page.table(&["", "claims", "deliveries claimed", "one claim", "in all"], &rows);
}

fn size(queue: &Queue) -> String {
    format!(
        "{} deliveries over {} endpoints",
        number(queue.deliveries as f64, 0),
        number(queue.endpoints as f64, 0)
    )
}

fn chart(drain: &Drain) -> Lines {
    let line = |queue: &Queue| Line {
        name: queue.engine.to_string(),
        ink: if queue.engine == Engine::Postgres { Ink::Ours } else { Ink::Second },
        points: queue.tenths.iter().enumerate().map(|(i, tenth)| ((i + 1) as f64, tenth.of_one())).collect(),
        has_dots: true,
    };
    Lines {
        title: "Looking for what is due, while a long queue is drained".to_owned(),
        subtitle: drain.queues.first().map(size).unwrap_or_default(),
        across: "tenths of the deliveries",
        up: "milliseconds of one claim",
        drawn: drain.queues.iter().map(line).collect(),
        marks: Vec::new(),
        until: None,
        stops: (1..=10).map(f64::from).collect(),
    }
}
