"""The client that openapi-python-client makes of the description, used.

A task is posted, read, decided and found, and a refusal is told. mypy checks this file against the
generated types, so that what is described otherwise than it is used here doesn't pass.
"""

import os

from task_inbox_client import AuthenticatedClient
from task_inbox_client.api.tasks import create_task, decide_task, get_task, get_task_history, list_tasks
from task_inbox_client.models import (
    ConflictProblem,
    Decide,
    Decided,
    TaskHistory,
    ListTasksResolved,
    Phase,
    PostTask,
    PostTaskMetaType0,
    TaskAnswer,
    TaskList,
)


def main() -> None:
    inbox = AuthenticatedClient(
        base_url=os.environ["INBOX_URL"],
        token=os.environ["INBOX_KEY"],
        raise_on_unexpected_status=True,
    )
    meta = PostTaskMetaType0.from_dict({"url": "https://example.com/py"})
    body = PostTask(schema_name="ti:sample", task="flag-content", meta=meta)
    posted = create_task.sync(client=inbox, body=body, idempotency_key="python-1")
    assert isinstance(posted, TaskAnswer), posted
    task = posted.task
    assert task.phase is Phase.OPEN and task.state is None

    read = get_task.sync(task.id, client=inbox)
    assert isinstance(read, TaskAnswer) and read.to_dict() == posted.to_dict(), read

    stale = decide_task.sync(task.id, client=inbox, body=Decide(state="block"), if_match='"7"')
    assert isinstance(stale, ConflictProblem) and stale.status == 412, stale

    body_of_decision = Decide(state="block", reason="spam")
    decided = decide_task.sync(task.id, client=inbox, body=body_of_decision, if_match=f'"{task.version}"')
    assert isinstance(decided, Decided) and decided.task.state == "block", decided

    history = get_task_history.sync(task.id, client=inbox)
    assert isinstance(history, TaskHistory) and [line.state for line in history.history] == [None, "block"], history

    listed = list_tasks.sync(client=inbox, resolved=ListTasksResolved.ALL, state="block", limit=500)
    assert isinstance(listed, TaskList) and task.id in [other.id for other in listed.tasks], listed

    print(f"openapi-python-client: posted, read, decided and found {task.id}")


main()
