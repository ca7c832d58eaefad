"""Ranks of a process group as threads: what they reduce is added up in lockstep, or it is an error."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch

from cachedsl.signals import Ranks

PATIENCE = 60
"""Seconds that a rank waits for the others; those that are left alone raise `threading.BrokenBarrierError`."""


class Group:
    """A few ranks, each a thread.

    Attributes:
        reduced: how often sums were added up.
    """

    def __init__(self, size: int = 2) -> None:
        self.size = size
        self.reduced = 0
        self._parts: dict[int, torch.Tensor] = {}
        self._all_there = threading.Barrier(size)
        self._all_done = threading.Barrier(size)

    def rank(self, number: int, **more: Any) -> Ranks:
        """Return what adds up on rank `number`."""

        def add_up(parts: torch.Tensor) -> torch.Tensor:
            self._parts[number] = parts
            self._all_there.wait(PATIENCE)
            everybody = [self._parts[other] for other in range(self.size)]
            if self._all_done.wait(PATIENCE) == 0:
                self.reduced += 1
            assert len({part.shape for part in everybody}) == 1, "ranks reduce different things"
            return torch.stack(everybody).sum(0)

        return Ranks(add_up, **more)

    def run(self, work: Callable[[int], Any]) -> list[Any]:
        """Let every rank do `work`, and return what came of it."""

        def alone(number: int) -> Any:
            try:
                with torch.no_grad():
                    return work(number)
            except BaseException:
                self._all_there.abort()
                self._all_done.abort()
                raise

        with ThreadPoolExecutor(self.size) as pool:
            waiting = [pool.submit(alone, number) for number in range(self.size)]
        errors = [error for error in (one.exception() for one in waiting) if error is not None]
        told = [error for error in errors if not isinstance(error, threading.BrokenBarrierError)]
        if errors:
            raise (told or errors)[0]
        return [one.result() for one in waiting]
