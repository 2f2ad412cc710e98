//! What a sender's words mean: limits of the short texts, the hash of a post, and how a name
//! that leads nowhere is answered.

use std::net::Ipv4Addr;

use serde_json::Value;
use sha2::{Digest, Sha256};
use task_inbox_domain::log::Hash;
use task_inbox_domain::merge_key;
use task_inbox_domain::schema::Schema;
use url::Url;

use super::error::Result;
use super::{AppError, PostTask, Principal};
use crate::outbound::{Policy, check_url};
use crate::store::registry::Registry;

/// The longest `external_id` and `on_behalf_of`, in characters.
const MAX_NAME: usize = 256;
/// The longest reason, in characters.
const MAX_REASON: usize = 4096;

fn check_name(pointer: &str, text: Option<&str>) -> Result<()> {
    let Some(text) = text else { return Ok(()) };
    let length = text.chars().count();
    if (1..=MAX_NAME).contains(&length) && !text.chars().any(char::is_control) {
        return Ok(());
    }
    let name = pointer.trim_start_matches('/');
    Err(AppError::invalid(
        pointer,
        format!("{name} has {length} characters; it must be 1 to {MAX_NAME}, without control characters"),
    ))
}

pub(super) fn check_external_id(text: Option<&str>) -> Result<()> {
    check_name("/external_id", text)
}

pub(super) fn check_merge_key(text: Option<&str>) -> Result<()> {
    match text.map(merge_key::check) {
        Some(Err(detail)) => Err(AppError::invalid("/merge_key", format!("merge_key {detail}"))),
        _ => Ok(()),
    }
}

pub(super) fn check_on_behalf_of(text: Option<&str>) -> Result<()> {
    check_name("/on_behalf_of", text)
}

pub(super) fn check_reason(text: Option<&str>) -> Result<()> {
    let Some(text) = text else { return Ok(()) };
    if text.contains('\0') {
        return Err(AppError::invalid("/reason", "reason contains U+0000, which can't be stored"));
    }
    match text.chars().count() {
        0..=MAX_REASON => Ok(()),
        length => Err(AppError::invalid(
            "/reason",
            format!("reason has {length} characters; at most {MAX_REASON} are kept"),
        )),
    }
}

/// Refuses to call back where the schema doesn't allow it, or where nothing may be sent.
pub(super) fn check_callback(url: &str, schema: &Schema, policy: &Policy) -> Result<()> {
    let refuse = |detail: String| Err(AppError::invalid("/callback_url", detail));
    let parsed = match task_inbox_domain::webhook::url::check(url) {
        Ok(parsed) => parsed,
        Err(detail) => return refuse(format!("callback_url {detail}")),
    };
    let Some(callback) = &schema.callback else {
        return refuse(format!(
            "tasks of {} can't be called back: its schema lists no callback_hosts",
            schema.name
        ));
    };
    let host = parsed.host_str().unwrap_or_default();
    if callback.host_for(host).is_none() {
        let hosts = callback.hosts.join(", ");
        return refuse(format!(
            "{host} is not one of the callback_hosts of {}, which are {hosts}",
            schema.name
        ));
    }
    // As for registered endpoints: what is never sent to is said at once.
    match refused_address(policy, &parsed) {
        None => Ok(()),
        Some(reason) => refuse(format!("callback_url {}", will_be_refused(&reason))),
    }
}

/// Why nothing will be sent to a URL, if that is certain. What a name resolves to is not asked here, for it may be
/// another address when something is sent; but `localhost` is loopback always (RFC 6761, section 6.3).
pub(super) fn refused_address(policy: &Policy, url: &Url) -> Option<String> {
    let reason = match url.host_str() {
        Some("localhost") => policy.judge(Ipv4Addr::LOCALHOST.into()).err()?.to_string(),
        _ => check_url(policy, url).err()?.to_string(),
    };
    Some(reason)
}

/// That nothing will be sent to an address, and what can be done.
pub(super) fn will_be_refused(reason: &str) -> String {
    format!("will be refused: {reason}; TASK_INBOX_ALLOW_NETS opens networks, and `--dev` opens loopback")
}

/// SHA-256 of what was posted, by meaning: white space, the order of keys and `1` for `1.0` make
/// no difference, and neither does a null for a field that is left out.
pub(super) fn content_hash(post: &PostTask) -> Hash {
    let mut hash = Sha256::new();
    for text in [Some(post.schema_name.as_str()), Some(post.task.as_str()), post.state.as_deref()] {
        match text {
            Some(text) => field(&mut hash, b's', text.as_bytes()),
            None => field(&mut hash, b'n', b""),
        }
    }
    value(&mut hash, &post.meta.as_ref().map_or(Value::Null, task_inbox_domain::Document::to_value));
    // Nothing where there is none: the same posts had these hashes before there were callbacks.
    if let Some(url) = &post.callback_url {
        field(&mut hash, b's', url.as_bytes());
    }
    // Likewise, and told from an address by its kind.
    if let Some(key) = &post.merge_key {
        field(&mut hash, b'm', key.as_bytes());
    }
    hash.finalize().into()
}

/// Every field is preceded by its kind and length, so that no two contents have the same bytes.
fn field(hash: &mut Sha256, kind: u8, bytes: &[u8]) {
    hash.update([kind]);
    hash.update((bytes.len() as u64).to_be_bytes());
    hash.update(bytes);
}

fn value(hash: &mut Sha256, of: &Value) {
    match of {
        Value::Null => field(hash, b'n', b""),
        Value::Bool(b) => field(hash, b'b', &[u8::from(*b)]),
        Value::Number(n) => match n.as_i64().or_else(|| n.as_f64().and_then(whole)) {
            Some(integer) => field(hash, b'i', &integer.to_be_bytes()),
            None => field(hash, b'f', &n.as_f64().unwrap_or_default().to_be_bytes()),
        },
        Value::String(text) => field(hash, b's', text.as_bytes()),
        Value::Array(items) => {
            field(hash, b'a', &(items.len() as u64).to_be_bytes());
            for item in items {
                value(hash, item);
            }
        }
        Value::Object(members) => {
            field(hash, b'o', &(members.len() as u64).to_be_bytes());
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by_key(|(key, _)| key.as_str());
            for (key, member) in members {
                field(hash, b'k', key.as_bytes());
                value(hash, member);
            }
        }
    }
}

/// A double that is an integer. What a document holds is below 2^53, so that nothing is lost.
fn whole(number: f64) -> Option<i64> {
    (number.fract() == 0.0 && number.abs() < 9.1e15).then_some(number as i64)
}

/// Which name of a post leads nowhere, and which ones would lead somewhere.
pub(super) fn no_such_type(registry: &Registry, who: &Principal, schema: &str, task: &str) -> String {
    match registry.latest(schema).filter(|_| who.sees(schema)) {
        Some(version) => {
            let types: Vec<_> = version.schema.task_types.iter().map(|t| t.name.as_str()).collect();
            format!(
                "schema {schema} has no task type {task:?} in its latest version, {}; it has {}",
                version.schema.version,
                types.join(", ")
            )
        }
        None => no_such_schema(registry, who, schema),
    }
}

/// That there is no such schema, and which ones there are.
pub(super) fn no_such_schema(registry: &Registry, who: &Principal, schema: &str) -> String {
    let mut names = registry.schema_names();
    names.retain(|name| who.sees(name));
    match names.as_slice() {
        [] if who.sees_all() => {
            format!(
                "there is no schema {schema:?}, and none is installed; install one with `task-inbox taskschema FILE`"
            )
        }
        [] => format!("there is no schema {schema:?} that this key sees"),
        names => format!("there is no schema {schema:?}; there is {}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use task_inbox_domain::Document;

    fn hash(meta: Option<&str>, state: Option<&str>) -> Hash {
        content_hash(&PostTask {
            schema_name: "s".to_owned(),
            task: "t".to_owned(),
            state: state.map(str::to_owned),
            meta: meta.map(|m| Document::parse(m).expect("JSON")),
            external_id: None,
            callback_url: None,
            merge_key: None,
        })
    }

    #[test]
    fn the_same_meaning_has_the_same_hash() {
        let one = hash(Some(r#"{"a":1,"b":[1.0,"x"],"c":{"d":null,"e":-0.5}}"#), None);
        let same = hash(Some(r#"{ "c": {"e":-5e-1,"d":null}, "b":[1,"x"], "a":1.0 }"#), None);
        assert_eq!(one, same);
    }

    #[test]
    fn another_meaning_has_another_hash() {
        let texts = [
            r#"{"a":[]}"#,
            r#"{"a":{}}"#,
            r#"{"a":""}"#,
            r#"{"a":null}"#,
            "{}",
            r#"{"a":["b","c"]}"#,
            r#"{"a":["bc"]}"#,
        ];
        for (i, a) in texts.iter().enumerate() {
            for b in &texts[i + 1..] {
                assert_ne!(hash(Some(a), None), hash(Some(b), None), "{a} {b}");
            }
            assert_ne!(hash(Some(a), None), hash(Some(a), Some("x")));
            assert_ne!(hash(Some(a), None), hash(None, None));
        }
    }

    #[test]
    fn short_texts_are_bounded() {
        for good in [None, Some("x"), Some("order 7 / é"), Some(&*"x".repeat(256))] {
            assert!(check_external_id(good).is_ok(), "{good:?}");
        }
        for bad in ["", "a\nb", "\u{7f}", &"x".repeat(257)] {
            assert!(matches!(check_external_id(Some(bad)), Err(AppError::Invalid { .. })), "{bad:?}");
        }
        assert!(check_reason(Some("two\nlines")).is_ok());
        assert!(check_reason(Some("\0")).is_err());
        assert!(check_reason(Some(&"x".repeat(4097))).is_err());
    }
}
