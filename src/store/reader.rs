//! Tasks read by id, many with one statement.
//!
//! A decision reads its task before it is committed, so that reading one by one would cost the
//! database more than committing does. Requests that ask while a statement runs share the next
//! one; alone, a request waits for nobody. Whoever asks gets an answer from a statement that began
//! after it asked, so that it sees what was acknowledged before.

use std::collections::HashMap;
use std::time::Duration;

use task_inbox_domain::Task;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::db::Db;
use super::error::{Result, StoreError};
use super::tasks;

/// The most ids of one statement.
const MAX_BATCH: usize = 256;

/// How long a statement may take: those who ask meanwhile wait for it.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many may wait before asking waits too.
const QUEUE: usize = 8192;

struct Asked {
    id: Uuid,
    answer: oneshot::Sender<Result<Option<Task>>>,
}

/// Reads tasks. Cheap to clone; ends with its last clone.
#[derive(Clone, Debug)]
pub struct TaskReader(mpsc::Sender<Asked>);

impl TaskReader {
    /// Starts the task that asks the database.
    pub fn start(db: &Db) -> Self {
        let (asking, asked) = mpsc::channel(QUEUE);
        tokio::spawn(run(db.clone(), asked));
        Self(asking)
    }

    /// The task with this id.
    pub async fn get(&self, id: Uuid) -> Result<Option<Task>> {
        let stopped = || StoreError::Unavailable("the service is stopping".to_owned());
        let (answer, answered) = oneshot::channel();
        self.0.send(Asked { id, answer }).await.map_err(|_| stopped())?;
        answered.await.map_err(|_| stopped())?
    }
}

async fn run(db: Db, mut asked: mpsc::Receiver<Asked>) {
    let mut batch = Vec::new();
    while asked.recv_many(&mut batch, MAX_BATCH).await > 0 {
        let ids = batch.iter().filter(|a| !a.answer.is_closed()).map(|a| a.id).collect();
        let found = tokio::time::timeout(PATIENCE, read(&db, ids)).await.unwrap_or_else(|_| {
            Err(StoreError::Unavailable(format!("it did not answer within {} s", PATIENCE.as_secs())))
        });
        for Asked { id, answer } in batch.drain(..) {
            // Who hung up meanwhile is not told.
            let _ = answer.send(found.as_ref().map(|tasks| tasks.get(&id).cloned()).map_err(Clone::clone));
        }
    }
}

async fn read(db: &Db, mut ids: Vec<Uuid>) -> Result<HashMap<Uuid, Task>> {
    ids.sort_unstable();
    ids.dedup();
    let tasks = match ids.as_slice() {
        [] => Vec::new(),
        [id] => tasks::get(db, *id).await?.into_iter().collect(),
        _ => tasks::get_many(db, ids).await?,
    };
    Ok(tasks.into_iter().map(|task| (task.id, task)).collect())
}
