//! The report and its charts, made from what is kept.

mod delivered;
mod drain;
mod footprint;
mod latency;
mod neighbour;
mod page;
mod posts;
mod reads;
mod realtime;
mod replicas;
mod storage;

use std::path::Path;

use anyhow::Result;

use crate::results::Results;
use page::Page;

/// Writes `BENCHMARKS.md` and `benchmarks/*.svg` into a directory.
pub(crate) fn write(results: &Results, directory: &Path) -> Result<()> {
    let page = page(results);
    let charts = directory.join("benchmarks");
    std::fs::create_dir_all(&charts)?;
    for (name, svg) in &page.charts {
        std::fs::write(charts.join(format!("{name}.svg")), svg)?;
    }
    std::fs::write(directory.join("BENCHMARKS.md"), page.markdown(results))?;
    Ok(())
}

fn page(results: &Results) -> Page {
    let mut page = Page::default();
    if let Some(kept) = &results.posts {
        posts::add(&mut page, &kept.measured);
    }
    if let Some(kept) = &results.delivered {
        delivered::add(&mut page, &kept.measured);
    }
    if let Some(kept) = &results.latency {
        latency::add(&mut page, &kept.measured);
    }
    if let Some(kept) = &results.reads {
        reads::add(&mut page, &kept.measured);
    }
    if let Some(kept) = &results.replicas {
        replicas::add(&mut page, &kept.measured);
    }
    if let Some(kept) = &results.footprint {
        footprint::add(&mut page, &kept.measured);
    }
    if let Some(kept) = &results.neighbour {
        neighbour::add(&mut page, &kept.measured);
    }
    if let Some(kept) = &results.drain {
        drain::add(&mut page, &kept.measured);
    }
    if let Some(kept) = &results.storage {
        storage::add(&mut page, &kept.measured);
    }
    if let Some(kept) = &results.realtime {
        realtime::add(&mut page, &kept.measured);
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{Cpu, Measured};
    use crate::machine::{Disturbance, Facts};
    use crate::part::posts::{Cell, FEW, MANY, Posts, Variant};
    use crate::results::{Conditions, Kept};
    use crate::stage::Engine;
    use crate::statistics::{Latency, Runs};

    fn cell(engine: Engine, connections: usize, rates: [u64; 3]) -> Cell {
        let runs = rates.map(|rate| Measured {
            requests: rate,
            seconds: 1.0,
            latency: Latency { p50: 3.0, p90: 5.0, p99: 7.0, samples: 100 },
            cpu: Cpu { server: 0.5, load: 0.1, database: 0.2 },
        });
        Cell { engine, connections, variant: Variant::Plain, runs: runs.into() }
    }

    fn results(others: f64, quick: bool) -> Results {
        let runs = |value: f64| Runs::from_iter([value]);
        let posts = Posts {
            seconds: 8,
            pgbench: vec![(FEW, runs(4000.0), runs(8.0)), (MANY, runs(6000.0), runs(40.0))],
            fdatasync: runs(9000.0),
            cells: vec![
                cell(Engine::Postgres, FEW, [8000, 8800, 9000]),
                cell(Engine::Postgres, MANY, [11_000, 11_500, 12_000]),
                cell(Engine::Sqlite, FEW, [10_000, 10_500, 9000]),
            ],
        };
        let text = || "x".to_owned();
        let facts = Facts { cpu: text(), kernel: text(), postgres: text(), disk: text(), commit: text() };
        let disturbance = Disturbance { others, stolen: 0.0 };
        let conditions = Conditions { facts, at: text(), quick, before: disturbance, during: disturbance };
        Results { posts: Some(Kept { conditions, measured: posts }), ..Results::default() }
    }

    #[test]
    fn says_what_was_met_and_what_was_missed() {
        let results = results(0.01, false);
        let text = page(&results).markdown(&results);
        let line = |part: &str| text.lines().find(|line| line.contains(part)).unwrap_or_default();
        assert!(
            line("posts on PostgreSQL, 32").ends_with("| 2.20 × (8,800/s beside 4,000/s) | met |"),
            "{text}"
        );
        assert!(line("posts on PostgreSQL, 256").ends_with("| **MISSED** |"), "{text}");
        assert!(line("posts on SQLite, 32").ends_with("| not for this disk: 9,000/s |"), "{text}");
        assert!(line("| the same").ends_with("| 1.14 × | **MISSED** |"), "{text}");
        assert!(
            text.contains("| 8,800 (8,000, 8,800, 9,000) | 2.20 | 3.0 ms | 7.0 ms | 57 µs, 11 µs, 23 µs |")
        );
        assert!(!text.contains("Disturbed") && !text.contains("Tried out"), "{text}");
    }

    #[test]
    fn says_when_figures_are_not_to_be_believed() {
        let results = results(0.4, true);
        let text = page(&results).markdown(&results);
        assert!(text.contains("**Disturbed: posts.** Other processes used 40 %"), "{text}");
        assert!(text.contains("**Tried out, not measured**"), "{text}");
    }

    #[test]
    fn draws_whole_pictures() {
        let directory = tempfile::tempdir().unwrap();
        let results = results(0.0, false);
        write(&results, directory.path()).unwrap();
        let svg = std::fs::read_to_string(directory.path().join("benchmarks/posts.svg")).unwrap();
        assert_eq!(svg.matches("<text").count(), svg.matches("</text>").count());
        assert!(svg.ends_with("</svg>\n") && !svg.contains("NaN") && !svg.contains("inf"));
        assert!(svg.contains("11,500 · target 2 × · missed"), "{svg}");
    }
}
