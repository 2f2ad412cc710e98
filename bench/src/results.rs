//! What was measured, kept in a file: report and charts are made of it, and a part can be measured
//! again alone.

use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::machine::{Disturbance, Facts};
use crate::part::delivered::Delivered;
use crate::part::drain::Drain;
use crate::part::footprint::Footprint;
use crate::part::latency::Latencies;
use crate::part::neighbour::Neighbour;
use crate::part::posts::Posts;
use crate::part::reads::Reads;
use crate::part::realtime::Realtime;
use crate::part::replicas::Replicas;
use crate::part::storage::Storage;

/// The latest result of each part.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Results {
    pub(crate) posts: Option<Kept<Posts>>,
    pub(crate) delivered: Option<Kept<Delivered>>,
    pub(crate) latency: Option<Kept<Latencies>>,
    pub(crate) reads: Option<Kept<Reads>>,
    pub(crate) replicas: Option<Kept<Replicas>>,
    pub(crate) footprint: Option<Kept<Footprint>>,
    pub(crate) neighbour: Option<Kept<Neighbour>>,
    pub(crate) drain: Option<Kept<Drain>>,
    pub(crate) storage: Option<Kept<Storage>>,
    pub(crate) realtime: Option<Kept<Realtime>>,
}

/// A part's result.
#[derive(Serialize, Deserialize)]
pub(crate) struct Kept<T> {
    pub(crate) conditions: Conditions,
    pub(crate) measured: T,
}

/// Where, when and how undisturbed a part was measured.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Conditions {
    pub(crate) facts: Facts,
    pub(crate) at: String,
    /// Short runs on little data: the figures only show that the measuring works.
    pub(crate) quick: bool,
    pub(crate) before: Disturbance,
    pub(crate) during: Disturbance,
}

impl Results {
    /// What is kept; nothing yet if there is no file.
    pub(crate) fn load(file: &Path) -> Result<Self> {
        if !file.exists() {
            return Ok(Self::default());
        }
        let text = std::fs::read_to_string(file)?;
        serde_json::from_str(&text)
            .with_context(|| format!("{} is of another version: remove it and measure again", file.display()))
    }

    pub(crate) fn save(&self, file: &Path) -> Result<()> {
        if let Some(directory) = file.parent() {
            std::fs::create_dir_all(directory)?;
        }
        std::fs::write(file, serde_json::to_string_pretty(self)? + "\n")?;
        Ok(())
    }

    /// The conditions of every part that was measured.
    pub(crate) fn conditions(&self) -> Vec<(&'static str, &Conditions)> {
        fn of<'a, T>(
            name: &'static str,
            kept: Option<&'a Kept<T>>,
        ) -> Option<(&'static str, &'a Conditions)> {
            kept.map(|kept| (name, &kept.conditions))
        }
        [
            of("posts", self.posts.as_ref()),
            of("delivered", self.delivered.as_ref()),
            of("latency", self.latency.as_ref()),
            of("reads", self.reads.as_ref()),
            of("replicas", self.replicas.as_ref()),
            of("footprint", self.footprint.as_ref()),
            of("neighbour", self.neighbour.as_ref()),
            of("drain", self.drain.as_ref()),
            of("storage", self.storage.as_ref()),
            of("realtime", self.realtime.as_ref()),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}
