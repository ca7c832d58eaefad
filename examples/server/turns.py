"""One thread at a time, in the order of asking, so that every request gets its step."""

from __future__ import annotations

from collections import deque
from threading import Event, Lock


class Turns:
    """A lock that is fair: who asks first is next."""

    def __init__(self) -> None:
        self._lock, self._waiting, self._taken = Lock(), deque[Event](), False

    def take(self) -> None:
        """Wait for the turn."""
        with self._lock:
            if not self._taken:
                self._taken = True
                return
            mine = Event()
            self._waiting.append(mine)
        mine.wait()

    def hand_on(self) -> None:
        """Give the turn to who has waited longest."""
        with self._lock:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._taken = False
