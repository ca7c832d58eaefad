"""A request as the engine sees it, and how one can end."""

from __future__ import annotations

import uuid
from concurrent.futures import Future
from threading import Event
from typing import Any

from attrs import define, field

from cachedsl import Policy


class Full(Exception):
    """As many requests wait as may; `retry_after` says in how many seconds one may try again."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"the queue is full; try again in {retry_after} s")
        self.retry_after = retry_after


class Taken(Exception):
    """A request of this id is under way."""


class TooLarge(Exception):
    """A request alone holds more features than the server may."""


class Stopped(Exception):
    """A request was cancelled."""

    def __init__(self) -> None:
        super().__init__("the request was cancelled")


@define(eq=False)
class Job:
    """One request.

    Attributes:
        policy: what its run goes by.
        steps: how many denoising steps it has.
        seed: of its starting noise.
        arguments: further ones of the pipeline's call.
        id: names it, and its run.
        stopped: set when it is cancelled.
        future: what comes of it; set by the engine.
    """

    policy: Policy
    steps: int
    seed: int = 0
    arguments: dict[str, Any] = field(factory=dict)
    id: str = field(factory=lambda: uuid.uuid4().hex)
    stopped: Event = field(factory=Event)
    future: Future[Any] = field(factory=Future)
