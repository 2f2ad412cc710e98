//! Reads of many beside reads of few.

use super::page::{Page, Verdict};
use crate::chart::{Pair, Pairs};
use crate::part::reads::{Kind, OnEngine, Reads};
use crate::statistics::number;

/// How many times as long a read of the large database may take.
const MOST: f64 = 1.5;

pub(super) fn add(page: &mut Page, reads: &Reads) {
    let (few, many) = (number(reads.few as f64, 0), number(reads.many as f64, 0));
    page.heading("Reads");
    page.paragraph(&format!(
        "Two servers, one on a database of {few} tasks and {} events, one on {many} and {}. One request at a time, \
         50 to the one, then 50 to the other, after a warm-up; {} of each kind in each run, fewer where they take \
         too long. Before each kind, the files of both databases are read from end to end, so that both are in \
         the system's memory: what is compared is the work of a read, not which pages a virtual machine has \
         dropped meanwhile. What counts is the 99th percentile, the median of the runs. The rows were written straight into \
         the tables that the binary migrated (without a chain of hashes, which no read looks at): four schemas \
         with 70, 20, 9 and 1 % of the tasks, three types, three events of each task; one of a hundred tasks is \
         open, all in the newest tenth; one of five is assigned to one of five people, one of ten has an \
         `external_id`.",
        number(reads.few as f64 * 3.0, 0),
        number(reads.many as f64 * 3.0, 0),
        number(reads.requests as f64, 0),
    ));
    for on in &reads.engines {
        let missed: Vec<_> = on.kinds.iter().filter(|kind| kind.growth() > MOST).collect();
        let worst = on.kinds.iter().map(Kind::growth).fold(0.0, f64::max);
        page.target(
            &format!("get, list, history and events with {many} tasks, {}", on.engine),
            &format!("p99 ≤ {MOST} × that with {few}"),
            &format!(
                "{} of {} kinds within; at most {worst:.1} ×",
                on.kinds.len() - missed.len(),
                on.kinds.len()
            ),
            Verdict::of(missed.is_empty()),
        );
        let name = format!("reads-{}", on.engine.to_string().to_lowercase());
        let alt = format!("Reads on {}: 99th percentiles", on.engine);
        page.chart(&name, &alt, chart(on, &few, &many).svg());
        page.table(
            &[
                &format!("{}, milliseconds", on.engine),
                "items",
                &format!("p50, {few}"),
                &format!("p50, {many}"),
                &format!("p99, {few}"),
                &format!("p99, {many}"),
                "p99 grows",
            ],
            &on.kinds.iter().map(row).collect::<Vec<_>>(),
        );
    }
}

fn row(kind: &Kind) -> Vec<String> {
    let Kind { name, items, small, large } = kind;
    let items = if items.0 == items.1 { items.0.to_string() } else { format!("{}, {}", items.0, items.1) };
    let growth = kind.growth();
    vec![
        name.clone(),
        items,
        format!("{:.2}", small.p50.median()),
        format!("{:.2}", large.p50.median()),
        format!("{:.2}", small.p99),
        format!("{:.2}", large.p99),
        if growth > MOST { format!("**{growth:.2} ×**") } else { format!("{growth:.2} ×") },
    ]
}

fn chart(on: &OnEngine, few: &str, many: &str) -> Pairs {
    Pairs {
        title: format!("Reads, {}: 99th percentile", on.engine),
        subtitle: "right: milliseconds with few and with many tasks, and how many times as long".to_owned(),
        unit: "milliseconds, logarithmic",
        names: (format!("{few} tasks"), format!("{many} tasks")),
        target: MOST,
        kinds: on
            .kinds
            .iter()
            .map(|kind| Pair {
                label: kind.name.clone(),
                small: kind.small.p99.median(),
                large: kind.large.p99.median(),
            })
            .collect(),
    }
}
