"""The client of task-inbox: post a task, wait for its decision, follow the log, verify webhooks."""

from .errors import (
    ConflictError,
    GoneError,
    InboxError,
    ProblemError,
    UnexpectedAnswerError,
    UnreachableError,
    WaitTimeoutError,
    WebhookError,
)
from .inbox import TaskInbox
from .subscription import Subscription
from .transport import Retry
from .webhook import verify_webhook

__all__ = [
    "ConflictError",
    "GoneError",
    "InboxError",
    "ProblemError",
    "Retry",
    "Subscription",
    "TaskInbox",
    "UnexpectedAnswerError",
    "UnreachableError",
    "WaitTimeoutError",
    "WebhookError",
    "verify_webhook",
]
__version__ = "0.1.0"
