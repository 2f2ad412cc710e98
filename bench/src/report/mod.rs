//! The report and its charts, made from what is kept.

mod delivered;
mod footprint;
mod latency;
mod page;
mod posts;
mod reads;
mod replicas;

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
    page
}
