"""All entries of the zoo."""

from __future__ import annotations

from tests.zoo import part_c
from tests.zoo.base import Entry

ENTRIES: dict[str, Entry] = {entry.name: entry for part in (part_c,) for entry in part.ENTRIES}
