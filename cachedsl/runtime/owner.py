"""Who calls: a thread, by a number that is never given twice. The system gives a thread's ident again."""

from __future__ import annotations

import threading
import weakref
from itertools import count

_numbers = count(1)
_local = threading.local()


class Owner:
    """One thread, for as long as it runs."""

    def __init__(self) -> None:
        self.number = next(_numbers)
        self._thread = weakref.ref(threading.current_thread())

    def alive(self) -> bool:
        thread = self._thread()
        return thread is not None and thread.is_alive()


def current_owner() -> Owner:
    """Return the owner that the calling thread is."""
    owner: Owner | None = getattr(_local, "owner", None)
    if owner is None:
        owner = _local.owner = Owner()
    return owner
