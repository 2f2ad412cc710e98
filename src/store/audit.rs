//! Proving that the log is what was written: every digest, the chain, the head.

use task_inbox_domain::log::{Batch, Checkpoint, Hash, advance, digest, hex};

use super::checkpoints;
use super::db::Db;
use super::error::{Result, StoreError};
use super::log::{self, to_hash};
use super::row::Row;
use super::sql::Sql;

/// What a verification found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verification {
    /// Whether the log is whole.
    pub ok: bool,
    /// How many events were read.
    pub events: i64,
    /// The first event that is not what was written, or is missing.
    pub first_bad: Option<i64>,
    /// Up to here the checkpoint proves that nothing was changed since it was made; without one, a
    /// writer of the database could have rebuilt the whole chain.
    pub proved_from: Option<i64>,
    /// How many of the events were erased: their text is gone, their digest stands for it.
    pub erased: i64,
    /// What is wrong, in words.
    pub detail: Option<String>,
}

/// A place in the log that a verification has come to: the head's hash after the batch that ends with
/// this event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The event.
    pub seq: i64,
    /// The hash.
    pub hash: Hash,
}

/// What one step of a verification found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What the events that it read are.
    pub found: Verification,
    /// Where the next step goes on; `None` at the log's end, and where something is wrong.
    pub next: Option<Position>,
    /// The last event that there was when the step began.
    pub head: i64,
}

/// Why a step can't begin where it was told to.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StepError {
    /// That part of the log has been trimmed.
    #[error("the log begins after event {floor}")]
    BelowFloor {
        /// The last trimmed event's number.
        floor: i64,
    },
    /// The log is not that long.
    #[error("the log ends at event {head}")]
    AheadOfLog {
        /// The last event.
        head: i64,
    },
    /// It could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Events read at a time.
const PAGE: i64 = 2_000;

/// The most events of one step; the batch that the last of them belongs to is read to its end.
pub const MAX_STEP: i64 = 100_000;

/// No batch that was written is longer.
const MAX_BATCH: i64 = 10_000;

impl Verification {
    fn bad(events: i64, seq: i64, detail: String) -> Self {
        Self { ok: false, events, first_bad: Some(seq), proved_from: None, erased: 0, detail: Some(detail) }
    }
}

/// Reads the whole log and recomputes its chain, against its head and, if given, a checkpoint
/// that was kept outside. Whether that one is authentic is the caller's to check; `is_authentic`
/// judges the checkpoint that a trimmed log must begin with.
pub async fn verify(
    db: &Db,
    from: Option<&Checkpoint>,
    is_authentic: impl Fn(&Checkpoint) -> bool,
) -> std::result::Result<Verification, StepError> {
    let (mut after, mut events, mut erased, mut proved) = (None, 0, 0, None);
    loop {
        let Step { found, next, .. } = step(db, from, after, MAX_STEP, &is_authentic).await?;
        events += found.events;
        erased += found.erased;
        proved = proved.or(found.proved_from);
        if !found.ok {
            return Ok(Verification { events, ..found });
        }
        after = next;
        if after.is_none() {
            return Ok(Verification { events, erased, proved_from: proved, ..found });
        }
    }
}

/// Verifies about `limit` events: from the beginning, or from where the step before ended.
///
/// A step that is told where to begin believes it: it proves that what follows is a chain from
/// there on, and nothing about what is before. Only all the steps from the beginning to the end,
/// each begun where the one before it ended, prove what [`verify`] does. The checkpoint counts in
/// the step that reaches it.
pub async fn step(
    db: &Db,
    from: Option<&Checkpoint>,
    after: Option<Position>,
    limit: i64,
    is_authentic: impl Fn(&Checkpoint) -> bool,
) -> std::result::Result<Step, StepError> {
    let head = log::head(db).await?;
    let floor = Position { seq: head.floor_seq, hash: head.floor_hash };
    let begin = after.unwrap_or(floor);
    if begin.seq < floor.seq {
        return Err(StepError::BelowFloor { floor: floor.seq });
    }
    if begin.seq > head.seq {
        return Err(StepError::AheadOfLog { head: head.seq });
    }
    let ended = |found| Ok(Step { found, next: None, head: head.seq });
    let fault = match after {
        None => beginning(db, &head, from, is_authentic).await?,
        Some(after) => resumption(db, after, floor).await?,
    };
    if let Some((seq, detail)) = fault {
        return ended(Verification::bad(0, seq, detail));
    }
    let mut walk = Walk { chain: Chain::at(begin), events: 0, proved: None, from };
    if let Err(detail) = walk.check_checkpoint() {
        return ended(Verification::bad(0, begin.seq, detail));
    }
    // The step before ended on the checkpoint, and said so.
    walk.proved = walk.proved.filter(|_| after.is_none());
    let limit = limit.clamp(1, MAX_STEP);
    while walk.chain.seq < head.seq && (walk.events < limit || walk.chain.open > 0) {
        // Once the limit is reached, to the end of the batch, which is not far.
        let page = if walk.events < limit { PAGE.min(limit - walk.events) } else { PAGE };
        if let Err((seq, detail)) = walk.page(db, head.seq.min(walk.chain.seq + page), limit).await? {
            return ended(Verification::bad(walk.events, seq, detail));
        }
    }
    let found = Verification {
        ok: true,
        events: walk.events,
        first_bad: None,
        proved_from: walk.proved,
        erased: walk.chain.erased,
        detail: None,
    };
    if walk.chain.seq < head.seq {
        return Ok(Step { found, next: Some(walk.chain.position()), head: head.seq });
    }
    match end(db, &head, &walk.chain, from).await? {
        Some((seq, detail)) => ended(Verification::bad(walk.events, seq, detail)),
        None => ended(found),
    }
}

/// A fault: the event that is wrong, and what is wrong with it.
type Fault = (i64, String);

/// What is wrong with where the log begins.
async fn beginning(
    db: &Db,
    head: &log::Head,
    from: Option<&Checkpoint>,
    is_authentic: impl Fn(&Checkpoint) -> bool,
) -> Result<Option<Fault>> {
    let floor = head.floor_seq;
    if floor > 0 && !floor_is_signed(db, head, is_authentic).await? {
        return Ok(Some((1, format!("the log was trimmed up to event {floor} without a signed checkpoint"))));
    }
    if let Some(seq) = below_floor(db, floor).await? {
        return Ok(Some((seq, format!("event {seq} stands below the log's beginning"))));
    }
    Ok(from
        .filter(|c| c.seq < floor)
        .map(|c| (c.seq, format!("the checkpoint's event {} has been trimmed", c.seq))))
}

/// What is wrong with where a step is to go on: the log, if it was changed since, or the position.
async fn resumption(db: &Db, after: Position, floor: Position) -> Result<Option<Fault>> {
    let stored = if after.seq == floor.seq {
        Some(floor.hash)
    } else {
        let sql = Sql::new(db.engine(), "SELECT head_hash FROM events WHERE seq = ").bind(after.seq);
        let row = sql.one(db.read()).await?;
        let hash = row.map(|row| row.get::<Option<Vec<u8>>>("head_hash")).transpose()?.flatten();
        hash.and_then(|hash| to_hash(hash).ok())
    };
    Ok((stored != Some(after.hash)).then(|| {
        let detail = format!(
            "the log does not stand at event {} as the step before left it: it was changed since, or that is not \
             where a step ended",
            after.seq
        );
        (after.seq, detail)
    }))
}

/// What is wrong with where the log ends.
async fn end(db: &Db, head: &log::Head, chain: &Chain, from: Option<&Checkpoint>) -> Result<Option<Fault>> {
    if chain.open > 0 || chain.hash != head.hash {
        return Ok(Some((chain.seq, "the log's head is not where its last event leads".to_owned())));
    }
    if let Some(checkpoint) = from.filter(|c| c.seq > head.seq) {
        let detail = format!("the log ends at event {}; the checkpoint saw {}", head.seq, checkpoint.seq);
        return Ok(Some((head.seq + 1, detail)));
    }
    if after_head(db, head.seq).await? {
        return Ok(Some((head.seq + 1, "there are events after the log's head".to_owned())));
    }
    Ok(None)
}

/// A verification on its way.
struct Walk<'a> {
    chain: Chain,
    events: i64,
    /// The checkpoint, once it was reached.
    proved: Option<i64>,
    from: Option<&'a Checkpoint>,
}

impl Walk<'_> {
    /// Reads on up to an event, or to the end of a batch if `limit` is reached before.
    async fn page(&mut self, db: &Db, to: i64, limit: i64) -> Result<std::result::Result<(), Fault>> {
        let sql = Sql::new(db.engine(), "SELECT salt, digest, head_hash, ")
            .push(log::COLUMNS)
            .push(" FROM events WHERE seq > ")
            .bind(self.chain.seq)
            .push(" AND seq <= ")
            .bind(to)
            .push(" ORDER BY seq");
        let rows = sql.all(db.read()).await?;
        if rows.is_empty() {
            let seq = self.chain.seq + 1;
            return Ok(Err((seq, format!("event {seq} is missing"))));
        }
        for row in &rows {
            let seq = self.chain.seq + 1;
            if let Err(detail) = self.chain.next(row)? {
                return Ok(Err((seq, detail)));
            }
            self.events += 1;
            if let Err(detail) = self.check_checkpoint() {
                return Ok(Err((seq, detail)));
            }
            if self.chain.open == 0 && self.events >= limit {
                break;
            }
        }
        Ok(Ok(()))
    }

    /// Compares with the checkpoint where the chain has come to it.
    fn check_checkpoint(&mut self) -> std::result::Result<(), String> {
        let Some(checkpoint) = self.from.filter(|c| c.seq == self.chain.seq) else { return Ok(()) };
        if self.chain.open > 0 || hex(&self.chain.hash) != checkpoint.hash {
            return Err(format!("the log up to event {} is not the one of the checkpoint", checkpoint.seq));
        }
        self.proved = Some(checkpoint.seq);
        Ok(())
    }
}

/// Whether the floor is a checkpoint that was signed when the log was trimmed.
async fn floor_is_signed(
    db: &Db,
    head: &log::Head,
    is_authentic: impl Fn(&Checkpoint) -> bool,
) -> Result<bool> {
    let kept = checkpoints::at(db, head.floor_seq).await?;
    Ok(kept.is_some_and(|c| c.hash == hex(&head.floor_hash) && is_authentic(&c)))
}

/// The first event that stands where none can.
async fn below_floor(db: &Db, floor: i64) -> Result<Option<i64>> {
    let sql = Sql::new(db.engine(), "SELECT min(seq) AS seq FROM events WHERE seq <= ").bind(floor);
    sql.one(db.read()).await?.map_or(Ok(None), |row| row.get("seq"))
}

/// Whether events stand after the head that was there a moment ago and the head still denies them.
async fn after_head(db: &Db, seq: i64) -> Result<bool> {
    let sql = Sql::new(
        db.engine(),
        "SELECT max(e.seq) > max(h.seq) AS beyond FROM log_head h, events e WHERE e.seq >= ",
    )
    .bind(seq);
    let row = sql.one(db.read()).await?;
    Ok(row.map(|r| r.get::<Option<bool>>("beyond")).transpose()?.flatten().unwrap_or(false))
}

/// The chain, as far as it has been recomputed.
struct Chain {
    /// The last event that was read.
    seq: i64,
    /// The head's hash after the last whole batch.
    hash: Hash,
    /// The batch that is being read, and how many events it has so far.
    batch: Batch,
    open: i64,
    /// How many events had no text any more.
    erased: i64,
}

impl Chain {
    /// A chain that was recomputed up to here.
    fn at(position: Position) -> Self {
        Self { seq: position.seq, hash: position.hash, batch: Batch::default(), open: 0, erased: 0 }
    }

    /// How far it has come. Only between two batches is the hash that of its last event.
    fn position(&self) -> Position {
        Position { seq: self.seq, hash: self.hash }
    }

    /// Takes the next row; the inner result tells what is wrong with it.
    fn next(&mut self, row: &sea_orm::QueryResult) -> Result<std::result::Result<(), String>> {
        let expected = self.seq + 1;
        let seq: i64 = row.get("seq")?;
        if seq != expected {
            return Ok(Err(format!("event {expected} is missing")));
        }
        let Ok(logged) = log::from_row(row) else {
            return Ok(Err(format!("event {seq} can't be read")));
        };
        let stored: Vec<u8> = row.get("digest")?;
        let Ok(stored) = Hash::try_from(stored) else {
            return Ok(Err(format!("event {seq} has no digest")));
        };
        let body: Option<String> = row.get("body")?;
        let salt: Option<Vec<u8>> = row.get("salt")?;
        match (body, salt) {
            (Some(body), Some(salt)) if digest(&salt, body.as_bytes()) == stored => {}
            // Erased: the digest stands for what was there.
            (None, None) => self.erased += 1,
            _ => return Ok(Err(format!("the text of event {seq} is not what was written"))),
        }
        self.batch.push(&logged.event, &stored);
        self.open += 1;
        if let Some(claimed) = row.get::<Option<Vec<u8>>>("head_hash")? {
            let hash = advance(&self.hash, &std::mem::take(&mut self.batch).finish());
            if to_hash(claimed).ok() != Some(hash) {
                return Ok(Err(format!("the chain breaks in the batch that ends with event {seq}")));
            }
            self.hash = hash;
            self.open = 0;
        } else if self.open > MAX_BATCH {
            return Ok(Err(format!("the batch of event {seq} does not end")));
        }
        self.seq = seq;
        Ok(Ok(()))
    }
}
