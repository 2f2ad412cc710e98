//! The page under construction: what was aimed at comes first, then the parts.

use std::fmt::Write;

use crate::machine::Disturbance;
use crate::results::{Conditions, Results};

/// How a target was met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Met,
    Missed,
    /// It is set for other machines; why this is none of them.
    NotHere(String),
}

impl Verdict {
    pub(super) const fn of(is_met: bool) -> Self {
        if is_met { Self::Met } else { Self::Missed }
    }
}

/// One line of the first table.
struct Target {
    what: String,
    aim: String,
    measured: String,
    verdict: Verdict,
}

/// Targets, sections and charts so far.
#[derive(Default)]
pub(super) struct Page {
    targets: Vec<Target>,
    sections: String,
    pub(super) charts: Vec<(String, String)>,
}

impl Page {
    pub(super) fn target(&mut self, what: &str, aim: &str, measured: &str, verdict: Verdict) {
        self.targets.push(Target {
            what: what.to_owned(),
            aim: aim.to_owned(),
            measured: measured.to_owned(),
            verdict,
        });
    }

    pub(super) fn heading(&mut self, text: &str) {
        let _ = writeln!(self.sections, "\n## {text}");
    }

    pub(super) fn paragraph(&mut self, text: &str) {
        let _ = writeln!(self.sections, "\n{text}");
    }

    pub(super) fn table(&mut self, columns: &[&str], rows: &[Vec<String>]) {
        self.sections.push_str(&table(columns, rows));
    }

    /// Shows a chart; `alt` is what it shows, in words.
    pub(super) fn chart(&mut self, name: &str, alt: &str, svg: String) {
        let _ = writeln!(self.sections, "\n![{alt}](benchmarks/{name}.svg)");
        self.charts.push((name.to_owned(), svg));
    }

    pub(super) fn markdown(&self, results: &Results) -> String {
        let mut text = "# Benchmarks\n\n".to_owned();
        let conditions = results.conditions();
        text.push_str(
            "Written by `cargo run --release -p bench -- all`: each figure beside the limit of the machine \
             that was measured in the same run. Server, database, load generators and receivers are processes \
             of their own and share the cores. Medians of the runs, each run in brackets. PostgreSQL runs with \
             its defaults (`fsync` and `synchronous_commit` on), SQLite with `synchronous=FULL`.\n",
        );
        if conditions.iter().any(|(_, conditions)| conditions.quick) {
            text.push_str(
                "\n> **Tried out, not measured** (`--quick`): short runs on little data. These figures show that \
                 the measuring works, and nothing else.\n",
            );
        }
        for (name, conditions) in &conditions {
            text.push_str(&warning(name, conditions));
        }
        text.push_str("\n## Targets\n");
        let rows: Vec<_> = self
            .targets
            .iter()
            .map(|target| {
                let verdict = match &target.verdict {
                    Verdict::Met => "met".to_owned(),
                    Verdict::Missed => "**MISSED**".to_owned(),
                    Verdict::NotHere(why) => why.clone(),
                };
                vec![target.what.clone(), target.aim.clone(), target.measured.clone(), verdict]
            })
            .collect();
        text.push_str(&table(&["", "target", "measured", ""], &rows));
        text.push_str(&self.sections);
        text.push_str("\n## Where and when\n");
        text.push_str(&where_and_when(&conditions));
        text
    }
}

fn warning(name: &str, conditions: &Conditions) -> String {
    let Conditions { before, during, .. } = conditions;
    if !before.spoils() && !during.spoils() {
        return String::new();
    }
    format!(
        "\n> **Disturbed: {name}.** Other processes used {} of the machine before it began and {} meanwhile \
         (more than {:.0} % spoils a figure). Measure it again alone: `-- {name}`.\n",
        share(before),
        share(during),
        Disturbance::LIMIT * 100.0
    )
}

fn share(disturbance: &Disturbance) -> String {
    let of_all = |share: f64| format!("{:.0} %", share * 100.0);
    if disturbance.stolen < 0.005 {
        of_all(disturbance.others)
    } else {
        format!("{} (and {} was stolen)", of_all(disturbance.others), of_all(disturbance.stolen))
    }
}

fn where_and_when(conditions: &[(&str, &Conditions)]) -> String {
    let mut machines: Vec<String> = Vec::new();
    let mut rows = Vec::new();
    for (name, conditions) in conditions {
        let facts = &conditions.facts;
        let machine = format!("{}; {}; {}; {}", facts.cpu, facts.kernel, facts.postgres, facts.disk);
        let number = machines.iter().position(|known| *known == machine).unwrap_or_else(|| {
            machines.push(machine);
            machines.len() - 1
        });
        rows.push(vec![
            (*name).to_owned(),
            conditions.at.clone(),
            conditions.facts.commit.clone(),
            format!("{}", number + 1),
            share(&conditions.before),
            share(&conditions.during),
        ]);
    }
    let mut text = String::from("\n");
    for (number, machine) in machines.iter().enumerate() {
        let _ = writeln!(text, "{}. {machine}", number + 1);
    }
    text + &table(&["part", "ended", "commit", "machine", "used by others before", "and meanwhile"], &rows)
}

fn table(columns: &[&str], rows: &[Vec<String>]) -> String {
    let mut text = format!("\n| {} |\n|{}\n", columns.join(" | "), "---|".repeat(columns.len()));
    for row in rows {
        let _ = writeln!(text, "| {} |", row.join(" | "));
    }
    text
}
