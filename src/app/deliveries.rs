//! Deliveries and their attempts, to be looked at.

use task_inbox_domain::cursor::DeliveryCursor;
use uuid::Uuid;

use super::endpoints::{Opened, seen};
use super::error::Result;
use super::{App, AppError, Permission, Principal};
use crate::store::delivery_list::{self as stored, AttemptRow, DeliveryFilter, DeliveryRow, DeliveryStatus};

/// The most deliveries of one page.
pub const MAX_LIMIT: u64 = 500;

/// A page of deliveries.
#[derive(Clone, Debug)]
pub struct DeliveryList {
    /// Newest first.
    pub deliveries: Vec<DeliveryRow>,
    /// Where the next page begins, if there may be one.
    pub next: Option<DeliveryCursor>,
}

/// The deliveries that the caller sees, newest first.
pub async fn list(
    app: &App,
    who: &Principal,
    filter: DeliveryFilter,
    before: Option<DeliveryCursor>,
    limit: u64,
) -> Result<DeliveryList> {
    who.may(Permission::EndpointsRead)?;
    page(app, who, filter, before, limit).await
}

async fn page(
    app: &App,
    who: &Principal,
    filter: DeliveryFilter,
    before: Option<DeliveryCursor>,
    limit: u64,
) -> Result<DeliveryList> {
    let limit = limit.clamp(1, MAX_LIMIT);
    let filter = DeliveryFilter { schemas: who.schemas.clone(), endpoints: seen(app, who), ..filter };
    let mut deliveries = stored::list(&app.db, &filter, before.map(|c| c.0), limit + 1).await?;
    let more = deliveries.len() as u64 > limit;
    deliveries.truncate(limit as usize);
    let next = deliveries.last().filter(|_| more).map(|last| DeliveryCursor(last.id));
    explain(app, &mut deliveries).await?;
    Ok(DeliveryList { deliveries, next })
}

/// One delivery with its attempts, oldest first.
pub async fn get(app: &App, who: &Principal, id: Uuid) -> Result<(DeliveryRow, Vec<AttemptRow>)> {
    who.may(Permission::EndpointsRead)?;
    Ok((one(app, who, id).await?, stored::attempts(&app.db, id).await?))
}

/// One delivery that the caller sees.
pub(super) async fn one(app: &App, who: &Principal, id: Uuid) -> Result<DeliveryRow> {
    let filter = DeliveryFilter { id: Some(id), ..DeliveryFilter::default() };
    let found = page(app, who, filter, None, 1).await?.deliveries.into_iter().next();
    found.ok_or_else(|| AppError::NotFound(format!("there is no delivery {id}")))
}

/// Why deliveries wait: their schema or the whole inbox is in maintenance that holds them.
const MAINTENANCE: &str = "maintenance";

/// Says why deliveries wait whose endpoint takes none, or which maintenance holds.
async fn explain(app: &App, deliveries: &mut [DeliveryRow]) -> Result<()> {
    if deliveries.iter().all(|d| d.status != DeliveryStatus::Pending) {
        return Ok(());
    }
    let (opened, registry) = (Opened::of(app).await?, app.registry.current());
    for delivery in deliveries.iter_mut().filter(|d| d.status == DeliveryStatus::Pending) {
        let held = registry.endpoint(delivery.endpoint_id).and_then(|e| opened.held(e));
        let held = held.or_else(|| registry.holds_deliveries(&delivery.schema).then_some(MAINTENANCE));
        if let Some(reason) = held {
            delivery.reason = Some(reason.to_owned());
        }
    }
    Ok(())
}
