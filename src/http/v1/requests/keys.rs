//! What is sent about keys.

use axum::http::Uri;

use super::{ANY, MAX_NAME, uuid};
use crate::app::Permission;
use crate::app::duration;
use crate::app::keys::NewKey;
use crate::app::rate::Rate;
use crate::app::webhook_keys::NewWebhookKey;
use crate::http::fields::Fields;
use crate::http::parameters::Parameters;
use crate::http::problem::Problem;
use crate::store::secrets::MAX_REKEYED;

/// The API key to make.
pub(in crate::http::v1) fn new_api_key(body: &[u8]) -> Result<NewKey, Problem> {
    let mut fields = Fields::parse(body)?;
    let permissions = fields.names("permissions", MAX_NAME).map(|names| permissions(&mut fields, &names));
    let new = NewKey {
        name: fields.required("name", ANY),
        schemas: fields.names("schemas", ANY),
        permissions,
        expires: fields.parsed("expires_in", duration::parse),
        rate: fields.parsed("rate", Rate::parse),
        key: fields.name("key", ANY),
    };
    fields.finish()?;
    Ok(new)
}

fn permissions(fields: &mut Fields<'_>, names: &[String]) -> Vec<Permission> {
    let mut known = Vec::with_capacity(names.len());
    for (i, name) in names.iter().enumerate() {
        match Permission::parse(name) {
            Some(permission) if known.contains(&permission) => {}
            Some(permission) => known.push(permission),
            None => {
                let all = Permission::ALL.map(Permission::as_str).join(", ");
                fields.refuse(&format!("permissions/{i}"), format!("is none of {all}"));
            }
        }
    }
    known
}

/// The webhook key to make.
pub(in crate::http::v1) fn new_webhook_key(body: &[u8]) -> Result<NewWebhookKey, Problem> {
    let mut fields = Fields::parse(body)?;
    let endpoint =
        fields.parsed("endpoint", |text| uuid(text).ok_or_else(|| "is not an endpoint's id".to_owned()));
    let new = NewWebhookKey {
        schema: fields.name("schema", MAX_NAME).unwrap_or_default(),
        ttype: fields.name("type", MAX_NAME),
        endpoint,
        key: fields.name("key", ANY),
        rotate: fields.flag("rotate"),
        overlap: fields.parsed("overlap", duration::parse),
    };
    match (endpoint, new.schema.as_str(), &new.ttype) {
        (None, "", _) => fields.missing("schema"),
        (Some(_), schema, ttype) if !schema.is_empty() || ttype.is_some() => {
            fields.refuse("endpoint", "is named in the place of a schema and a type, not with them");
        }
        _ => {}
    }
    fields.finish()?;
    Ok(new)
}

/// Whose webhook keys.
pub(in crate::http::v1) fn webhook_key_list(uri: &Uri) -> Result<Option<String>, Problem> {
    let query = Parameters::parse(uri.query(), &["schema"])?;
    Ok(query.text("schema")?.map(str::to_owned))
}

/// How many webhook keys to encrypt anew; a body is not needed.
pub(in crate::http::v1) fn rekey(body: &[u8]) -> Result<usize, Problem> {
    if body.is_empty() {
        return Ok(MAX_REKEYED);
    }
    let mut fields = Fields::parse(body)?;
    let limit = fields.integer("limit", 1..=MAX_REKEYED as i64);
    fields.finish()?;
    Ok(limit.map_or(MAX_REKEYED, |limit| limit as usize))
}
