//! What is asked about sending again.

use axum::http::Uri;
use task_inbox_domain::Timestamp;
use task_inbox_domain::cursor::ReplayCursor;
use uuid::Uuid;

use super::{MAX_NAME, position, uuid};
use crate::app::replays::NewReplay;
use crate::http::fields::Fields;
use crate::http::parameters::Parameters;
use crate::http::problem::Problem;
use crate::store::replays::What;

/// The job to make, and whether only to say what it would send.
pub(in crate::http::v1) fn new_replay(body: &[u8]) -> Result<(NewReplay, bool), Problem> {
    let mut fields = Fields::parse(body)?;
    let endpoint = fields.required("endpoint", MAX_NAME);
    let endpoint = uuid(&endpoint).unwrap_or_else(|| {
        if !endpoint.is_empty() {
            fields.refuse("endpoint", "is not an endpoint's id");
        }
        Uuid::nil()
    });
    let what = what(&mut fields);
    let schema = fields.name("schema", MAX_NAME);
    let dry_run = fields.flag("dry_run");
    fields.finish()?;
    Ok((NewReplay { endpoint, what, schema }, dry_run))
}

fn what(fields: &mut Fields<'_>) -> What {
    let what = fields.required("what", MAX_NAME);
    let since = fields.parsed("since", |text| {
        Timestamp::parse(text).map_err(|_| "is not a time such as 2026-11-21T10:00:00Z".to_owned())
    });
    match (what.as_str(), since) {
        ("dead", Some(_)) => {
            fields.refuse("since", "goes with what: since; what is dead is sent again from any time");
        }
        ("since", Some(time)) => return What::Since(time),
        ("since", None) => fields.missing("since"),
        // It is missing, which was noted.
        ("" | "dead", _) => {}
        _ => fields.refuse("what", "is none of dead, since"),
    }
    What::Dead
}

/// Whose jobs, before which, how many.
pub(in crate::http::v1) fn replay_list(
    uri: &Uri,
) -> Result<(Option<Uuid>, Option<ReplayCursor>, u64), Problem> {
    let query = Parameters::parse(uri.query(), &["endpoint", "limit", "cursor"])?;
    let endpoint = query.read("endpoint", "an endpoint's id", uuid)?;
    Ok((endpoint, position(&query, "cursor", ReplayCursor::parse)?, query.limit()?))
}
