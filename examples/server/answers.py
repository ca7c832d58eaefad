"""What a client is told when a request is not drawn: a status that it knows, and the way out."""

from __future__ import annotations

import json
from typing import Any

from attrs import field, frozen

from cachedsl import CachedslError
from examples.server.job import Full, Stopped, Taken, TooLarge
from examples.server.wanted import Unfit

STATUSES: dict[type[Exception], int] = {
    Unfit: 422,
    Full: 429,
    Stopped: 409,
    Taken: 409,
    TooLarge: 413,
    # what the pipeline says of its arguments, or the run of its policy
    CachedslError: 422,
    ValueError: 422,
    TypeError: 422,
    IndexError: 422,
}
"""The first class that an error is of counts."""


@frozen
class Answer:
    """An HTTP answer, as a value."""

    status: int
    content: bytes
    media: str = "application/json"
    headers: dict[str, str] = field(factory=dict)


def refusal(error: Exception) -> Answer | None:
    """Return the answer to a request that ended with `error`; None where that is the server's own fault."""
    status = next((status for kind, status in STATUSES.items() if isinstance(error, kind)), None)
    if status is None:
        return None
    detail: Any = str(error)
    if isinstance(error, Unfit):
        detail = error.findings
    elif status == 422:
        detail = [{"loc": ["body"], "msg": str(error), "type": type(error).__name__}]
    headers = {"Retry-After": str(error.retry_after)} if isinstance(error, Full) else {}
    return Answer(status, json.dumps({"detail": detail}).encode(), headers=headers)
