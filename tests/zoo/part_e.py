"""More transformer classes of diffusers."""

from __future__ import annotations

from tests.zoo.base import Entry

ENTRIES: tuple[Entry, ...] = ()
