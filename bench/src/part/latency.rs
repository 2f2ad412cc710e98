//! From a decision to its webhook on an idle server, beside a bare commit and a bare POST.

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::load::{Idle, IdleTimes, Order};
use crate::scale::Scale;
use crate::stage::{self, Engine};
use crate::statistics::{Latency, Runs, percentile};

/// The whole part.
#[derive(Serialize, Deserialize)]
pub(crate) struct Latencies {
    pub(crate) engines: Vec<OnEngine>,
}

/// Milliseconds on one engine.
#[derive(Serialize, Deserialize)]
pub(crate) struct OnEngine {
    pub(crate) engine: Engine,
    pub(crate) commit: Times,
    pub(crate) post: Times,
    pub(crate) answered: Times,
    pub(crate) webhook: Times,
}

/// One of the four times, over all runs.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Times {
    /// The median of each run.
    pub(crate) medians: Runs,
    /// Of all samples together.
    pub(crate) all: Latency,
    /// The 1st to the 99th of a hundred, of all samples together.
    pub(crate) percentiles: Vec<f64>,
}

impl Times {
    fn of(runs: &[IdleTimes], which: impl Fn(&IdleTimes) -> &Vec<f64>) -> Self {
        let mut all: Vec<f64> = runs.iter().flat_map(|run| which(run).clone()).collect();
        all.sort_by(f64::total_cmp);
        // Microseconds are as fine as it gets.
        let rounded = |percent| (percentile(&all, percent) * 1000.0).round() / 1000.0;
        Self {
            medians: Runs::of(runs, |run| Latency::of(which(run).clone()).p50),
            percentiles: (1..100).map(|percent| rounded(f64::from(percent))).collect(),
            all: Latency::of(all),
        }
    }
}

impl OnEngine {
    /// What no such service can do without: a commit and a POST.
    pub(crate) fn limit(&self) -> f64 {
        self.commit.all.p50 + self.post.all.p50
    }
}

pub(crate) async fn measure(scale: &Scale) -> Result<Latencies> {
    let cluster = stage::cluster().await?;
    let mut runs = [(Engine::Postgres, Vec::new()), (Engine::Sqlite, Vec::new())];
    for run in 1..=scale.runs {
        for (engine, times) in &mut runs {
            let postgres = match engine {
                Engine::Postgres => Some(cluster.url(&cluster.create_database().await?)),
                Engine::Sqlite => None,
            };
            let measured: IdleTimes = Order::Idle(Idle { postgres, samples: scale.samples }).run().await?;
            let median = |values: &Vec<f64>| Latency::of(values.clone()).p50;
            println!(
                "run {run}: {engine}: commit {:.2} ms, POST {:.2} ms, decided to received {:.2} ms",
                median(&measured.commit),
                median(&measured.post),
                median(&measured.webhook)
            );
            times.push(measured);
        }
    }
    let engines = runs.map(|(engine, runs)| OnEngine {
        engine,
        commit: Times::of(&runs, |run| &run.commit),
        post: Times::of(&runs, |run| &run.post),
        answered: Times::of(&runs, |run| &run.answered),
        webhook: Times::of(&runs, |run| &run.webhook),
    });
    Ok(Latencies { engines: engines.into() })
}
