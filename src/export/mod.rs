//! Every event of the log, once and in order, in a stream of NATS JetStream, for others to build on.
//!
//! Whoever exports reads the stream's end, and adds the events that follow, each only if the stream still ends with
//! the one before: the stream says how far the export is, whoever stopped and why. Any number of replicas may have the
//! role. Who is overtaken stands by, and takes over once the stream stands still while the log goes on.
//!
//! Its neighbours are `realtime`, which tells that the log has grown, and `store::log`. It decides nothing about who
//! may read the stream; and a NATS server that is away costs time and nothing else.

mod error;
mod stream;
mod subject;

use std::convert::Infallible;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::measure;
use crate::realtime::{Tail, Wanted};
use crate::store::Db;
use crate::store::log::{self, EventFilter, Logged, ReadError};
use error::ExportError;
use stream::{End, Published, STREAM, Stream};

/// How many events are on their way at once.
const PAGE: u64 = 500;

/// How often who stands by looks; after two looks that found the stream behind and standing still, it takes over.
const LOOK: Duration = Duration::from_secs(1);

/// How long to wait before trying again, first and at most.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// After this time without a failure, the next one is a first one.
const STEADY: Duration = Duration::from_secs(30);

/// Starts to export to the NATS server at this address; ends with `stop`.
pub fn start(db: Db, tail: Tail, url: String, stop: CancellationToken) {
    let exporter = Exporter { db, tail, url };
    tokio::spawn(stop.run_until_cancelled_owned(async move { exporter.run().await }));
}

/// Whether a NATS server is there that can be exported to.
///
/// # Errors
///
/// What is wrong, for the operator.
pub async fn look(url: &str) -> Result<(), String> {
    stream::look(url).await.map_err(|error| error.to_string())
}

struct Exporter {
    db: Db,
    tail: Tail,
    url: String,
}

impl Exporter {
    async fn run(self) {
        let (mut wait, mut said) = (FIRST_WAIT, String::new());
        loop {
            let begun = Instant::now();
            let Err(error) = self.export(&mut said).await;
            measure::exporting(false);
            let text = error.to_string();
            // Once, however long it lasts.
            if text == said {
                tracing::debug!(%error, "events are not exported");
            } else if error.needs_somebody() {
                tracing::error!(%error, "events are not exported");
            } else {
                tracing::warn!(%error, "events are not exported; they are once it works again");
            }
            said = text;
            wait = if begun.elapsed() > STEADY { FIRST_WAIT } else { wait };
            // Not all replicas at once.
            tokio::time::sleep(wait.mul_f64(rand::random_range(0.75..1.25))).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    /// Exports until something fails. `said` is what failed last.
    async fn export(&self, said: &mut String) -> Result<Infallible, ExportError> {
        let stream = Stream::open(&self.url).await?;
        loop {
            let end = stream.end().await?;
            self.check(&end).await?;
            measure::exporting(true);
            measure::exported_up_to(end.seq);
            self.lead(&stream, end, said).await?;
            works(said);
            tracing::debug!("another one exports; standing by");
            self.stand_by(&stream).await?;
        }
    }

    /// Exports what comes, until another one does.
    async fn lead(&self, stream: &Stream, mut end: End, said: &mut String) -> Result<(), ExportError> {
        let mut listener = self.tail.listen(Wanted::Growth).await?;
        loop {
            let events = self.after(&mut end).await?;
            if events.is_empty() {
                works(said);
                tokio::select! {
                    grown = listener.changed() => if !grown {
                        // The process ends, and this with it.
                        std::future::pending::<()>().await;
                    },
                    lost = stream.lost() => return Err(lost),
                }
            } else {
                let published = stream.publish(&events, &mut end).await;
                measure::exported_up_to(end.seq);
                if published? == Published::Overtaken {
                    return Ok(());
                }
                works(said);
            }
        }
    }

    /// Waits until the stream is behind the log and stands still.
    async fn stand_by(&self, stream: &Stream) -> Result<(), ExportError> {
        let mut before = None;
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                lost = stream.lost() => return Err(lost),
            }
            let end = stream.end().await?;
            measure::exported_up_to(end.seq);
            let behind = (end.seq < log::head(&self.db).await?.seq).then_some(end.sequence);
            if behind.is_some() && behind == before {
                return Ok(());
            }
            before = behind;
        }
    }

    /// The events that come next. What was trimmed is passed over, and said.
    async fn after(&self, end: &mut End) -> Result<Vec<Logged>, ExportError> {
        let all = EventFilter::default();
        if let Some(page) = self.tail.page(end.seq, &all, PAGE) {
            return Ok(page.events);
        }
        loop {
            match log::read(&self.db, end.seq, &all, PAGE).await {
                Ok(page) => return Ok(page.events),
                Err(ReadError::BelowFloor { floor }) => {
                    let lost = floor - end.seq;
                    tracing::error!(
                        "{lost} events, {} to {floor}, were trimmed from the log before they were exported; \
                         the export goes on after them",
                        end.seq + 1
                    );
                    end.seq = floor;
                }
                Err(ReadError::AheadOfLog { .. }) => return Err(another_log(end)),
                Err(ReadError::Store(error)) => return Err(error.into()),
            }
        }
    }

    /// Whether the stream's last event is this log's. Going on after another's would leave out what is here.
    async fn check(&self, end: &End) -> Result<(), ExportError> {
        let Some(id) = end.id else { return Ok(()) };
        match log::read(&self.db, end.seq - 1, &EventFilter::default(), 1).await {
            Ok(page) if page.events.first().is_some_and(|l| l.seq == end.seq && l.event.id == id) => Ok(()),
            // It was trimmed, as it may be once it is exported.
            Err(ReadError::BelowFloor { .. }) => Ok(()),
            Ok(_) | Err(ReadError::AheadOfLog { .. }) => Err(another_log(end)),
            Err(ReadError::Store(error)) => Err(error.into()),
        }
    }
}

/// Says that what failed last doesn't any more.
fn works(said: &mut String) {
    if !said.is_empty() {
        tracing::info!("events are exported again");
        said.clear();
    }
}

const fn another_log(end: &End) -> ExportError {
    ExportError::AnotherLog { stream: STREAM, seq: end.seq }
}
