//! What is asked about deliveries.

use axum::http::Uri;
use task_inbox_domain::cursor::DeliveryCursor;

use super::{position, uuid};
use crate::http::parameters::Parameters;
use crate::http::problem::Problem;
use crate::store::delivery_list::{DeliveryFilter, DeliveryStatus};

/// Which deliveries, before which, how many.
pub(in crate::http::v1) fn delivery_list(
    uri: &Uri,
) -> Result<(DeliveryFilter, Option<DeliveryCursor>, u64), Problem> {
    let query = Parameters::parse(
        uri.query(),
        &["schema", "endpoint", "task", "event", "status", "limit", "cursor"],
    )?;
    let statuses = DeliveryStatus::ALL.map(DeliveryStatus::as_str).join(", ");
    let filter = DeliveryFilter {
        schema: query.text("schema")?.map(str::to_owned),
        endpoint: query.read("endpoint", "an endpoint's id", uuid)?,
        task: query.read("task", "a task's id", uuid)?,
        // The events feed calls it by the UUID, webhooks and this list with the prefix.
        event: query
            .read("event", "an event's id", |text| uuid(text.strip_prefix("evt_").unwrap_or(text)))?,
        status: query.read("status", &format!("one of {statuses}"), DeliveryStatus::parse)?,
        ..DeliveryFilter::default()
    };
    Ok((filter, position(&query, "cursor", DeliveryCursor::parse)?, query.limit()?))
}
