//! Proving that the log is what was written: every digest, the chain, the head.

use task_inbox_domain::Timestamp;
use task_inbox_domain::log::{Batch, Checkpoint, Hash, advance, digest, hex};

use super::db::Db;
use super::error::Result;
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

/// Events read at a time.
const PAGE: i64 = 2_000;

/// Reads the whole log and recomputes its chain, against its head and, if given, a checkpoint
/// that was kept outside. Whether that one is authentic is the caller's to check; `is_authentic`
/// judges the checkpoint that a trimmed log must begin with.
pub async fn verify(
    db: &Db,
    from: Option<&Checkpoint>,
    is_authentic: impl Fn(&Checkpoint) -> bool,
) -> Result<Verification> {
    let head = log::head(db).await?;
    let mut chain =
        Chain { seq: head.floor_seq, hash: head.floor_hash, batch: Batch::default(), open: 0, erased: 0 };
    let mut proved = None;
    let bad = |events: i64, seq: i64, detail: String| Verification {
        ok: false,
        events,
        first_bad: Some(seq),
        proved_from: None,
        erased: 0,
        detail: Some(detail),
    };
    let mut events = 0;
    if head.floor_seq > 0 && !floor_is_signed(db, &head, is_authentic).await? {
        let detail =
            format!("the log was trimmed up to event {} without a signed checkpoint", head.floor_seq);
        return Ok(bad(0, 1, detail));
    }
    if let Some(seq) = below_floor(db, head.floor_seq).await? {
        return Ok(bad(0, seq, format!("event {seq} stands below the log's beginning")));
    }
    while chain.seq < head.seq {
        let sql = Sql::new(db.engine(), "SELECT salt, digest, head_hash, ")
            .push(log::COLUMNS)
            .push(" FROM events WHERE seq > ")
            .bind(chain.seq)
            .push(" AND seq <= ")
            .bind(head.seq.min(chain.seq + PAGE))
            .push(" ORDER BY seq");
        let rows = sql.all(db.read()).await?;
        if rows.is_empty() {
            return Ok(bad(events, chain.seq + 1, format!("event {} is missing", chain.seq + 1)));
        }
        for row in &rows {
            if let Err(detail) = chain.next(row)? {
                return Ok(bad(events, chain.seq + 1, detail));
            }
            events += 1;
            if let Some(checkpoint) = from.filter(|c| c.seq == chain.seq) {
                if chain.open > 0 || hex(&chain.hash) != checkpoint.hash {
                    let detail =
                        format!("the log up to event {} is not the one of the checkpoint", chain.seq);
                    return Ok(bad(events, chain.seq, detail));
                }
                proved = Some(checkpoint.seq);
            }
        }
    }
    if chain.open > 0 || chain.hash != head.hash {
        return Ok(bad(events, chain.seq, "the log's head is not where its last event leads".to_owned()));
    }
    if let Some(checkpoint) = from.filter(|_| proved.is_none()) {
        if checkpoint.seq > head.seq {
            let detail = format!("the log ends at event {}; the checkpoint saw {}", head.seq, checkpoint.seq);
            return Ok(bad(events, head.seq + 1, detail));
        }
        let at_floor = checkpoint.seq == head.floor_seq && hex(&head.floor_hash) == checkpoint.hash;
        if !at_floor {
            let detail = format!("the checkpoint's event {} has been trimmed or is another", checkpoint.seq);
            return Ok(bad(events, checkpoint.seq, detail));
        }
        proved = Some(checkpoint.seq);
    }
    if after_head(db, head.seq).await? {
        return Ok(bad(events, head.seq + 1, "there are events after the log's head".to_owned()));
    }
    Ok(Verification {
        ok: true,
        events,
        first_bad: None,
        proved_from: proved,
        erased: chain.erased,
        detail: None,
    })
}

/// Whether the floor is a checkpoint that was signed when the log was trimmed.
async fn floor_is_signed(
    db: &Db,
    head: &log::Head,
    is_authentic: impl Fn(&Checkpoint) -> bool,
) -> Result<bool> {
    let sql = Sql::new(db.engine(), "SELECT created_at, signature FROM checkpoints WHERE seq = ");
    let Some(row) = sql.bind(head.floor_seq).one(db.read()).await? else { return Ok(false) };
    Ok(is_authentic(&Checkpoint {
        seq: head.floor_seq,
        hash: hex(&head.floor_hash),
        created: Timestamp::from_micros(row.get("created_at")?),
        signature: row.get("signature")?,
    }))
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
    open: usize,
    /// How many events had no text any more.
    erased: i64,
}

impl Chain {
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
        }
        self.seq = seq;
        Ok(Ok(()))
    }
}

/// Makes a checkpoint of the log's head, signs it, and keeps it; the copy that proves something is
/// the one kept outside.
pub async fn checkpoint(db: &Db, key: &[u8], now: Timestamp) -> Result<Checkpoint> {
    let head = log::head(db).await?;
    let checkpoint = Checkpoint::sign(key, head.seq, &head.hash, now);
    let transaction = db.begin().await?;
    Sql::new(db.engine(), "INSERT INTO checkpoints (seq, hash, created_at, signature) VALUES (")
        .bind(head.seq)
        .push(", ")
        .bind(head.hash.to_vec())
        .push(", ")
        .bind(now.as_micros())
        .push(", ")
        .bind(checkpoint.signature.as_str())
        .push(") ON CONFLICT (seq) DO UPDATE SET created_at = excluded.created_at, signature = excluded.signature")
        .execute(&transaction)
        .await?;
    transaction.commit().await?;
    Ok(checkpoint)
}
