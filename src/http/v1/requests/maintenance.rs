//! What is sent about maintenance.

use axum::http::Uri;

use super::{ANY, MAX_NAME};
use crate::app::duration;
use crate::app::maintenance::NewMaintenance;
use crate::http::fields::Fields;
use crate::http::parameters::Parameters;
use crate::http::problem::Problem;

/// The maintenance to begin.
pub(in crate::http::v1) fn new(body: &[u8]) -> Result<NewMaintenance, Problem> {
    let mut fields = Fields::parse(body)?;
    let new = NewMaintenance {
        schema: fields.name("schema", MAX_NAME),
        message: fields.name("message", ANY),
        retry_after: fields.parsed("retry_after", duration::parse),
        hold_deliveries: fields.flag("hold_deliveries"),
    };
    fields.finish()?;
    Ok(new)
}

/// Whose maintenance to end.
pub(in crate::http::v1) fn schema(uri: &Uri) -> Result<Option<String>, Problem> {
    let query = Parameters::parse(uri.query(), &["schema"])?;
    Ok(query.text("schema")?.map(str::to_owned))
}
