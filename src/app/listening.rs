//! Listening to topics: who may, and for how long.

use std::collections::HashMap;
use std::sync::Arc;

use uuid::Uuid;

use super::error::Result;
use super::tokens::{self, Claims};
use super::{App, AppError, Permission, Principal, tasks};
use crate::realtime::hub::Grant;
use crate::realtime::topic::{Of, Topic, What};

/// A token for the realtime connection.
#[derive(Clone, Debug)]
pub struct Token {
    /// The JWT.
    pub token: String,
    /// How long it can be used to listen, in seconds.
    pub expires_in: u64,
}

/// Why topics can't be listened to.
#[derive(Clone, Debug)]
pub enum Refused {
    /// The token is none, or over, or doesn't reach so far.
    Auth,
    /// There is no such thing.
    Topic,
    /// The database fails.
    Failed(AppError),
}

/// What a permission lets be listened to, as the resource and action of a scope.
const SCOPES: [(Permission, &str); 3] = [
    (Permission::TasksRead, "task:read"),
    (Permission::SchemasRead, "schema:read"),
    (Permission::EndpointsRead, "delivery:read"),
];

/// What it takes to listen to this.
const fn needed(what: What) -> (Permission, &'static str) {
    match what {
        What::TaskCreated | What::StateUpdated | What::AssignmentUpdated | What::CommentCreated => SCOPES[0],
        What::SchemaVersionCreated => SCOPES[1],
        What::AttemptFailed => SCOPES[2],
    }
}

/// A token with what the caller may listen to.
///
/// # Errors
///
/// [`AppError::Forbidden`] for a caller without a key, which could not be taken from it again.
pub fn token(app: &App, who: &Principal) -> Result<Token> {
    let Some(holder) = who.key_id else {
        return Err(AppError::Forbidden("a token for realtime is given to an API key".to_owned()));
    };
    let token = tokens::sign(&app.vault, holder, scopes(who))?;
    Ok(Token { token, expires_in: tokens::LIFETIME })
}

fn scopes(who: &Principal) -> Vec<String> {
    let held = SCOPES.iter().filter(|(permission, _)| who.permissions.contains(permission));
    held.flat_map(|(_, scope)| match &who.schemas {
        None => vec![(*scope).to_owned()],
        Some(schemas) => schemas.iter().map(|schema| format!("{scope}:{schema}")).collect(),
    })
    .collect()
}

/// By what right each of these topics may be listened to with this token.
///
/// # Errors
///
/// The first topic that may not be.
pub async fn authorize(app: &App, token: &str, topics: &[Topic]) -> std::result::Result<Vec<Grant>, Refused> {
    let claims = tokens::read(&app.vault, token).ok_or(Refused::Auth)?;
    let who = app.keys.holder(&app.db, claims.sub, App::now()).await.map_err(refused)?;
    let mut grants = Vec::with_capacity(topics.len());
    for topic in topics {
        grants.push(grant(app, &who, &claims, topic).await?);
    }
    Ok(grants)
}

async fn grant(
    app: &App,
    who: &Principal,
    claims: &Claims,
    topic: &Topic,
) -> std::result::Result<Grant, Refused> {
    let schema: Option<Arc<str>> = match &topic.of {
        Of::Everything => None,
        Of::Schema(name) => Some(Arc::from(&**name)),
        // One that the caller may not see is not there.
        Of::Task(id) => Some(tasks::get(app, who, *id).await.map_err(refused)?.task.schema.into()),
    };
    let grant = Grant { holder: claims.sub, schema };
    if !is_scope(&claims.scopes, topic.what, grant.schema.as_deref()) || !may(who, topic, &grant) {
        return Err(Refused::Auth);
    }
    if let Of::Schema(name) = &topic.of
        && app.registry.current().latest(name).is_none()
        && app.registry.refresh(&app.db).await.map_err(|e| refused(e.into()))?.latest(name).is_none()
    {
        return Err(Refused::Topic);
    }
    Ok(grant)
}

fn refused(error: AppError) -> Refused {
    match error {
        AppError::Forbidden(_) | AppError::Unauthenticated(_) => Refused::Auth,
        AppError::NotFound(_) => Refused::Topic,
        other => Refused::Failed(other),
    }
}

fn is_scope(scopes: &[String], what: What, schema: Option<&str>) -> bool {
    let (_, needed) = needed(what);
    scopes.iter().any(|scope| match scope.strip_prefix(needed) {
        Some("") => true,
        Some(rest) => rest.strip_prefix(':').is_some_and(|of| Some(of) == schema),
        None => false,
    })
}

fn may(who: &Principal, topic: &Topic, grant: &Grant) -> bool {
    let sees = grant.schema.as_deref().map_or(who.sees_all(), |schema| who.sees(schema));
    sees && who.permissions.contains(&needed(topic.what).0)
}

/// Ends what is listened to by keys that have ended.
pub fn revoke(app: &App) {
    if app.tail.hub().is_empty() {
        return;
    }
    let now = App::now();
    let holders: std::cell::RefCell<HashMap<Uuid, Option<Principal>>> = std::cell::RefCell::default();
    app.tail.hub().revoke(|topic, grant| {
        let mut holders = holders.borrow_mut();
        let who = holders
            .entry(grant.holder)
            .or_insert_with(|| app.keys.by_id(grant.holder, now).and_then(std::result::Result::ok));
        who.as_ref().is_some_and(|who| may(who, topic, grant))
    });
}
