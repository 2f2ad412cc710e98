//! Decided to delivered, sustained.

use super::page::{Page, Verdict};
use crate::chart::{Bar, Bars, Ink, Line, Lines};
use crate::load::{Decided, Moment};
use crate::part::delivered::Delivered;
use crate::statistics::{Runs, number};

/// The least multiple of the bare loop.
const LEAST: f64 = 0.2;

pub(super) fn add(page: &mut Page, delivered: &Delivered) {
    let Delivered { connections, concurrency, seconds, bytes, bare, runs } = delivered;
    let received = Runs::of(runs, Decided::received);
    let ratio = received.median() / bare.median();
    page.target(
        "decided to delivered, sustained, PostgreSQL",
        &format!("≥ {LEAST} × a bare loop that signs and posts"),
        &format!("{ratio:.2} × ({}/s beside {}/s)", number(received.median(), 0), number(bare.median(), 0)),
        Verdict::of(ratio >= LEAST),
    );
    page.heading("Decided to delivered");
    page.paragraph(&format!(
        "{connections} connections decide open tasks on PostgreSQL as fast as it goes, for {seconds} s after 2 s \
         of warm-up; each decision goes out to one endpoint as a signed webhook of {} bytes. What counts is the \
         rate at which the receiver gets them. The limit is a program that only signs the same body and posts it \
         with the same HTTP client, {concurrency} at once, as many as the service has under way to one endpoint. \
         The receiver is the same for both: one nginx process that answers 204 and counts. The tasks and the \
         events of their posting were written into the tables beforehand.",
        number(*bytes as f64, 0)
    ));
    page.chart("delivered", "Webhooks per second beside a bare loop", bars(delivered, &received).svg());
    let rows: Vec<_> = runs
        .iter()
        .zip(bare.each())
        .map(|(run, bare)| {
            let (begun, ended) = run.backlog();
            let cpu = run.cpu_of_one();
            vec![
                number(run.decided(), 0),
                number(run.received(), 0),
                number(*bare, 0),
                format!("{} → {}", number(begun as f64, 0), number(ended as f64, 0)),
                format!("{:.2} s", run.drained),
                format!("{:.1} ms, {:.1} ms", run.latency.p50, run.latency.p99),
                [cpu.server, cpu.load, cpu.database].map(|micros| format!("{micros:.0} µs")).join(", "),
            ]
        })
        .collect();
    page.table(
        &[
            "decisions/s",
            "webhooks/s received",
            "bare loop/s",
            "decided and not yet received, first and last",
            "all received after the end",
            "decision p50, p99",
            "CPU of one: server, load generator, database",
        ],
        &rows,
    );
    if let Some(run) = runs.last() {
        page.chart("delivered-course", "Decided and received over time", course(run).svg());
    }
}

fn bars(delivered: &Delivered, received: &Runs) -> Bars {
    let bar = |label: &str, runs: Runs, ink, target| Bar { label: label.to_owned(), runs, ink, target };
    let target = (delivered.bare.median() * LEAST, format!("{LEAST} ×"));
    Bars {
        title: "Webhooks of decisions per second, sustained, PostgreSQL".to_owned(),
        subtitle:
            "blue: the service; grey: a bare loop to the same receiver; thin line: least and most of the runs"
                .to_owned(),
        unit: "per second",
        groups: vec![(
            "one receiver".to_owned(),
            vec![
                bar("sign and post, bare", delivered.bare.clone(), Ink::Limit, None),
                bar("task-inbox, received", received.clone(), Ink::Ours, Some(target)),
                bar("task-inbox, decided", Runs::of(&delivered.runs, Decided::decided), Ink::Ours, None),
            ],
        )],
    }
}

fn course(run: &Decided) -> Lines {
    let line = |name: &str, ink, figure: fn(&Moment) -> f64| Line {
        name: name.to_owned(),
        ink,
        points: run.course.iter().map(|moment| (moment.seconds, figure(moment))).collect(),
        has_dots: false,
    };
    Lines {
        title: "Decided and received, the last run".to_owned(),
        subtitle: "in all, since before the warm-up; what lies between the lines is on its way".to_owned(),
        across: "seconds",
        up: "in all",
        drawn: vec![
            line("decided", Ink::Second, |moment| moment.decided as f64),
            line("received", Ink::Ours, |moment| moment.received as f64),
        ],
        marks: Vec::new(),
        until: None,
        stops: Vec::new(),
    }
}
