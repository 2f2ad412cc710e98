//! `endpoints` and the commands below it.

use clap::builder::NonEmptyStringValueParser;
use serde_json::{Map, Value, json};
use task_inbox::config::duration;
use task_inbox::store::registry::{EndpointStatus, Origin};
use task_inbox_domain::webhook::format::Format;
use task_inbox_domain::{EventType, Rate};
use uuid::Uuid;

use crate::api::{Api, Call, Refusal};
use crate::output::{Answer, Cell, Table, list, shown, text};

/// Arguments of `endpoints`.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Endpoints {
    /// Only this one
    #[arg(conflicts_with_all = ["schema", "status", "origin"])]
    id: Option<Uuid>,
    /// Only those that get events of this schema
    #[arg(long)]
    schema: Option<String>,
    /// Only those in this status
    #[arg(long, value_parser = EndpointStatus::ALL.map(EndpointStatus::as_str))]
    status: Option<String>,
    /// Only those that come from there
    #[arg(long, value_parser = Origin::ALL.map(Origin::as_str))]
    origin: Option<String>,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What to do with an endpoint.
#[derive(clap::Subcommand)]
enum Command {
    /// Register an endpoint; its key is shown once
    Add(Add),
    /// Change a registered endpoint; what is not said stays
    Update(Update),
    /// Delete a registered endpoint, with what waits for it
    #[command(alias = "remove")]
    Rm {
        /// The endpoint
        id: Uuid,
        /// Do it: what waits for it is not sent
        #[arg(long, short)]
        yes: bool,
    },
    /// Let an endpoint's deliveries wait
    Pause {
        /// The endpoint
        id: Uuid,
        /// Why, for who looks at it
        #[arg(long)]
        message: Option<String>,
    },
    /// Let an endpoint that was paused or disabled take deliveries again
    Resume {
        /// The endpoint
        id: Uuid,
    },
    /// Send an endpoint a signed test event, and show what it answers; exit code 1 unless that is 2xx
    Test {
        /// The endpoint
        id: Uuid,
    },
}

#[derive(clap::Args)]
struct Add {
    /// Where webhooks go
    url: String,
    #[command(flatten)]
    said: Said,
    /// Take over this key instead of making one
    #[arg(long)]
    key: Option<String>,
}

#[derive(clap::Args)]
struct Update {
    /// The endpoint
    id: Uuid,
    /// Where webhooks go from now on
    #[arg(long)]
    url: Option<String>,
    #[command(flatten)]
    said: Said,
    /// Take back what was said of this; may be repeated
    #[arg(long = "unset", value_name = "FIELD", value_parser = FIELDS)]
    taken_back: Vec<String>,
}

/// What can be taken back, by the API's names.
const FIELDS: [&str; 10] = [
    "format",
    "schemas",
    "task_types",
    "event_types",
    "states",
    "headers",
    "rate",
    "concurrency",
    "timeout",
    "description",
];

/// What can be said of an endpoint.
#[derive(clap::Args)]
struct Said {
    /// The form of what is sent; the last three are shown as messages
    #[arg(long, value_parser = Format::ALL.map(Format::as_str))]
    format: Option<String>,
    /// Only events of this schema; may be repeated
    #[arg(long = "schema", value_name = "SCHEMA", value_parser = NonEmptyStringValueParser::new())]
    schemas: Vec<String>,
    /// Only events of tasks of this type; may be repeated
    #[arg(long = "type", value_name = "TYPE", value_parser = NonEmptyStringValueParser::new())]
    task_types: Vec<String>,
    /// Only these events; may be repeated
    #[arg(long = "event", value_name = "EVENT", value_parser = EventType::ALL.map(EventType::as_str))]
    event_types: Vec<String>,
    /// Only events after which a task is in this state, or unset; may be repeated
    #[arg(long = "state", value_name = "STATE", value_parser = NonEmptyStringValueParser::new())]
    states: Vec<String>,
    /// A header of its own; may be repeated
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
    /// The most attempts in a time: 100/s, 1000/m or 5000/h
    #[arg(long, value_parser = rate)]
    rate: Option<String>,
    /// The most attempts at once, of each replica
    #[arg(long)]
    concurrency: Option<u32>,
    /// The hard end of an attempt: 1s to 15s
    #[arg(long = "attempt-timeout", alias = "attempt_timeout", value_name = "SPAN", value_parser = span)]
    attempt_timeout: Option<String>,
    /// What it is for
    #[arg(long)]
    description: Option<String>,
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or_else(|| format!("{text:?} is not NAME: VALUE"))?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

fn rate(text: &str) -> Result<String, String> {
    Rate::parse(text).map(|rate| rate.to_string())
}

fn span(text: &str) -> Result<String, String> {
    duration::parse(text).map(|_| text.to_owned())
}

impl Said {
    /// As the API takes it, without what is not said.
    fn body(&self) -> Map<String, Value> {
        let headers: Map<_, _> =
            self.headers.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        let lists = [
            ("schemas", &self.schemas),
            ("task_types", &self.task_types),
            ("event_types", &self.event_types),
            ("states", &self.states),
        ];
        let said = [
            ("format", self.format.as_ref().map(|f| json!(f))),
            ("headers", (!headers.is_empty()).then(|| headers.into())),
            ("rate", self.rate.as_ref().map(|rate| json!(rate))),
            ("concurrency", self.concurrency.map(|most| json!(most))),
            ("timeout", self.attempt_timeout.as_ref().map(|span| json!(span))),
            ("description", self.description.as_ref().map(|text| json!(text))),
        ];
        let lists = lists.into_iter().filter(|(_, names)| !names.is_empty()).map(|(n, l)| (n, json!(l)));
        let said = said.into_iter().filter_map(|(name, value)| Some((name, value?)));
        said.chain(lists).map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

pub(crate) async fn run(args: &Endpoints, api: &Api) -> anyhow::Result<Answer> {
    match &args.command {
        None => show(args, api).await,
        Some(Command::Add(args)) => add(args, api).await,
        Some(Command::Update(args)) => update(args, api).await,
        Some(Command::Rm { id, yes }) => remove(*id, *yes, api).await,
        Some(Command::Pause { id, message }) => {
            let body = json!({ "message": message });
            let endpoint = api.send(Call::post(&["endpoints", &id.to_string(), "pause"], &body)).await?;
            let said = format!(
                "{id} is paused; deliveries that wait: {}. `task-inbox endpoints resume {id}` lets them go",
                waits(&endpoint)
            );
            Ok(Answer::new(endpoint, said))
        }
        Some(Command::Resume { id }) => {
            let call = Call::post(&["endpoints", &id.to_string(), "resume"], &json!({}));
            let endpoint = api.send(call).await?;
            let said = format!("{id} is active; deliveries that go out now: {}", waits(&endpoint));
            Ok(Answer::new(endpoint, said))
        }
        Some(Command::Test { id }) => test(*id, api).await,
    }
}

/// How many deliveries wait for it.
fn waits(endpoint: &Value) -> String {
    if endpoint["waiting"] == 10_000 { "10000 or more".to_owned() } else { shown(endpoint, "waiting") }
}

async fn show(args: &Endpoints, api: &Api) -> anyhow::Result<Answer> {
    let answer = if let Some(id) = args.id {
        json!({"endpoints": [api.send(Call::get(&["endpoints", &id.to_string()])).await?]})
    } else {
        let call = Call::get(&["endpoints"])
            .query("schema", args.schema.as_ref())
            .query("status", args.status.as_ref())
            .query("origin", args.origin.as_ref());
        api.send(call).await?
    };
    let row = |endpoint: &Value| {
        vec![
            shown(endpoint, "id").into(),
            Cell::status(shown(endpoint, "status")),
            Cell::status(shown(endpoint, "held")),
            waits(endpoint).into(),
            shown(endpoint, "url").into(),
            shown(endpoint, "origin").into(),
            shown(endpoint, "schemas").into(),
            shown(endpoint, "task_types").into(),
            shown(endpoint, "format").into(),
            shown(endpoint, "rate").into(),
            shown(endpoint, "status_reason").into(),
            shown(endpoint, "description").into(),
        ]
    };
    let head = [
        "id",
        "status",
        "held",
        "waiting",
        "url",
        "origin",
        "schemas",
        "types",
        "format",
        "rate",
        "reason",
        "description",
    ];
    let table = Table::new(&head)
        .none(
            "there are no endpoints; a schema's default_hook_url, a type's hook_url and `task-inbox endpoints add URL` \
             make one",
        )
        .rows(list(&answer, "endpoints").iter().map(row))
        .to_text();
    Ok(Answer::painted(answer, table))
}

async fn add(args: &Add, api: &Api) -> anyhow::Result<Answer> {
    let mut body = args.said.body();
    body.insert("url".to_owned(), json!(args.url));
    if let Some(key) = &args.key {
        body.insert("key".to_owned(), json!(key));
    }
    let made = api.send(Call::post(&["endpoints"], &body.into())).await?;
    let id = text(&made, "id");
    let said = format!(
        "{}\n\nThis key signs webhooks to {}; give it to the receiver. It is not shown again.\nThe endpoint is {id}; \
         `task-inbox endpoints test {id}` tries it.",
        text(&made, "key"),
        text(&made, "url"),
    );
    Ok(Answer::new(made.clone(), said).warn_of(&made))
}

async fn update(args: &Update, api: &Api) -> anyhow::Result<Answer> {
    let mut body = args.said.body();
    if let Some(url) = &args.url {
        body.insert("url".to_owned(), json!(url));
    }
    for field in &args.taken_back {
        if body.insert(field.clone(), Value::Null).is_some() {
            return Err(crate::output::Usage(format!("{field} is said and taken back at once")).into());
        }
    }
    if body.is_empty() {
        return Err(crate::output::Usage(
            "say what to change, or take something back with --unset".to_owned(),
        )
        .into());
    }
    let changed = api.send(Call::patch(&["endpoints", &args.id.to_string()], &body.into())).await?;
    let said = format!("{} is changed", args.id);
    Ok(Answer::new(changed.clone(), said).warn_of(&changed))
}

async fn remove(id: Uuid, yes: bool, api: &Api) -> anyhow::Result<Answer> {
    let path = ["endpoints", &id.to_string()];
    if !yes {
        let endpoint = api.send(Call::get(&path)).await?;
        let (url, waits) = (text(&endpoint, "url"), waits(&endpoint));
        return Err(Refusal::new(format!(
            "this would delete the endpoint {url} and withdraw the {waits} deliveries that wait for it; add --yes to do \
             it"
        ))
        .into());
    }
    let gone = api.send(Call::delete(&path)).await?;
    let said = format!("deleted {id}; {} deliveries were withdrawn", shown(&gone, "withdrawn"));
    Ok(Answer::new(gone, said))
}

async fn test(id: Uuid, api: &Api) -> anyhow::Result<Answer> {
    let found = api.send(Call::post(&["endpoints", &id.to_string(), "test"], &json!({}))).await?;
    let delivered = found["delivered"] == true;
    let (status, took) = (shown(&found, "status"), shown(&found, "duration_ms"));
    let mut said = if delivered {
        format!("delivered: it answered {status} after {took} ms")
    } else {
        format!("not delivered ({}, after {took} ms): {}", text(&found, "outcome"), shown(&found, "error"))
    };
    let response = text(&found, "response");
    if !response.is_empty() {
        said.push_str("\n\n");
        said.push_str(response);
    }
    Ok(Answer::new(found, said).ok(delivered))
}
