//! A line on stderr that moves, for what takes longer than a second. Only a terminal sees it.

use std::io::{IsTerminal, Write};
use std::pin::pin;
use std::time::{Duration, Instant};

/// What is done sooner shows nothing.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often the line is written.
const PERIOD: Duration = Duration::from_millis(100);
/// How many characters a bar has.
const BAR: u64 = 30;

/// A bar for work whose steps can be counted.
pub(crate) struct Progress {
    what: &'static str,
    started: Instant,
    drawn: Option<Instant>,
    is_terminal: bool,
}

impl Progress {
    /// One that has not begun.
    pub(crate) fn new(what: &'static str) -> Self {
        Self { what, started: Instant::now(), drawn: None, is_terminal: std::io::stderr().is_terminal() }
    }

    /// So much of it is done.
    pub(crate) fn at(&mut self, done: u64, total: u64) {
        let now = Instant::now();
        let soon = self.drawn.is_some_and(|drawn| now - drawn < PERIOD);
        if !self.is_terminal || now - self.started < PATIENCE || soon {
            return;
        }
        self.drawn = Some(now);
        draw(&bar(self.what, done, total));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.drawn.is_some() {
            draw("");
        }
    }
}

fn bar(what: &str, done: u64, total: u64) -> String {
    let total = total.max(done).max(1);
    let full = done * BAR / total;
    let (full, left) = ("█".repeat(full as usize), "░".repeat((BAR - full) as usize));
    format!("{what} {full}{left} {done} of {total}")
}

/// Waits for something, and says so if that takes longer than a second.
pub(crate) async fn waiting<T>(what: &str, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    if !std::io::stderr().is_terminal() {
        return work.await;
    }
    let started = Instant::now();
    let mut drawn = false;
    loop {
        if let Ok(done) = tokio::time::timeout(PATIENCE, &mut work).await {
            if drawn {
                draw("");
            }
            return done;
        }
        drawn = true;
        draw(&format!("{what}, {} s", started.elapsed().as_secs()));
    }
}

/// Writes the line anew (ECMA-48: to the first column, and erase to the end of the line).
fn draw(text: &str) {
    let mut stderr = std::io::stderr().lock();
    let _ = write!(stderr, "\r\x1b[K{text}");
    let _ = stderr.flush();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_fills_up() {
        assert_eq!(bar("x", 0, 0), format!("x {} 0 of 1", "░".repeat(30)));
        assert!(bar("x", 50, 100).contains(&format!("{}{}", "█".repeat(15), "░".repeat(15))));
        assert!(bar("x", 7, 3).ends_with("7 of 7"));
    }
}
