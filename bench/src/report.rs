//! The table that is printed and kept.

use std::fmt;

use crate::posts::{Sample, Variant};

/// The least that posts per second must be, as a multiple of pgbench's transactions per second.
const TARGET: f64 = 1.2;

/// Medians of one variant on one engine.
pub(crate) struct Row {
    engine: &'static str,
    variant: Variant,
    /// Posts per second of each run.
    rates: Vec<f64>,
    p50: f64,
    p99: f64,
    /// Microseconds of CPU time for one post.
    server_cpu: f64,
    load_cpu: f64,
    delivered: f64,
}

impl Row {
    /// Sums up the runs.
    pub(crate) fn new(engine: &'static str, variant: Variant, samples: &[Sample]) -> Self {
        let of = |figure: fn(&Sample) -> f64| median(&samples.iter().map(figure).collect::<Vec<_>>());
        let rate = |sample: &Sample| sample.measured.posts as f64 / sample.measured.seconds;
        Self {
            engine,
            variant,
            rates: samples.iter().map(rate).collect(),
            p50: of(|s| f64::from(s.measured.p50) / 1000.0),
            p99: of(|s| f64::from(s.measured.p99) / 1000.0),
            server_cpu: of(|s| s.measured.server_cpu * 1e6 / s.measured.posts as f64),
            load_cpu: of(|s| s.measured.load_cpu * 1e6 / s.measured.posts as f64),
            delivered: of(|s| s.delivered as f64 / s.measured.seconds),
        }
    }
}

/// Everything that was measured.
pub(crate) struct Report {
    connections: usize,
    seconds: u64,
    runs: usize,
    machine: Vec<String>,
    transactions: Vec<f64>,
    fdatasync: Option<f64>,
    rows: Vec<Row>,
}

impl Report {
    pub(crate) const fn new(connections: usize, seconds: u64, runs: usize) -> Self {
        Self {
            connections,
            seconds,
            runs,
            machine: Vec::new(),
            transactions: Vec::new(),
            fdatasync: None,
            rows: Vec::new(),
        }
    }

    pub(crate) fn machine(&mut self, facts: &[&str]) {
        self.machine.extend(facts.iter().map(|fact| (*fact).to_owned()));
    }

    pub(crate) fn pgbench(&mut self, transactions: &[f64]) {
        self.transactions = transactions.to_vec();
    }

    pub(crate) fn fdatasync(&mut self, per_second: f64) {
        self.fdatasync = Some(per_second);
    }

    pub(crate) fn posts(&mut self, row: Row) {
        self.rows.push(row);
    }

    fn limit(&self, engine: &str) -> Option<f64> {
        if engine == "SQLite" { self.fdatasync } else { Some(median(&self.transactions)) }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { connections, seconds, runs, .. } = self;
        writeln!(f, "# Benchmarks\n")?;
        writeln!(f, "Written by `cargo run --release -p bench -- posts` on {}.", self.machine.join("; "))?;
        writeln!(
            f,
            "Server, load generator and database share the cores. {connections} connections, {runs} runs of \
             {seconds} s each in turn with the baseline, medians (each run in brackets). `fsync` and \
             `synchronous_commit` are on; SQLite runs with `synchronous=FULL`.\n"
        )?;
        writeln!(
            f,
            "| | per second | beside its limit | p50 | p99 | CPU per post: server, load generator |"
        )?;
        writeln!(f, "|---|---|---|---|---|---|")?;
        writeln!(
            f,
            "| PostgreSQL: pgbench, transactions of three inserts (`-M prepared -c {connections} -j 1`) | {} | 1 | | | |",
            rates(&self.transactions)
        )?;
        if let Some(fdatasync) = self.fdatasync {
            writeln!(
                f,
                "| SQLite's disk: pg_test_fsync, one 8 KiB write and fdatasync | {fdatasync:.0} | 1 | | | |"
            )?;
        }
        for row in &self.rows {
            let ratio = self.limit(row.engine).map(|limit| median(&row.rates) / limit).unwrap_or_default();
            writeln!(
                f,
                "| {}: {} | {} | {ratio:.2} | {:.1} ms | {:.1} ms | {:.0} µs, {:.0} µs |",
                row.engine,
                row.variant.title(),
                rates(&row.rates),
                row.p50,
                row.p99,
                row.server_cpu,
                row.load_cpu
            )?;
            if row.variant == Variant::Delivered {
                writeln!(
                    f,
                    "| {}: webhooks that arrived meanwhile | {:.0} | | | | |",
                    row.engine, row.delivered
                )?;
            }
        }
        let first = self.rows.iter().find(|row| row.engine == "PostgreSQL");
        if let Some((row, limit)) = first.zip(self.limit("PostgreSQL")) {
            let ratio = median(&row.rates) / limit;
            let verdict = if ratio >= TARGET { "met" } else { "NOT met" };
            writeln!(
                f,
                "\nTarget: posts on PostgreSQL at least {TARGET} x pgbench's transactions: {verdict} ({ratio:.2})."
            )?;
        }
        Ok(())
    }
}

fn rates(all: &[f64]) -> String {
    let each: Vec<_> = all.iter().map(|rate| format!("{rate:.0}")).collect();
    format!("{:.0} ({})", median(all), each.join(", "))
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        n if n.is_multiple_of(2) => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
        n => sorted[n / 2],
    }
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn the_median_is_in_the_middle() {
        assert!((median(&[3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!((median(&[4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < f64::EPSILON);
        assert!(median(&[]).abs() < f64::EPSILON);
    }
}
