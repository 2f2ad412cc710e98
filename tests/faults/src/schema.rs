//! The schema of the load: two types, two endpoints, every event delivered; and, where a scenario has
//! more endpoints, a type for each. The rule of its transitions is stated here again, independently of
//! the service.

/// Its name.
pub(crate) const NAME: &str = "ti:faults";
/// Its types, and the path of the endpoint of each.
pub(crate) const TYPES: [(&str, &str); 2] = [("flag-content", "/flag"), ("refund", "/refund")];
/// States of tasks of either type: those that wait, then those that are decided.
pub(crate) const PENDING: [&str; 2] = ["level1", "level2"];
const RESOLVED: [&str; 2] = ["block", "allow"];
/// What any open task may be decided to be.
pub(crate) const DECIDED: &str = RESOLVED[0];
/// Every state, unset first.
pub(crate) const STATES: [Option<&str>; 5] =
    [None, Some(PENDING[0]), Some(PENDING[1]), Some(RESOLVED[0]), Some(RESOLVED[1])];

/// The file, with its endpoints at this receiver, and more types with the URL of the endpoint of each.
pub(crate) fn file<'a>(
    url: impl Fn(&str) -> String,
    more: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> String {
    let [(first, first_path), (second, second_path)] = TYPES;
    let states =
        format!("  pending_states: [{}]\n  resolved_states: [{}]\n", PENDING.join(", "), RESOLVED.join(", "));
    let own = |name: &str, url: &str| {
        format!("- name: {name}\n  hook_url: {url}\n  hook_auth: {{kind: hmac}}\n{states}")
    };
    let mut file = format!(
        "name: '{NAME}'
semver: '1'
default_hook_url: {}
hook_auth: {{kind: hmac}}
hook_events: [task.created, task.state_changed]
tasktypes:
- name: {first}
{states}{}",
        url(first_path),
        own(second, &url(second_path)),
    );
    file.extend(more.into_iter().map(|(name, url)| own(name, url)));
    file
}

/// Whether a task may go from one state to another: every open state leads to every other, a
/// resolved one only back to unset.
pub(crate) fn allows(from: Option<&str>, to: Option<&str>) -> bool {
    match from {
        Some(from) if RESOLVED.contains(&from) => to.is_none(),
        _ => from != to,
    }
}
