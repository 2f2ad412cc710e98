"""What goes wrong, by what the caller can do about it. What was given wrongly is a ValueError or a TypeError."""

from typing import List, Literal, Optional, cast

from .models import (
    Actor,
    ChangeSince,
    ConflictProblem,
    GoneProblem,
    GuardRefusal,
    Invalid,
    Problem,
    Task,
    TaskAnswer,
)


class InboxError(Exception):
    """Everything that this package raises of its own."""


class UnreachableError(InboxError):
    """The inbox could not be reached, or the connection broke. Its cause says how."""


class UnexpectedAnswerError(InboxError):
    """What answered is not a task-inbox, or something stands between that changes its answers."""


class ProblemError(InboxError):
    """The inbox, or a proxy before it, refused."""

    problem: Problem
    """The whole document (RFC 9457). Of an answer without one, its type is `about:blank`."""
    retry_after: Optional[float]
    """Seconds after which the request may be sent again, if the answer said so."""

    def __init__(self, problem: Problem, retry_after: Optional[float] = None) -> None:
        super().__init__(problem, retry_after)
        self.problem = problem
        self.retry_after = retry_after

    def __str__(self) -> str:
        wrong = "".join(f"; {error['pointer'] or 'the body'}: {error['detail']}" for error in self.errors)
        return f"{self.status} {self.problem['title']}: {self.detail}{wrong}"

    @property
    def status(self) -> int:
        """The status code."""
        return self.problem["status"]

    @property
    def type(self) -> str:
        """The kind of problem, such as `/problems/invalid`."""
        return self.problem["type"]

    @property
    def title(self) -> str:
        """The kind in words."""
        return self.problem["title"]

    @property
    def detail(self) -> str:
        """What is wrong this time."""
        return self.problem["detail"]

    @property
    def errors(self) -> List[Invalid]:
        """Everything that is wrong with the body, each with its JSON pointer."""
        return self.problem.get("errors") or []


class ConflictError(ProblemError):
    """409 or 412: the task, or what was posted before, is otherwise than the request thought."""

    @property
    def current(self) -> Optional[Task]:
        """The task as it stands, where one is concerned."""
        return self._conflict.get("current")

    @property
    def decided_by(self) -> Optional[Actor]:
        """Who made its last transition."""
        return self._conflict.get("decided_by")

    @property
    def decided_at(self) -> Optional[str]:
        """When that was."""
        return self._conflict.get("decided_at")

    @property
    def allowed_transitions(self) -> List[Optional[str]]:
        """The states that it can go to from here; None is unset."""
        return self._conflict.get("allowed_transitions") or []

    @property
    def changes(self) -> List[ChangeSince]:
        """412: what is another now than in the version that was named, each with its JSON pointer into the task.

        Empty if nothing is known of that version.
        """
        return self._conflict.get("changes") or []

    @property
    def guard(self) -> Optional[GuardRefusal]:
        """What the type's guard said, where it was the guard that refused."""
        return self._conflict.get("guard")

    @property
    def _conflict(self) -> ConflictProblem:
        return cast(ConflictProblem, self.problem)


class GoneError(ProblemError):
    """410: the log no longer has what comes after the cursor. Those events are gone: read what is there now, and go on."""

    @property
    def floor(self) -> int:
        """The number of the last event that is gone."""
        return cast(GoneProblem, self.problem)["floor"]

    @property
    def cursor(self) -> str:
        """Where what is kept begins: subscribe after this."""
        return cast(GoneProblem, self.problem)["cursor"]


class WaitTimeoutError(InboxError, TimeoutError):
    """The time of a wait was over, and the task still open."""

    answer: TaskAnswer
    """The task as it was last seen, with its type's name."""

    def __init__(self, answer: TaskAnswer) -> None:
        super().__init__(answer)
        self.answer = answer

    def __str__(self) -> str:
        return f"the task {self.answer['task']['id']} is still open"


class WebhookError(InboxError):
    """A webhook is not from whom it says, was changed, or is not from now: answer 401, and do nothing of what it says."""

    reason: Literal["header", "signature", "timestamp", "stale", "body"]
    """`header`: one is missing; `signature`: none matches; `timestamp`: it is no number; `stale`: genuine, but too far
    from this clock; `body`: genuine, but not an event."""

    def __init__(self, reason: Literal["header", "signature", "timestamp", "stale", "body"], message: str) -> None:
        super().__init__(reason, message)
        self.reason = reason

    def __str__(self) -> str:
        return str(self.args[1])
