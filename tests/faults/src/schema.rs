//! The schema of the load: two types, two endpoints, every event delivered. The rule of its
//! transitions is stated here again, independently of the service.

/// Its name.
pub(crate) const NAME: &str = "ti:faults";
/// Its types, and the path of the endpoint of each.
pub(crate) const TYPES: [(&str, &str); 2] = [("flag-content", "/flag"), ("refund", "/refund")];
/// States of tasks of either type: those that wait, then those that are decided.
pub(crate) const PENDING: [&str; 2] = ["level1", "level2"];
const RESOLVED: [&str; 2] = ["block", "allow"];
/// Every state, unset first.
pub(crate) const STATES: [Option<&str>; 5] =
    [None, Some(PENDING[0]), Some(PENDING[1]), Some(RESOLVED[0]), Some(RESOLVED[1])];

/// The file, with its endpoints at this receiver.
pub(crate) fn file(url: impl Fn(&str) -> String) -> String {
    let [(first, first_path), (second, second_path)] = TYPES;
    format!(
        "name: '{NAME}'
semver: '1'
default_hook_url: {default}
hook_auth: {{kind: hmac}}
hook_events: [task.created, task.state_changed]
tasktypes:
- name: {first}
  pending_states: [{pending}]
  resolved_states: [{resolved}]
- name: {second}
  hook_url: {own}
  hook_auth: {{kind: hmac}}
  pending_states: [{pending}]
  resolved_states: [{resolved}]
",
        default = url(first_path),
        own = url(second_path),
        pending = PENDING.join(", "),
        resolved = RESOLVED.join(", "),
    )
}

/// Whether a task may go from one state to another: every open state leads to every other, a
/// resolved one only back to unset.
pub(crate) fn allows(from: Option<&str>, to: Option<&str>) -> bool {
    match from {
        Some(from) if RESOLVED.contains(&from) => to.is_none(),
        _ => from != to,
    }
}
