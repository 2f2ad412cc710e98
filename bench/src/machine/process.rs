//! CPU time and memory of processes, as the kernel counts them.

use std::collections::{HashMap, HashSet};

use anyhow::{Context, Result};

/// `USER_HZ`, which Linux fixes for what it reports.
pub(super) const TICKS_PER_SECOND: f64 = 100.0;

/// One line of `/proc/PID/stat`.
struct Stat {
    parent: u32,
    /// Seconds in all its threads, and in children that ended and were waited for.
    cpu: f64,
}

impl Stat {
    fn read(process: &str) -> Result<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
        // The name before may hold anything, in parentheses.
        let fields: Vec<_> = stat.rsplit_once(')').context("no process name")?.1.split_whitespace().collect();
        let number = |field: usize| -> Result<f64> {
            // The first one here is field 3 of the manual.
            Ok(fields.get(field - 3).context("too few fields")?.parse()?)
        };
        let ticks = number(14)? + number(15)? + number(16)? + number(17)?;
        Ok(Self { parent: number(4)? as u32, cpu: ticks / TICKS_PER_SECOND })
    }
}

/// CPU time in seconds that a process and all that it started have used, also those that ended.
pub(crate) fn cpu_of_tree(root: u32) -> Result<f64> {
    let stats = all()?;
    let mut tree = HashSet::from([root]);
    let mut seconds = stats.get(&root).with_context(|| format!("process {root} is gone"))?.cpu;
    loop {
        let found: Vec<_> = stats
            .iter()
            .filter(|(process, stat)| tree.contains(&stat.parent) && !tree.contains(process))
            .map(|(process, stat)| (*process, stat.cpu))
            .collect();
        if found.is_empty() {
            return Ok(seconds);
        }
        for (process, cpu) in found {
            tree.insert(process);
            seconds += cpu;
        }
    }
}

fn all() -> Result<HashMap<u32, Stat>> {
    let entries = std::fs::read_dir("/proc")?.filter_map(Result::ok);
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    // Those that end meanwhile are missing.
    Ok(names.filter_map(|name| Some((name.parse().ok()?, Stat::read(&name).ok()?))).collect())
}

/// Resident memory of a process in bytes, now.
pub(crate) fn memory(process: u32) -> Result<u64> {
    status(process, "VmRSS:")
}

/// What of it is the process's own, not pages of its program or other files.
pub(crate) fn anonymous_memory(process: u32) -> Result<u64> {
    status(process, "RssAnon:")
}

/// The most resident memory that a process ever had.
pub(crate) fn peak_memory(process: u32) -> Result<u64> {
    status(process, "VmHWM:")
}

fn status(process: u32, field: &str) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let kibibytes: u64 = status
        .lines()
        .find_map(|line| line.strip_prefix(field)?.split_whitespace().next()?.parse().ok())
        .with_context(|| format!("process {process} has no {field}"))?;
    Ok(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_children_used() {
        let own = std::process::id();
        let before = cpu_of_tree(own).expect("read");
        let spun = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done";
        assert!(std::process::Command::new("sh").args(["-c", spun]).status().expect("sh").success());
        assert!(cpu_of_tree(own).expect("read") > before, "the child's time is counted");
        assert!(memory(own).expect("read") > 1024 * 1024);
        assert!(peak_memory(own).expect("read") >= memory(own).expect("read"));
        assert!(cpu_of_tree(u32::MAX).is_err());
    }
}
