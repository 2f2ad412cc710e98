//! Listeners to topics.

use super::page::{Page, Verdict};
use crate::load::PADDING;
use crate::part::footprint::megabytes;
use crate::part::realtime::{Bare, EACH, RATE, Realtime};
use crate::statistics::number;

/// Milliseconds from a decision to what is told of it, of 99 in 100.
const MOST: f64 = 50.0;
/// Bytes of the server for each listener.
const BYTES: f64 = 20_000.0;

pub(super) fn add(page: &mut Page, realtime: &Realtime) {
    let listeners = number(realtime.listeners as f64, 0);
    page.heading("Realtime");
    page.paragraph(&format!(
        "{listeners} WebSockets to one server, {EACH} of which listen to each task, while {RATE} decisions a second \
         are made: {} messages a second. From the PATCH sent to the message received, in one process that is listeners \
         and deciders alike, so that one clock is read; it shares the machine's cores with the server and the \
         database. Memory is the server's resident memory above what it was before the first listener.",
        number((RATE as usize * EACH) as f64, 0)
    ));
    for on in &realtime.engines {
        page.target(
            &format!("realtime, {listeners} listeners, {}", on.engine),
            &format!("p99 ≤ {MOST} ms from PATCH to message"),
            &format!("{:.1} ms", on.told.p99),
            Verdict::of(on.told.p99 <= MOST),
        );
        let each = realtime.bytes_each(on);
        page.target(
            &format!("memory of a listener, {}", on.engine),
            &format!("≤ {} KB", BYTES / 1000.0),
            &format!("{:.1} KB", each / 1000.0),
            Verdict::of(each <= BYTES),
        );
    }
    let rows: Vec<_> = realtime
        .engines
        .iter()
        .map(|on| {
            vec![
                on.engine.to_string(),
                number(on.messages as f64, 0),
                format!("{:.1}", on.told.p50),
                format!("{:.1}", on.told.p90),
                format!("{:.1}", on.told.p99),
                format!("{:.1}", megabytes(on.before)),
                format!("{:.1}", megabytes(on.at_rest)),
                format!("{:.1}", megabytes(on.after)),
                format!("{:.2}", on.cpu),
            ]
        })
        .collect();
    page.table(
        &["", "messages", "median ms", "p90", "p99", "MB before", "all at rest", "after the load", "cores"],
        &rows,
    );
    if !realtime.fanouts.is_empty() {
        add_fanouts(page, realtime);
    }
}

fn add_fanouts(page: &mut Page, realtime: &Realtime) {
    let listeners = realtime.fanouts.first().map_or(0, |fanout| fanout.listeners);
    page.paragraph(&format!(
        "From one replica to another, on PostgreSQL: decisions go to one replica, and {} WebSockets listen to the other, \
         {EACH} to each task. The bus tells the other that there is something; it reads it from the log and sends it out. \
         Beside it, in the same run and at the same {RATE} messages a second, the same server of Redis or NATS by itself: a \
         client publishes {PADDING} bytes, which {EACH} clients on connections of their own are sent by it (`PUBLISH` and \
         `SUBSCRIBE` by the crates `redis` and `async-nats`, from before `PUBLISH` to the message received; nothing is \
         kept, checked or read again). The last column is what these {EACH} receive in all when it publishes as fast as \
         they take it; they and their publisher are one thread.",
        number(listeners as f64, 0)
    ));
    let rows: Vec<_> = realtime
        .fanouts
        .iter()
        .map(|fanout| {
            let bare = |of: fn(&Bare) -> String| fanout.bare.as_ref().map_or_else(|| "-".to_owned(), of);
            vec![
                fanout.bus.clone(),
                number(fanout.messages as f64, 0),
                format!("{:.1}", fanout.told.p50),
                format!("{:.1}", fanout.told.p99),
                bare(|bare| format!("{:.1}", bare.told.p50)),
                bare(|bare| format!("{:.1}", bare.told.p99)),
                bare(|bare| number(bare.rate, 0)),
            ]
        })
        .collect();
    page.table(
        &["bus", "messages", "median ms", "p99", "bare: median ms", "p99", "at most, messages/s"],
        &rows,
    );
}
