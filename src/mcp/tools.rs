//! The tools, as agents read them: what each is for, what it takes and what it gives back.
//!
//! One tool asks for a decision of any type. A tool for each type would spare an agent one look, but the list of tools
//! would depend on the key and on what is installed, a server without sessions could tell nobody that it has changed,
//! and an inbox with fifty types would fill an agent's context before it asks anything.

use std::sync::LazyLock;

use rmcp::model::Tool;
use serde_json::{Value, json};
use task_inbox_domain::schema::validate::Validator;

use super::waits::MOST;

/// One of the tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    ListTaskTypes,
    RequestDecision,
    WaitForDecision,
    CancelRequest,
    GetTask,
}

/// A tool with what it takes, compiled.
pub(super) struct Declared {
    pub(super) kind: Kind,
    pub(super) tool: Tool,
    pub(super) input: Validator,
}

static ALL: LazyLock<Vec<Declared>> = LazyLock::new(|| {
    vec![
        declare(Kind::ListTaskTypes, list_task_types()),
        declare(Kind::RequestDecision, request_decision()),
        declare(Kind::WaitForDecision, wait_for_decision()),
        declare(Kind::CancelRequest, cancel_request()),
        declare(Kind::GetTask, get_task()),
    ]
});

/// All tools, in the order in which they are used.
pub(super) fn all() -> impl Iterator<Item = &'static Declared> {
    ALL.iter()
}

/// A tool by its name.
pub(super) fn find(name: &str) -> Option<&'static Declared> {
    all().find(|declared| declared.tool.name == name)
}

fn declare(kind: Kind, tool: Value) -> Declared {
    let input = Validator::compile(&tool["inputSchema"]).expect("a tool's own schema is one");
    Declared { kind, tool: serde_json::from_value(tool).expect("a tool is written as one"), input }
}

/// What may be hinted of a tool that changes nothing.
fn reads() -> Value {
    json!({"readOnlyHint": true, "idempotentHint": true, "openWorldHint": false})
}

fn list_task_types() -> Value {
    json!({
        "name": "list_task_types",
        "title": "List what can be asked",
        "description": "Lists the types of decisions that can be asked for with request_decision: what each is for, \
            `input` (the JSON Schema that meta must match), the states in which it can end, and `output` (for such a \
            state, the JSON Schema of what comes back with it).",
        "annotations": reads(),
        "inputSchema": {
            "type": "object",
            "properties": {
                "schema": {"type": "string", "description": "Only the types of this schema"},
            },
            "additionalProperties": false,
        },
        "outputSchema": {
            "type": "object",
            "required": ["types"],
            "properties": {"types": {"type": "array", "items": {
                "type": "object",
                "required": ["schema", "semver", "type", "title", "description", "input", "states", "output", "reason_required",
                    "timeouts", "binds"],
                "properties": {
                    "schema": {"type": "string"},
                    "semver": {"type": "string"},
                    "type": {"type": "string"},
                    "title": {"type": ["string", "null"]},
                    "description": {"type": ["string", "null"]},
                    "input": {"description": "JSON Schema of meta; null: meta may be any object"},
                    "states": {
                        "type": "object",
                        "required": ["initial", "pending", "resolved"],
                        "properties": {
                            "initial": {"type": ["string", "null"]},
                            "pending": {"type": "array", "items": {"type": "string"}},
                            "resolved": {"type": "array", "items": {"type": "string"},
                                "description": "The outcomes that there can be"},
                        },
                    },
                    "output": {"type": "object",
                        "description": "JSON Schema of output, for each outcome that has one"},
                    "reason_required": {"type": "array", "items": {"type": "string"},
                        "description": "The outcomes for which a reason is always given"},
                    "timeouts": {"type": ["object", "null"],
                        "description": "What becomes of a question that nobody answers; null: it waits for ever",
                        "properties": {
                            "after": {"type": "string", "description": "How long it waits, for instance 24h"},
                            "expires": {"type": "boolean", "description": "Whether it is over then, with no outcome"},
                            "final_state": {"type": ["string", "null"], "description": "Else, the outcome"},
                        }},
                    "binds": {"type": "array", "items": {"type": "string"},
                        "description": "What a decision holds for alone: JSON pointers into the task. Act on these values, \
                            just as they were asked"},
                },
            }}},
        },
    })
}

fn request_decision() -> Value {
    json!({
        "name": "request_decision",
        "title": "Ask a person to decide",
        "description": "Asks people for a decision of one of the types that list_task_types tells. Returns the task_id \
            at once, with status pending; or, with wait_seconds, as soon as it is decided. Give an external_id, and \
            asking the same again (after a restart, or when no answer came) makes no second task: it returns the first, \
            as it stands.",
        "annotations": {"readOnlyHint": false, "destructiveHint": false, "idempotentHint": false, "openWorldHint": false},
        "inputSchema": {
            "type": "object",
            "required": ["schema", "type"],
            "properties": {
                "schema": {"type": "string", "minLength": 1, "description": "The schema that declares the type"},
                "type": {"type": "string", "minLength": 1, "description": "The task type"},
                "meta": {"type": "object",
                    "description": "What the person needs to know; must match the type's `input`"},
                "state": {"type": "string", "minLength": 1,
                    "description": "The state to begin in, one of the type's pending ones; seldom needed"},
                "external_id": {"type": "string", "minLength": 1, "maxLength": 256,
                    "description": "Your own name for this question, unique in the schema, for instance the id of your \
                        run and step"},
                "idempotency_key": {"type": "string", "pattern": "^[!-~]{1,255}$",
                    "description": "In place of external_id: the same question with the same key, within 24 hours, is \
                        the same task"},
                "merge_key": {"type": "string", "minLength": 1, "maxLength": 256,
                    "description": "Takes the place of the question of this type that waits under the same key, so that \
                        people see the newest alone"},
                "wait_seconds": wait_seconds("How long to wait for the decision; not at all if it is left out"),
            },
            "additionalProperties": false,
        },
        "outputSchema": outcome_schema(),
    })
}

fn wait_for_decision() -> Value {
    json!({
        "name": "wait_for_decision",
        "title": "Wait for a decision",
        "description": "Returns as soon as a task is decided, withdrawn or expired; with status pending, if it is not \
            within wait_seconds: call it again. Nothing is missed between two calls, also if you or the server were \
            restarted in between.",
        "annotations": reads(),
        "inputSchema": {
            "type": "object",
            "required": ["task_id"],
            "properties": {
                "task_id": task_id(),
                "wait_seconds": wait_seconds("How long to wait, 50 if it is left out"),
            },
            "additionalProperties": false,
        },
        "outputSchema": outcome_schema(),
    })
}

fn cancel_request() -> Value {
    json!({
        "name": "cancel_request",
        "title": "Withdraw a question",
        "description": "Withdraws a task that nobody has decided yet, because the answer is not needed any more. If it \
            has been decided meanwhile, the decision stands and is what comes back.",
        "annotations": {"readOnlyHint": false, "destructiveHint": true, "idempotentHint": true, "openWorldHint": false},
        "inputSchema": {
            "type": "object",
            "required": ["task_id"],
            "properties": {
                "task_id": task_id(),
                "reason": {"type": "string", "maxLength": 4096, "description": "Why; people read it"},
            },
            "additionalProperties": false,
        },
        "outputSchema": outcome_schema(),
    })
}

fn get_task() -> Value {
    json!({
        "name": "get_task",
        "title": "Look at a task",
        "description": "Returns a task as it stands, without waiting.",
        "annotations": reads(),
        "inputSchema": {
            "type": "object",
            "required": ["task_id"],
            "properties": {"task_id": task_id()},
            "additionalProperties": false,
        },
        "outputSchema": outcome_schema(),
    })
}

fn task_id() -> Value {
    json!({"type": "string", "pattern": "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$",
        "description": "The task_id that request_decision returned"})
}

fn wait_seconds(description: &str) -> Value {
    let most = MOST.as_secs();
    json!({"type": "integer", "minimum": 0, "maximum": most, "description": format!("{description}; {most} at most")})
}

/// What is told of a task.
fn outcome_schema() -> Value {
    json!({
        "type": "object",
        "required": ["task_id", "status", "schema", "type", "state", "output", "reason", "decided_by", "decided_at",
            "meta", "external_id", "created", "version", "next"],
        "properties": {
            "task_id": {"type": "string"},
            "status": {"enum": ["pending", "decided", "cancelled", "expired", "superseded"],
                "description": "pending: nobody has decided yet. cancelled: it was withdrawn. expired: nobody decided in \
                    time. superseded: a newer task took its place."},
            "schema": {"type": "string"},
            "type": {"type": "string"},
            "state": {"type": ["string", "null"],
                "description": "Once decided, the outcome: one of the type's resolved states"},
            "output": {"description": "What came with the outcome, as the type's `output` says; null: nothing"},
            "reason": {"type": ["string", "null"], "description": "What the person said about it"},
            "decided_by": {"type": ["object", "null"], "properties": {
                "kind": {"enum": ["key", "user", "cli", "system"]},
                "id": {"type": ["string", "null"]},
                "name": {"type": ["string", "null"]},
                "on_behalf_of": {"type": "string"},
            }},
            "decided_at": {"type": ["string", "null"]},
            "meta": {"type": ["object", "null"], "description": "What was asked, as it stands"},
            "external_id": {"type": ["string", "null"]},
            "expires_at": {"type": "string", "description": "Until when somebody may decide, if that is limited"},
            "superseded_by": {"type": "string", "description": "The task_id of the newer task, if there is one"},
            "binding": {"type": "object", "description": "What the decision holds for: a hash of the values at paths, if \
                the type binds any"},
            "created": {"type": "string", "description": "When it was asked"},
            "version": {"type": "integer", "description": "Grows with each change of the task"},
            "is_new": {"type": "boolean",
                "description": "Of request_decision: whether this made a task, rather than find the one that is there"},
            "next": {"type": ["string", "null"], "description": "What to do now, if there is something to do"},
        },
    })
}
