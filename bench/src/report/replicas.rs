//! Write rate by number of replicas.

use super::page::{Page, Verdict};
use crate::chart::{Ink, Line, Lines};
use crate::load::Measured;
use crate::part::replicas::{Number, Replicas};
use crate::statistics::{Runs, number};

/// Less than this multiple of the rate of fewer replicas is a fall; between is what runs differ by.
const LEAST: f64 = 0.95;

pub(super) fn add(page: &mut Page, replicas: &Replicas) {
    let Replicas { connections, seconds, numbers } = replicas;
    page.heading("Replicas");
    page.paragraph(&format!(
        "Servers on one PostgreSQL, each behind a proxy that adds 0.5 ms to every byte in each direction, so that \
         a round trip takes 1 ms longer however much it carries. {connections} connections in all post for \
         {seconds} s after 2 s of warm-up, the same share to each server. All of them share the cores, too: \
         replicas add availability, and must not cost writes."
    ));
    let rates: Vec<f64> = numbers.iter().map(|number| number.rate().median()).collect();
    let falls = rates.windows(2).any(|pair| pair[1] < pair[0] * LEAST);
    let shown: Vec<_> = numbers
        .iter()
        .zip(&rates)
        .map(|(replicas, rate)| format!("{}: {}/s", replicas.replicas, number(*rate, 0)))
        .collect();
    page.target(
        "write rate with 1, 2 and 4 replicas, 1 ms added to each round trip",
        &format!("doesn't fall (by more than the {:.0} % that runs differ by)", (1.0 - LEAST) * 100.0),
        &shown.join(", "),
        Verdict::of(!falls),
    );
    page.chart("replicas", "Posts per second by number of replicas", chart(numbers).svg());
    let rows: Vec<_> = numbers
        .iter()
        .map(|number| {
            let median = |figure: fn(&Measured) -> f64| Runs::of(&number.runs, figure).median();
            vec![
                number.replicas.to_string(),
                number.rate().to_string(),
                format!("{:.1} ms", median(|run| run.latency.p50)),
                format!("{:.1} ms", median(|run| run.latency.p99)),
                format!(
                    "{:.0} µs, {:.0} µs",
                    median(|run| run.cpu_of_one().server),
                    median(|run| run.cpu_of_one().database)
                ),
            ]
        })
        .collect();
    page.table(&["replicas", "posts/s", "p50", "p99", "CPU of one: servers, database"], &rows);
}

fn chart(numbers: &[Number]) -> Lines {
    let line = |name: &str, ink, figure: fn(&Runs) -> f64, has_dots| Line {
        name: name.to_owned(),
        ink,
        points: numbers.iter().map(|number| (number.replicas as f64, figure(&number.rate()))).collect(),
        has_dots,
    };
    let least = |runs: &Runs| runs.each().iter().copied().fold(f64::INFINITY, f64::min);
    let most = |runs: &Runs| runs.each().iter().copied().fold(0.0, f64::max);
    let said: Vec<_> = numbers
        .iter()
        .map(|one| format!("{} with {}", number(one.rate().median(), 0), one.replicas))
        .collect();
    Lines {
        title: "Posts per second by number of replicas, 1 ms added to each round trip".to_owned(),
        subtitle: format!("{}; it must not fall", said.join(", ")),
        across: "replicas",
        up: "posts per second",
        drawn: vec![
            line("median", Ink::Ours, Runs::median, true),
            line("least and most of the runs", Ink::Limit, least, false),
            line("", Ink::Limit, most, false),
        ],
        marks: Vec::new(),
        until: None,
        stops: numbers.iter().map(|number| number.replicas as f64).collect(),
    }
}
