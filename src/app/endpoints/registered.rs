//! Registering endpoints, changing them and taking them away.

use std::time::Duration;

use task_inbox_domain::schema::validate::Problem;
use task_inbox_domain::schema::{Hook, HookAuth, UNSET};
use task_inbox_domain::webhook::format::Format;
use task_inbox_domain::webhook::interest::{Interest, MAX_NAMES};
use task_inbox_domain::webhook::signing::{Secret, check_header_name};
use task_inbox_domain::{EventType, Rate};
use url::Url;
use uuid::Uuid;

use super::{EndpointView, announce, no_such, of_id, view};
use crate::app::error::Result;
use crate::app::patience::patiently;
use crate::app::{App, AppError, Permission, Principal, content, webhook_keys};
use crate::outbound::FailureKind;
use crate::store::endpoints as stored;
use crate::store::registry::{Endpoint, EndpointStatus, Origin, Registry, Treatment};
use crate::store::secrets::{HEADERS, NewSecret};

/// The longest description, in characters.
const MAX_DESCRIPTION: usize = 1_000;
/// The most headers of an endpoint's own, and the longest value.
const MAX_HEADERS: usize = 20;
const MAX_HEADER: usize = 1_024;
/// The most attempts at once that can be asked for.
pub const MAX_CONCURRENCY: u32 = 128;
/// How long it may take to find out where a URL leads.
const LOOK_UP: Duration = Duration::from_secs(2);
/// The shortest and the longest time-out.
pub const TIMEOUTS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));

/// What an owner says of an endpoint. In a change, what is not said stays, and an inner `None` takes back
/// what was said.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EndpointChange {
    /// Where webhooks go.
    pub url: Option<String>,
    /// In which form.
    pub format: Option<Format>,
    /// Only events of these schemas.
    pub schemas: Option<Option<Vec<String>>>,
    /// Only events of tasks of types with these names.
    pub task_types: Option<Option<Vec<String>>>,
    /// Only these events.
    pub event_types: Option<Option<Vec<EventType>>>,
    /// Only events of tasks that are in one of these states after it; `unset` is a state.
    pub states: Option<Option<Vec<String>>>,
    /// Headers of its own.
    pub headers: Option<Option<Vec<(String, String)>>>,
    /// The most attempts in a time.
    pub rate: Option<Option<Rate>>,
    /// The most attempts at once.
    pub concurrency: Option<Option<u32>>,
    /// The hard end of an attempt.
    pub timeout: Option<Option<Duration>>,
    /// What it is for.
    pub description: Option<Option<String>>,
}

impl EndpointChange {
    /// What it says something of, by column.
    fn said(&self) -> Vec<&'static str> {
        let fields = [
            ("url", self.url.is_some()),
            ("body_shape", self.format.is_some()),
            ("schemas", self.schemas.is_some()),
            ("task_types", self.task_types.is_some()),
            ("event_types", self.event_types.is_some()),
            ("states", self.states.is_some()),
            ("header_names", self.headers.is_some()),
            ("rate_limit", self.rate.is_some()),
            ("concurrency", self.concurrency.is_some()),
            ("timeout_ms", self.timeout.is_some()),
            ("description", self.description.is_some()),
        ];
        fields.into_iter().filter(|(_, said)| *said).map(|(column, _)| column).collect()
    }
}

/// An endpoint that was registered, with its key: the only time that it is shown.
#[derive(Clone, Debug)]
pub struct Registered {
    /// The endpoint.
    pub view: EndpointView,
    /// What its webhooks are signed with.
    pub key: String,
}

/// Registers an endpoint. `key` is one to take over; otherwise one is made.
pub async fn create(
    app: &App,
    who: &Principal,
    change: EndpointChange,
    key: Option<&str>,
) -> Result<Registered> {
    who.may(Permission::EndpointsWrite)?;
    let registry = app.registry.refresh(&app.db).await?;
    let blank = Endpoint {
        id: Uuid::now_v7(),
        origin: Origin::Registered,
        schema: String::new(),
        ttype: None,
        hook: Hook { url: String::new(), auth: HookAuth::Hmac },
        format: Format::Full,
        interest: Interest::default(),
        treatment: Treatment::default(),
        description: None,
        declared: true,
        generation: 0,
        status: EndpointStatus::Active,
        status_reason: None,
        keys_of: Uuid::nil(),
        has_key: true,
        key_end: None,
    };
    if change.url.is_none() {
        return Err(AppError::invalid("/url", "url is required: where webhooks go"));
    }
    let headers = change.headers.clone().flatten();
    let endpoint = changed(app, who, &registry, blank, change)?;
    let warning = look_up(app, &endpoint).await?;
    let secret = match key {
        Some(text) => {
            Secret::parse(&HookAuth::Hmac, text).map_err(|e| AppError::invalid("/key", e.to_string()))?
        }
        None => webhook_keys::generate(&HookAuth::Hmac),
    };
    let kept = sealed(app, endpoint.id, HookAuth::Hmac.kind(), secret.expose())?;
    let headers = sealed_headers(app, endpoint.id, headers)?;
    patiently(|| stored::create(&app.db, &endpoint, &kept, headers.as_ref())).await?;
    // The endpoint is kept, and this is the only time that its key is shown: a database that is gone now
    // must not hide it. Who has not heard of it looks within a second.
    if let Err(error) = announce(app).await {
        tracing::warn!(%error, "a new endpoint could not be announced");
    }
    let made = EndpointView::made(&endpoint, App::now());
    let view = EndpointView { warnings: warning.into_iter().collect(), ..made };
    Ok(Registered { view, key: secret.expose().to_owned() })
}

/// Changes a registered endpoint.
pub async fn update(app: &App, who: &Principal, id: Uuid, change: EndpointChange) -> Result<EndpointView> {
    let (registry, endpoint) = registered(app, who, id).await?;
    if change == EndpointChange::default() {
        return view(app, who, id).await;
    }
    let (moves, mut change, mut warnings) = (change.url.is_some(), change, Vec::new());
    if let Some(warning) = leave_headers(&endpoint, &mut change) {
        warnings.push(warning);
    }
    let (said, headers) = (change.said(), change.headers.clone().flatten());
    let endpoint = changed(app, who, &registry, endpoint, change)?;
    if moves {
        warnings.extend(look_up(app, &endpoint).await?);
    }
    let headers = sealed_headers(app, id, headers)?;
    if !patiently(|| stored::update(&app.db, &endpoint, &said, headers.as_ref())).await? {
        return Err(no_such(id));
    }
    announce(app).await?;
    Ok(EndpointView { warnings, ..view(app, who, id).await? })
}

/// A URL at another origin gets none of the headers that were meant for the former: they may be credentials there,
/// and who changes a URL need not know them. Says so.
fn leave_headers(endpoint: &Endpoint, change: &mut EndpointChange) -> Option<String> {
    let origin = |url: &str| Url::parse(url).map(|url| url.origin()).ok();
    let moves = change.url.as_deref().is_some_and(|url| origin(url) != origin(&endpoint.hook.url));
    let names = &endpoint.treatment.headers;
    if !moves || names.is_empty() || change.headers.is_some() {
        return None;
    }
    change.headers = Some(None);
    Some(format!(
        "its headers ({}) were for the former URL and are taken away: say them again with their values",
        names.join(", ")
    ))
}

/// Something of an endpoint's to keep, encrypted.
fn sealed(app: &App, endpoint_id: Uuid, auth_kind: &'static str, text: &str) -> Result<NewSecret> {
    let id = Uuid::now_v7();
    let (master_key_id, ciphertext) = app.vault.seal(id, text)?;
    Ok(NewSecret {
        id,
        endpoint_id,
        auth_kind,
        master_key_id,
        ciphertext,
        created: App::now(),
        replaces: None,
    })
}

/// The values of headers, to keep.
fn sealed_headers(
    app: &App,
    endpoint: Uuid,
    headers: Option<Vec<(String, String)>>,
) -> Result<Option<NewSecret>> {
    let Some(headers) = headers.filter(|headers| !headers.is_empty()) else { return Ok(None) };
    let text = serde_json::to_string(&headers).expect("pairs of texts are JSON");
    sealed(app, endpoint, HEADERS, &text).map(Some)
}

/// Refuses a name that leads where nothing may be sent; what can't be looked up may be a receiver that is yet to
/// be deployed, and is warned of.
async fn look_up(app: &App, endpoint: &Endpoint) -> Result<Option<String>> {
    let Ok(url) = Url::parse(&endpoint.hook.url) else { return Ok(None) };
    let Err(failure) = app.client.look_up(&url, LOOK_UP).await else { return Ok(None) };
    match failure.kind {
        FailureKind::AddressRefused => {
            Err(AppError::invalid("/url", format!("url {}", content::will_be_refused(&failure.detail))))
        }
        _ => Ok(Some(format!(
            "whether webhooks may reach {} is not known: {}",
            url.host_str().unwrap_or_default(),
            failure.detail
        ))),
    }
}

/// Takes a registered endpoint away, with what waits for it; returns how many deliveries were withdrawn.
pub async fn remove(app: &App, who: &Principal, id: Uuid) -> Result<u64> {
    registered(app, who, id).await?;
    let withdrawn = patiently(|| stored::remove(&app.db, id)).await?.ok_or_else(|| no_such(id))?;
    announce(app).await?;
    Ok(withdrawn)
}

/// An endpoint that its owner may change here: not one that a schema's file declares.
async fn registered(app: &App, who: &Principal, id: Uuid) -> Result<(std::sync::Arc<Registry>, Endpoint)> {
    who.may(Permission::EndpointsWrite)?;
    let (registry, endpoint) = of_id(app, who, id).await?;
    if endpoint.origin != Origin::Registered {
        return Err(AppError::conflict(format!(
            "the endpoint {id} is declared by the schema {}: install a new version of it; pause and resume work on \
             any endpoint",
            endpoint.schema
        )));
    }
    Ok((registry, endpoint))
}

/// The endpoint as it is with this change, if that is right.
fn changed(
    app: &App,
    who: &Principal,
    registry: &Registry,
    mut endpoint: Endpoint,
    change: EndpointChange,
) -> Result<Endpoint> {
    let mut problems = Vec::new();
    if let Some(url) = change.url {
        check_url(app, &url, &mut problems);
        endpoint.hook.url = url;
    }
    if let Some(format) = change.format {
        endpoint.format = format;
    }
    let interest = &mut endpoint.interest;
    let names_schemas = change.schemas.is_some();
    set(&mut interest.schemas, change.schemas.map(names));
    set(&mut interest.task_types, change.task_types.map(names));
    set(&mut interest.event_types, change.event_types.map(names));
    let unset = |name: String| Some(name).filter(|name| name != UNSET);
    let states = change.states.map(names);
    set(&mut interest.states, states.map(|s| s.map(|s| s.into_iter().map(unset).collect())));
    check_interest(who, registry, interest, names_schemas, &mut problems)?;
    for list in [&mut interest.schemas, &mut interest.task_types] {
        each_once(list);
    }
    each_once(&mut interest.event_types);
    each_once(&mut interest.states);
    let treatment = &mut endpoint.treatment;
    if let Some(headers) = change.headers {
        let headers = headers.unwrap_or_default();
        check_headers(&headers, &mut problems);
        treatment.headers = headers.into_iter().map(|(name, _)| name).collect();
    }
    set(&mut treatment.rate, change.rate);
    set(&mut treatment.concurrency, change.concurrency);
    set(&mut treatment.timeout, change.timeout);
    if treatment.concurrency.is_some_and(|most| !(1..=MAX_CONCURRENCY).contains(&most)) {
        problems.push(Problem::new("/concurrency", format!("must be from 1 to {MAX_CONCURRENCY}")));
    }
    if treatment.timeout.is_some_and(|timeout| timeout < TIMEOUTS.0 || timeout > TIMEOUTS.1) {
        problems.push(Problem::new("/timeout", "must be from 1s to 15s"));
    }
    set(&mut endpoint.description, change.description);
    if endpoint.description.as_ref().is_some_and(|text| text.chars().count() > MAX_DESCRIPTION) {
        problems.push(Problem::new("/description", format!("is longer than {MAX_DESCRIPTION} characters")));
    }
    if problems.is_empty() {
        Ok(endpoint)
    } else {
        Err(AppError::problems("the endpoint is not right", problems))
    }
}

#[expect(clippy::option_option, reason = "not said, taken back, or said")]
fn set<T>(field: &mut Option<T>, change: Option<Option<T>>) {
    if let Some(value) = change {
        *field = value;
    }
}

/// An empty list is none.
fn names<T>(list: Option<Vec<T>>) -> Option<Vec<T>> {
    list.filter(|names| !names.is_empty())
}

/// Leaves out what a list names again: an endpoint that named a schema twice would be told everything twice.
fn each_once<T: PartialEq>(list: &mut Option<Vec<T>>) {
    // One that is too long is refused, and not worth the comparing.
    if let Some(names) = list.as_mut().filter(|names| names.len() <= MAX_NAMES) {
        let mut kept = Vec::with_capacity(names.len());
        for name in names.drain(..) {
            if !kept.contains(&name) {
                kept.push(name);
            }
        }
        *names = kept;
    }
}

fn check_url(app: &App, url: &str, problems: &mut Vec<Problem>) {
    match task_inbox_domain::webhook::url::check(url) {
        Err(detail) => problems.push(Problem::new("/url", detail)),
        Ok(parsed) => {
            if let Some(reason) = content::refused_address(&app.policy, &parsed) {
                problems.push(Problem::new("/url", content::will_be_refused(&reason)));
            }
        }
    }
}

/// A key hears of no more by an endpoint than it sees itself. Which schemas there are is asked where they are named:
/// one that went meanwhile is no reason to refuse another rate.
fn check_interest(
    who: &Principal,
    registry: &Registry,
    interest: &Interest,
    names_schemas: bool,
    problems: &mut Vec<Problem>,
) -> Result<()> {
    match &interest.schemas {
        None if !who.sees_all() => {
            return Err(AppError::Forbidden(
                "this key sees some schemas only: say which ones the endpoint is for, in schemas".to_owned(),
            ));
        }
        None => {}
        Some(names) if names.len() > MAX_NAMES => {}
        Some(names) => {
            let known =
                |name: &&String| who.sees(name) && (!names_schemas || registry.latest(name).is_some());
            for (i, name) in names.iter().enumerate().filter(|(_, name)| !known(name)) {
                let detail = content::no_such_schema(registry, who, name);
                problems.push(Problem::new(format!("/schemas/{i}"), detail));
            }
        }
    }
    let counts = [
        ("schemas", interest.schemas.as_ref().map_or(0, Vec::len)),
        ("task_types", interest.task_types.as_ref().map_or(0, Vec::len)),
        ("event_types", interest.event_types.as_ref().map_or(0, Vec::len)),
        ("states", interest.states.as_ref().map_or(0, Vec::len)),
    ];
    for (name, _) in counts.iter().filter(|(_, count)| *count > MAX_NAMES) {
        problems.push(Problem::new(format!("/{name}"), format!("names more than {MAX_NAMES}")));
    }
    Ok(())
}

fn check_headers(headers: &[(String, String)], problems: &mut Vec<Problem>) {
    if headers.len() > MAX_HEADERS {
        problems.push(Problem::new("/headers", format!("has more than {MAX_HEADERS} headers")));
    }
    for (i, (name, value)) in headers.iter().enumerate() {
        let pointer = format!("/headers/{}", name.replace('~', "~0").replace('/', "~1"));
        if let Err(detail) = check_header_name(name) {
            problems.push(Problem::new(&*pointer, detail));
        }
        // Visible ASCII and spaces inside: what every HTTP library reads alike (RFC 9110, section 5.5).
        let visible = value.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
        if !visible || value.len() > MAX_HEADER || value.trim() != value || value.is_empty() {
            let detail = format!("its value must be 1 to {MAX_HEADER} visible ASCII characters");
            problems.push(Problem::new(&*pointer, detail));
        }
        if headers[..i].iter().any(|(other, _)| other.eq_ignore_ascii_case(name)) {
            problems.push(Problem::new(&*pointer, "is there twice"));
        }
    }
}
