//! Which keys a schema version's webhooks and questions go out with: what is missing, and what is kept of
//! keys that were made for an earlier version.
//!
//! A key belongs to an endpoint and is of one kind. A version that proves itself otherwise (`hook_auth`) leaves
//! the keys of the other kind where they are, for the way back; whoever installs it is told, since a key
//! that somebody may have lost comes into force again in this way.

use task_inbox_domain::schema::{HookAuth, OnError, Schema};

use super::webhook_keys;
use crate::store::registry::{Endpoint, EndpointStatus, Origin, Registry};
use crate::store::secrets::StoredSecret;

/// What bears the keys of a schema or of one of its types.
struct Bearer<'a> {
    origin: Origin,
    ttype: Option<&'a str>,
    /// Where its webhooks go; of callbacks, the first host.
    url: &'a str,
    auth: &'a HookAuth,
    /// The endpoint as it is without the version, if it is there.
    before: Option<&'a Endpoint>,
    /// Its keys, of either kind.
    keys: Vec<&'a StoredSecret>,
}

/// What there is to say of the keys of a schema version: `before` is what is installed without it.
pub(super) fn warnings(before: &Registry, schema: &Schema, secrets: &[StoredSecret]) -> Vec<String> {
    let bearers = bearers(before, schema, secrets);
    let missing = bearers.iter().filter(|bearer| !bearer.has_key()).map(|bearer| {
        let command = bearer.command(schema);
        format!("webhooks to {} wait for a key; make one with `{command}`", bearer.url)
    });
    let kept = bearers.iter().flat_map(|bearer| bearer.kept(schema));
    missing.chain(kept).chain(guards(schema, &bearers)).collect()
}

fn bearers<'a>(before: &'a Registry, schema: &'a Schema, secrets: &'a [StoredSecret]) -> Vec<Bearer<'a>> {
    let own = |origin, ttype, url, auth| {
        let endpoint = match origin {
            Origin::Callback => before.key_bearer(&schema.name, None),
            _ => before.endpoint_of(&schema.name, ttype),
        };
        let endpoint = endpoint.map(AsRef::as_ref);
        let keys = secrets.iter().filter(|s| endpoint.is_some_and(|e| e.id == s.endpoint_id)).collect();
        Bearer { origin, ttype, url, auth, before: endpoint, keys }
    };
    // Callbacks are signed with the keys of the schema's endpoint, where there is one.
    let of_schema = match (&schema.hook, &schema.callback) {
        (Some(hook), _) => Some(own(Origin::Schema, None, hook.url.as_str(), &hook.auth)),
        (None, Some(callback)) => {
            callback.hosts.first().map(|host| own(Origin::Callback, None, host.as_str(), &callback.auth))
        }
        (None, None) => None,
    };
    let hooks = schema.task_types.iter().filter_map(|ttype| Some((ttype, ttype.hook.as_ref()?)));
    let of_types =
        hooks.map(|(ttype, hook)| own(Origin::Type, Some(ttype.name.as_str()), &hook.url, &hook.auth));
    of_schema.into_iter().chain(of_types).collect()
}

impl Bearer<'_> {
    fn has_key(&self) -> bool {
        self.keys.iter().any(|key| key.auth_kind == self.auth.kind())
    }

    /// The command that makes its key.
    fn command(&self, schema: &Schema) -> String {
        webhook_keys::command(self.origin, "", &schema.name, self.ttype)
    }

    /// What becomes of its keys, where that is not what became of them before.
    fn kept(&self, schema: &Schema) -> Vec<String> {
        let Some(before) = self.before else { return Vec::new() };
        let returns = before.status == EndpointStatus::Removed;
        if !returns && before.hook.auth == *self.auth {
            return Vec::new();
        }
        let whose = self.ttype.map_or_else(|| schema.name.clone(), |t| format!("{} {t}", schema.name));
        let kind = self.auth.kind();
        let is_other_header = !returns && before.hook.auth.kind() == kind;
        let fate = |key: &&StoredSecret| {
            let StoredSecret { id, auth_kind, created, .. } = *key;
            let becomes = match self.auth {
                _ if auth_kind != kind => {
                    format!("is kept, unused while hook_auth is {kind}; going back uses it again")
                }
                HookAuth::Head { header } if is_other_header => {
                    format!("is kept, and goes out in the header {header} from now on")
                }
                _ => "is in force again".to_owned(),
            };
            format!(
                "the {auth_kind} key of {whose} that was made at {created} {becomes}; `task-inbox revoke_webhook_key \
                 {id}` ends it"
            )
        };
        self.keys.iter().map(fate).collect()
    }
}

/// Guards that can't be asked because nothing signs the question.
fn guards(schema: &Schema, bearers: &[Bearer<'_>]) -> Vec<String> {
    let of = |ttype: Option<&str>| bearers.iter().find(|bearer| bearer.ttype == ttype);
    let guarded = schema.task_types.iter().filter_map(|ttype| Some((ttype, ttype.guard.as_ref()?)));
    let unsigned = guarded.filter_map(|(ttype, guard)| {
        let advice = match of(Some(ttype.name.as_str())).or_else(|| of(None)) {
            Some(signer) if signer.has_key() => return None,
            Some(signer) => format!("make one with `{}`", signer.command(schema)),
            None => "keys belong to endpoints, so declare a default_hook_url, or a hook_url of the type"
                .to_owned(),
        };
        let until = match guard.on_error {
            OnError::Allow => "is let pass",
            OnError::Deny => "is refused",
        };
        Some(format!(
            "the guard of {} can't be asked without a key, and what it guards {until} until then; {advice}",
            ttype.name
        ))
    });
    unsigned.collect()
}
