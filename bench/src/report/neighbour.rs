//! Healthy endpoints beside one that hangs.

use super::page::{Page, Verdict};
use crate::chart::{Pair, Pairs};
use crate::part::neighbour::{Case, Neighbour};
use crate::statistics::{Latency, Runs, number};

/// How many times what it is without it the healthy ones' p99 may be.
const MOST: f64 = 2.0;

pub(super) fn add(page: &mut Page, neighbour: &Neighbour) {
    let Neighbour { healthy, queued, seconds, cases } = neighbour;
    for case in cases {
        page.target(
            &format!("webhooks beside a hanging endpoint, {}", name(case)),
            &format!("p99 ≤ {MOST} × what it is without it"),
            &format!(
                "{:.2} × ({:.1} ms beside {:.1} ms)",
                case.ratio(),
                p99(&case.beside).median(),
                p99(&case.alone).median()
            ),
            Verdict::of(case.ratio() <= MOST),
        );
    }
    page.heading("A noisy neighbour");
    page.paragraph(&format!(
        "{healthy} endpoints that answer at once get three hundred webhooks a second in all, for {seconds} s; beside \
         them is one that never answers, for which {} webhooks were queued just before. What counts is the time from \
         when a post was due to be sent to when its webhook arrived, for the healthy ones. The receiver, the posting \
         and the service share the machine.",
        number(*queued as f64, 0)
    ));
    page.chart("neighbour", "p99 of healthy endpoints without and beside one that hangs", chart(cases).svg());
    let rows: Vec<_> = cases
        .iter()
        .map(|case| {
            vec![
                name(case),
                format!("{:.1} ms", p50(&case.alone)),
                format!("{:.1} ms", p50(&case.beside)),
                format!("{:.1} ms", p99(&case.alone)),
                format!("{:.1} ms", p99(&case.beside)),
                format!("{:.2}", case.ratio()),
            ]
        })
        .collect();
    page.table(&["", "p50 without", "p50 beside", "p99 without", "p99 beside", "ratio of p99"], &rows);
}

fn name(case: &Case) -> String {
    let replicas =
        if case.replicas == 1 { "1 replica".to_owned() } else { format!("{} replicas", case.replicas) };
    format!("{}, {replicas}", case.engine)
}

fn p50(runs: &[Latency]) -> Runs {
    Runs::of(runs, |latency| latency.p50)
}

fn p99(runs: &[Latency]) -> Runs {
    Runs::of(runs, |latency| latency.p99)
}

fn chart(cases: &[Case]) -> Pairs {
    Pairs {
        title: "From a post to its webhook at healthy endpoints, p99".to_owned(),
        subtitle: "grey: without the endpoint that hangs; blue: beside it, with 10,000 webhooks queued there"
            .to_owned(),
        unit: "milliseconds",
        names: ("without it".to_owned(), "beside it".to_owned()),
        target: MOST,
        kinds: cases
            .iter()
            .map(|case| Pair {
                label: name(case),
                small: p99(&case.alone).median(),
                large: p99(&case.beside).median(),
            })
            .collect(),
    }
}
