"""What the inbox is told and answers, as dictionaries.

Made by generate.py from ../openapi/openapi.json and ../types.json; not to be edited.
"""

from typing import Any, Dict, List, Literal, Optional, TypedDict, Union

__all__ = [
    "Actor",
    "ActorKind",
    "Amend",
    "Binding",
    "Bound",
    "Cancel",
    "ChangeSince",
    "ConflictProblem",
    "Decide",
    "Decided",
    "EndpointTest",
    "EndpointTestData",
    "Event",
    "EventData",
    "EventTask",
    "EventType",
    "GoneProblem",
    "GuardPassed",
    "GuardQuestion",
    "GuardQuestionData",
    "GuardRefusal",
    "GuardTransition",
    "Invalid",
    "Phase",
    "PostTask",
    "Problem",
    "Task",
    "TaskAnswer",
    "WebhookEvent",
]


class _Actor(TypedDict):
    kind: "ActorKind"
    """What kind of principal."""
    id: Optional[str]
    """The key's or the person's id."""
    name: Optional[str]
    """Its name when it acted."""


class Actor(_Actor, total=False):
    """Who acted."""

    on_behalf_of: Optional[str]
    """For whom a program said that it acted; claimed, not proven."""


class _Amend(TypedDict):
    meta: Dict[str, Any]
    """What is merged into the task's `meta` (RFC 7396)."""


class Amend(_Amend, total=False):
    """A change of what a task says."""

    reason: Optional[str]
    """Why."""
    on_behalf_of: Optional[str]
    """For whom a program does it; recorded as claimed, not proven."""


class Binding(TypedDict):
    """The values that a decision is bound to."""

    hash: str
    """`sha256:` and the SHA-256 of the JSON object `{path: value}`, in its canonical form (RFC 8785)."""
    paths: List[str]
    """JSON pointers (RFC 6901) into the task."""


class Bound(TypedDict):
    """What a decision is bound to."""

    version: int
    """The version that was decided about."""
    hash: str
    """`sha256:` and the SHA-256 of the JSON object `{path: value}`, in its canonical form (RFC 8785)."""
    paths: List[str]
    """JSON pointers (RFC 6901) into the task."""


class Cancel(TypedDict, total=False):
    """A withdrawal."""

    reason: Optional[str]
    """Why."""
    on_behalf_of: Optional[str]
    """For whom a program does it; recorded as claimed, not proven."""


class _ConflictProblem(TypedDict):
    type: str
    """What kind: stable, relative to this service."""
    title: str
    """The kind in words."""
    status: int
    """The status code."""
    detail: str
    """What is wrong this time."""
    instance: str
    """The path that was asked for."""


class ConflictProblem(_ConflictProblem, total=False):
    """A conflict with the task as it stands, which comes with it where one is concerned."""

    errors: Optional[List["Invalid"]]
    """Everything that is wrong with the body."""
    current: Optional["Task"]
    """The task."""
    decided_by: Optional["Actor"]
    """Who made its last transition."""
    decided_at: Optional[str]
    """When."""
    allowed_transitions: Optional[List[Optional[str]]]
    """The states that it can go to from here."""
    changes: Optional[List["ChangeSince"]]
    """Only where the task has changed since `If-Match`: what is another now, without the version itself."""
    guard: Optional["GuardRefusal"]
    """Only where the type's guard refused."""


class Decide(TypedDict, total=False):
    """A decision."""

    state: Optional[str]
    """The state to move to; null is unset. May be absent only if the query has it."""
    output: Any
    """The result: any JSON value that matches the type's `output` of that state."""
    reason: Optional[str]
    """Why."""
    on_behalf_of: Optional[str]
    """For whom a program decides; recorded as claimed, not proven."""


class Decided(TypedDict):
    """A task after a decision."""

    task: "Task"
    """The task."""


class EndpointTest(TypedDict):
    """A test that somebody sent to an endpoint: it tells of nothing."""

    type: Literal["endpoint.test"]
    """Tells it from an event."""
    timestamp: str
    """When it was sent."""
    data: "EndpointTestData"
    """What it says."""


class EndpointTestData(TypedDict):
    """What a test says."""

    endpoint_id: str
    """The endpoint that is tested."""
    message: str
    """That it is a test."""


class Event(TypedDict):
    """One event, in the envelope that its webhook has too."""

    type: "EventType"
    """What happened."""
    timestamp: str
    """When."""
    data: "EventData"
    """The rest."""


class _EventData(TypedDict):
    event_id: str
    """Deduplicate by this."""
    seq: int
    """Its place in the log: 1, 2, 3 ..."""
    cursor: str
    """Reading on after this event: pass it as `after`."""


class EventData(_EventData, total=False):
    """What an event says. Events of a task carry it with its type; events of a schema its name; events of an
    endpoint or a delivery what concerns them.
    """

    task: Optional["EventTask"]
    """The task after the event."""
    ttype: Optional[str]
    """The task type's name."""
    previous_state: Optional[str]
    """The task's state before it."""
    actor: Optional["Actor"]
    """Who did it."""
    reason: Optional[str]
    """Why."""
    output: Any
    """With which result."""
    update_meta: Optional[Dict[str, Any]]
    """What was added to `meta`."""
    guard: Optional["GuardPassed"]
    """Why its guard let it pass, in events of guarded transitions."""
    bound: Optional["Bound"]
    """What the decision is bound to, in events of transitions whose type binds decisions."""
    schema: Optional[str]
    """The schema's name, in events of a schema."""
    semver: Optional[str]
    """The version, in events of a schema."""
    endpoint: Optional[Dict[str, Any]]
    """The endpoint, in events of one; its `url` is the origin alone."""
    delivery: Optional[Dict[str, Any]]
    """The delivery, in `delivery.dead`."""
    message: Optional[str]
    """What a person said, in events of an endpoint."""


class _EventTask(TypedDict):
    id: str
    """UUIDv7."""
    created: str
    """When it was posted."""
    updated: str
    """When it last changed."""
    ttype_id: str
    """Its type in the version that it was posted under."""
    schema: str
    """Its schema's name."""
    semver: str
    """Its schema's version, as the author wrote it."""
    state: Optional[str]
    """One of the type's states; null is unset."""
    resolved: bool
    """Whether the state is a resolved one."""
    phase: "Phase"
    """Where it is in its life."""
    user_id: Optional[str]
    """The assignee."""
    meta: Optional[Dict[str, Any]]
    """What its sender said, as it was sent."""
    output: Any
    """The result of the resolving decision."""
    external_id: Optional[str]
    """The sender's own name for it."""
    priority: Optional[int]
    """How urgent. Not available yet."""
    due_at: Optional[str]
    """When it should be decided. Not available yet."""
    callback_url: Optional[str]
    """Where else its events go."""
    merge_key: Optional[str]
    """Of the tasks of a type that have the same key, the newest takes the place of the one that waits."""
    version: int
    """1 when posted, +1 on each change; the `ETag`."""


class EventTask(_EventTask, total=False):
    """A task as an event and a guard's question show it."""

    expires_at: str
    """When its time is over. Only while it waits, and if its type has `timeouts`."""
    supersedes: str
    """The task whose place it took. Only if there is one."""
    superseded_by: str
    """The task that took its place. Only if there is one."""


class _GoneProblem(TypedDict):
    type: str
    """What kind: stable, relative to this service."""
    title: str
    """The kind in words."""
    status: int
    """The status code."""
    detail: str
    """What is wrong this time."""
    instance: str
    """The path that was asked for."""
    floor: int
    """The last trimmed event's number."""
    cursor: str
    """What is kept begins after this."""


class GoneProblem(_GoneProblem, total=False):
    """A cursor whose part of the log has been trimmed."""

    errors: Optional[List["Invalid"]]
    """Everything that is wrong with the body."""


class GuardQuestion(TypedDict):
    """What a type's guard is asked before a decision is kept. The answer to this request is the verdict."""

    type: Literal["task.guard"]
    """Tells it from an event."""
    timestamp: str
    """When it was asked."""
    data: "GuardQuestionData"
    """What is asked."""


class GuardQuestionData(TypedDict):
    """Who wants to make what of which task."""

    task: "EventTask"
    """The task as it stands."""
    ttype: str
    """The task type's name."""
    transition: "GuardTransition"
    """The wanted change of state."""
    actor: "Actor"
    """Who wants it."""
    reason: Optional[str]
    """Why."""
    output: Any
    """With which result."""


class GuardRefusal(TypedDict):
    """What the application server said when it refused."""

    reason: Optional[str]
    """Why, in its words: at most 4096 characters, on one line."""


class Invalid(TypedDict):
    """One thing that is wrong with a body."""

    pointer: str
    """Where, as a JSON pointer (RFC 6901); empty is the whole body."""
    detail: str
    """What."""


class _PostTask(TypedDict):
    schema_name: str
    """The schema's name."""
    task: str
    """The task type's name in the schema's latest version."""


class PostTask(_PostTask, total=False):
    """A task that is posted."""

    state: Optional[str]
    """The state that it begins in; absent: the type's initial state, which is unset if it declares none."""
    meta: Optional[Dict[str, Any]]
    """What is to be decided about: any object of at most 256 KiB that matches the type's `input`."""
    external_id: Optional[str]
    """The sender's own name for it, unique in its schema: posting the same content again gets the task that is
    there.
    """
    callback_url: Optional[str]
    """Where else the task's events go, by a host among the schema's `callback_hosts`; signed with the schema's
    key.
    """
    merge_key: Optional[str]
    """Takes the place of the task of this type that waits under the same key; absent: what the type's
    `merge_key` finds in `meta`, if it declares one.
    """


class _Problem(TypedDict):
    type: str
    """What kind: stable, relative to this service."""
    title: str
    """The kind in words."""
    status: int
    """The status code."""
    detail: str
    """What is wrong this time."""
    instance: str
    """The path that was asked for."""


class Problem(_Problem, total=False):
    """An error (RFC 9457)."""

    errors: Optional[List["Invalid"]]
    """Everything that is wrong with the body."""


class _Task(TypedDict):
    id: str
    """UUIDv7."""
    created: str
    """When it was posted."""
    updated: str
    """When it last changed."""
    ttype_id: str
    """Its type in the version that it was posted under."""
    schema: str
    """Its schema's name."""
    semver: str
    """Its schema's version, as the author wrote it."""
    state: Optional[str]
    """One of the type's states; null is unset."""
    resolved: bool
    """Whether the state is a resolved one."""
    phase: "Phase"
    """Where it is in its life."""
    user_id: Optional[str]
    """The assignee."""
    meta: Optional[Dict[str, Any]]
    """What its sender said, as it was sent."""
    output: Any
    """The result of the resolving decision."""
    external_id: Optional[str]
    """The sender's own name for it."""
    priority: Optional[int]
    """How urgent. Not available yet."""
    due_at: Optional[str]
    """When it should be decided. Not available yet."""
    callback_url: Optional[str]
    """Where else its events go."""
    merge_key: Optional[str]
    """Of the tasks of a type that have the same key, the newest takes the place of the one that waits."""
    version: int
    """1 when posted, +1 on each change; the `ETag`."""
    allowed_transitions: List[Optional[str]]
    """The states that it can go to from here; null is unset. In the API only."""


class Task(_Task, total=False):
    """Something that a person must decide."""

    expires_at: str
    """When its time is over. Only while it waits, and if its type has `timeouts`."""
    supersedes: str
    """The task whose place it took. Only if there is one."""
    superseded_by: str
    """The task that took its place. Only if there is one."""
    binding: "Binding"
    """What a decision about it is bound to. In the API only, and only if its type declares `binds`."""


class TaskAnswer(TypedDict):
    """A task with the name of its type."""

    task: "Task"
    """The task."""
    ttype: str
    """Its type's name."""


ActorKind = Literal["key", "user", "cli", "system"]
"""The kind of principal behind a change."""


_ChangeSince = TypedDict(
    "_ChangeSince",
    {
        # What was there; absent if nothing was.
        "from": Any,
        # What is there now; absent if nothing is.
        "to": Any,
    },
    total=False,
)


class ChangeSince(_ChangeSince):
    """A value of a task that is another now."""

    pointer: str
    """Where: a JSON pointer (RFC 6901) into the task."""


EventType = Literal[
    "task.created",
    "task.state_changed",
    "task.assigned",
    "task.commented",
    "task.due",
    "task.escalated",
    "task.cancelled",
    "task.amended",
    "task.expired",
    "task.superseded",
    "schema.version_created",
    "schema.removed",
    "endpoint.paused",
    "endpoint.disabled",
    "endpoint.recovered",
    "delivery.dead",
]
"""What an event is about."""


GuardPassed = Literal["allowed", "unreachable"]
"""Why a guarded transition was let pass."""


GuardTransition = TypedDict(
    "GuardTransition",
    {
        # The task's state.
        "from": Optional[str],
        # The wanted one.
        "to": Optional[str],
    },
)
"""A change of state; null is unset."""


Phase = Literal["open", "resolved", "cancelled", "expired", "superseded"]
"""Where a task is in its life."""


WebhookEvent = Union["Event", "GuardQuestion", "EndpointTest"]
"""What a webhook may say: an event of the log, a guard's question, or a test."""
