//! What the figures were measured on.

use anyhow::{Context, Result};

/// The CPU's name and how many cores there are to run on.
pub(crate) fn cpu() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map_or("unknown CPU", |(_, model)| model.trim());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{model}, {cores} cores")
}

/// The kernel's version.
pub(crate) fn kernel() -> String {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("Linux {}", release.trim())
}

/// CPU time that a process (or `self`) has used, in all its threads.
pub(crate) fn cpu_seconds(process: &str) -> Result<f64> {
    /// `USER_HZ`, which Linux fixes for what it reports here.
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name before may hold anything, in parentheses.
    let fields = stat.rsplit_once(')').context("no process name")?.1;
    let ticks = |field: usize| -> Result<f64> {
        Ok(fields.split_whitespace().nth(field).context("too few fields")?.parse()?)
    };
    // utime and stime are fields 14 and 15; the first one here is field 3.
    Ok((ticks(11)? + ticks(12)?) / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    #[test]
    fn reads_its_own_cpu_time() {
        assert!(super::cpu_seconds("self").expect("read") >= 0.0);
        assert!(super::cpu().contains("cores"));
    }
}
