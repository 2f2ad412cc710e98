//! Sending again: one delivery, or everything that an endpoint missed.

use task_inbox_domain::Timestamp;
use task_inbox_domain::cursor::ReplayCursor;
use task_inbox_domain::event::operational;
use uuid::Uuid;

use super::endpoints::{seen, sees};
use super::error::Result;
use super::patience::patiently;
use super::{App, AppError, Permission, Principal, content, deliveries, maintenance};
use crate::bus::Topic;
use crate::store::delivery_list::DeliveryRow;
use crate::store::log::{self, Logged};
use crate::store::registry::{Endpoint, Heard, Registry};
use crate::store::replays::{self as stored, Made, Replay, ReplayFilter, ReplayStatus, What};

/// The most jobs of one page.
pub const MAX_LIMIT: u64 = 500;

/// How many events are looked at to say what a job would send. Beyond it, the number is a lower limit.
const MOST_LOOKED_AT: i64 = 200_000;

/// A job to make.
#[derive(Clone, Debug)]
pub struct NewReplay {
    /// Whose deliveries.
    pub endpoint: Uuid,
    /// Which of them.
    pub what: What,
    /// Only those of this schema.
    pub schema: Option<String>,
}

/// A page of jobs.
#[derive(Clone, Debug)]
pub struct ReplayList {
    /// Newest first.
    pub replays: Vec<Replay>,
    /// Where the next page begins, if there may be one.
    pub next: Option<ReplayCursor>,
}

/// What a job would send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preview {
    /// How many deliveries.
    pub count: i64,
    /// Whether there may be more: not everything was looked at.
    pub at_least: bool,
}

/// Sends a delivery again, now, as a delivery of its own. What is planned for the first one goes on.
pub async fn resend(app: &App, who: &Principal, delivery: Uuid) -> Result<DeliveryRow> {
    who.may(Permission::EndpointsWrite)?;
    // Whether there is one that the caller sees.
    let first = deliveries::one(app, who, delivery).await?;
    let registry = app.registry.refresh(&app.db).await?;
    if first.task_id.is_some() && first.seq.is_some_and(|seq| !registry.is_of(&first.schema, seq)) {
        return Err(AppError::conflict(format!(
            "the delivery {delivery} can't be sent again: the schema {} was removed, with the task that it tells of",
            first.schema
        )));
    }
    let made = patiently(|| stored::resend(&app.db, delivery)).await?;
    let id = made.ok_or_else(|| {
        AppError::conflict(format!(
            "the delivery {delivery} can't be sent again: its endpoint or its event is gone"
        ))
    })?;
    app.bus.publish(Topic::Due);
    deliveries::one(app, who, id).await
}

/// Makes a job that sends again what an endpoint missed. It goes on through restarts, until it is done or
/// cancelled.
pub async fn create(app: &App, who: &Principal, new: NewReplay) -> Result<Replay> {
    who.may(Permission::EndpointsWrite)?;
    maintenance::admit(app, who)?;
    let (_, new) = checked(app, who, new).await?;
    let head = log::head(&app.db).await?;
    let next_seq = match new.what {
        What::Dead => 0,
        What::Since(time) => stored::first_seq(&app.db, time).await?.max(head.floor_seq + 1),
    };
    let replay = Replay {
        id: Uuid::now_v7(),
        endpoint_id: new.endpoint,
        schema: new.schema,
        what: new.what,
        next_seq,
        last_seq: head.seq,
        status: ReplayStatus::Running,
        resent: 0,
        created: App::now(),
        created_by: who.actor.pseudonym(),
        finished: None,
    };
    match patiently(|| stored::create(&app.db, replay.clone())).await? {
        Made::Job(replay) => {
            app.bus.publish(Topic::Due);
            Ok(replay)
        }
        Made::Runs(id) => Err(AppError::conflict(format!(
            "the replay {id} runs, which sends the same again: wait until it has ended, or cancel it"
        ))),
        Made::NoEndpoint => Err(no_endpoint(replay.endpoint_id)),
    }
}

/// What a job would send again.
pub async fn preview(app: &App, who: &Principal, new: NewReplay) -> Result<Preview> {
    who.may(Permission::EndpointsWrite)?;
    let (registry, new) = checked(app, who, new).await?;
    let since = match new.what {
        What::Dead => {
            let count = stored::count_dead(&app.db, new.endpoint, new.schema.as_deref()).await?;
            return Ok(Preview { count, at_least: false });
        }
        What::Since(time) => time,
    };
    let head = log::head(&app.db).await?;
    let first = stored::first_seq(&app.db, since).await?.max(head.floor_seq + 1);
    let (mut next, mut count) = (first, 0);
    while next <= head.seq && next - first < MOST_LOOKED_AT {
        let (events, following) = stored::look(&app.db, next, head.seq).await?;
        let named = |l: &&Logged| new.schema.as_ref().is_none_or(|schema| *schema == l.event.schema);
        let found = events.iter().filter(|l| l.event.created >= since && wants(&registry, new.endpoint, l));
        count += found.filter(named).count() as i64;
        next = following;
    }
    Ok(Preview { count, at_least: next <= head.seq })
}

/// The jobs that the caller sees, newest first.
pub async fn list(
    app: &App,
    who: &Principal,
    endpoint: Option<Uuid>,
    before: Option<ReplayCursor>,
    limit: u64,
) -> Result<ReplayList> {
    who.may(Permission::EndpointsRead)?;
    let limit = limit.clamp(1, MAX_LIMIT);
    let filter = ReplayFilter { endpoint, endpoints: seen(app, who) };
    let mut replays = stored::list(&app.db, &filter, before.map(|c| c.0), limit + 1).await?;
    let more = replays.len() as u64 > limit;
    replays.truncate(limit as usize);
    let next = replays.last().filter(|_| more).map(|last| ReplayCursor(last.id));
    Ok(ReplayList { replays, next })
}

/// One job.
pub async fn get(app: &App, who: &Principal, id: Uuid) -> Result<Replay> {
    who.may(Permission::EndpointsRead)?;
    one(app, who, id).await
}

/// Ends a job. What it has made goes out.
pub async fn cancel(app: &App, who: &Principal, id: Uuid) -> Result<Replay> {
    who.may(Permission::EndpointsWrite)?;
    one(app, who, id).await?;
    if !patiently(|| stored::cancel(&app.db, id)).await? {
        return Err(AppError::conflict(format!("the replay {id} has ended")));
    }
    one(app, who, id).await
}

async fn one(app: &App, who: &Principal, id: Uuid) -> Result<Replay> {
    let registry = app.registry.current();
    stored::get(&app.db, id)
        .await?
        .filter(|job| registry.endpoint(job.endpoint_id).is_some_and(|e| sees(who, e)))
        .ok_or_else(|| AppError::NotFound(format!("there is no replay {id}")))
}

/// The job, if the caller may make it.
async fn checked(
    app: &App,
    who: &Principal,
    new: NewReplay,
) -> Result<(std::sync::Arc<Registry>, NewReplay)> {
    let registry = app.registry.refresh(&app.db).await?;
    let known = |e: &std::sync::Arc<Endpoint>| sees(who, e) && e.is_named();
    if !registry.endpoint(new.endpoint).is_some_and(known) {
        return Err(no_endpoint(new.endpoint));
    }
    if let Some(schema) = &new.schema
        && (registry.latest(schema).is_none() || !who.sees(schema))
    {
        return Err(AppError::invalid("/schema", content::no_such_schema(&registry, who, schema)));
    }
    if let What::Since(time) = new.what
        && time > App::now()
    {
        return Err(AppError::invalid("/since", "since is a time that has not come yet"));
    }
    Ok((registry, new))
}

fn no_endpoint(id: Uuid) -> AppError {
    AppError::NotFound(format!("there is no endpoint {id}"))
}

/// Whether an endpoint gets an event of the log, as things stand now.
pub fn wants(registry: &Registry, endpoint: Uuid, logged: &Logged) -> bool {
    let event = &logged.event;
    // What tells of a task goes with its schema, and what a schema did is nothing to the next of its name.
    let is_freed = registry.latest(&event.schema).is_none();
    if !registry.is_of(&event.schema, logged.seq) && (event.task_id.is_some() || !is_freed) {
        return false;
    }
    let facts = event.task_facts();
    let ttype = match (&facts.ttype_id, event.ttype.as_deref()) {
        (Some(id), _) if registry.type_by_id(*id).is_some() => registry.type_by_id(*id),
        (_, Some(name)) => registry.latest_type(&event.schema, name),
        _ => None,
    };
    let heard = Heard {
        kind: event.kind,
        schema: &event.schema,
        ttype,
        state: facts.state.as_deref(),
        callback_url: facts.callback_url.as_deref(),
        endpoint: operational::endpoint_of(event),
    };
    registry.routes(&heard).iter().any(|e| e.id == endpoint)
}

/// When a replay of the log begins, for who asks.
pub fn since(replay: &Replay) -> Option<Timestamp> {
    match replay.what {
        What::Dead => None,
        What::Since(time) => Some(time),
    }
}
