//! Whether the machine was ours: what others used of it while we measured.

use std::time::Instant;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::process::{TICKS_PER_SECOND, cpu_of_tree};

/// `kthreadd`, the parent of the kernel's threads: what they do, they do for our writes.
const KERNEL: u32 = 2;

/// What was not ours to use, as shares of all cores.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Disturbance {
    /// Used by processes that we did not start.
    pub(crate) others: f64,
    /// Taken by the machine below this virtual one.
    pub(crate) stolen: f64,
}

impl Disturbance {
    /// More than this spoils a figure.
    pub(crate) const LIMIT: f64 = 0.15;

    pub(crate) fn spoils(&self) -> bool {
        self.others + self.stolen > Self::LIMIT
    }
}

/// Counts from a moment on.
pub(crate) struct Watch {
    since: Instant,
    busy: f64,
    stolen: f64,
    ours: f64,
}

impl Watch {
    pub(crate) fn start() -> Result<Self> {
        let (busy, stolen) = machine()?;
        Ok(Self { since: Instant::now(), busy, stolen, ours: ours()? })
    }

    pub(crate) fn disturbance(&self) -> Result<Disturbance> {
        let (busy, stolen) = machine()?;
        let cores = std::thread::available_parallelism()?.get() as f64;
        let available = self.since.elapsed().as_secs_f64() * cores;
        let others = (busy - self.busy) - (ours()? - self.ours);
        Ok(Disturbance {
            others: (others / available).clamp(0.0, 1.0),
            stolen: ((stolen - self.stolen) / available).clamp(0.0, 1.0),
        })
    }
}

fn ours() -> Result<f64> {
    // In a container there may be no kernel to see.
    Ok(cpu_of_tree(std::process::id())? + cpu_of_tree(KERNEL).unwrap_or_default())
}

/// Seconds of all cores since the start: in processes, and taken from below.
fn machine() -> Result<(f64, f64)> {
    let stat = std::fs::read_to_string("/proc/stat")?;
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu ")).context("no line for all cores")?;
    let ticks = line.split_whitespace().map(str::parse).collect::<Result<Vec<f64>, _>>()?;
    let at = |field: usize| ticks.get(field).copied().unwrap_or_default() / TICKS_PER_SECOND;
    // user, nice, system; interrupts are charged to nobody. The eighth is steal.
    Ok((at(0) + at(1) + at(2), at(7)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_work_is_no_disturbance() {
        let watch = Watch::start().expect("read");
        let spun = "i=0; while [ $i -lt 500000 ]; do i=$((i+1)); done";
        assert!(std::process::Command::new("sh").args(["-c", spun]).status().expect("sh").success());
        let seen = watch.disturbance().expect("read");
        assert!((0.0..=1.0).contains(&seen.others), "{seen:?}");
        let spoilt = Disturbance { others: 0.1, stolen: 0.1 };
        assert!(spoilt.spoils() && !Disturbance { others: 0.1, stolen: 0.0 }.spoils());
    }
}
