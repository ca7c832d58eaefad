"""All entries of the zoo: every class that an adapter names has one."""

from __future__ import annotations

from tests.zoo import part_a, part_b, part_c, part_d, part_e, part_tiny
from tests.zoo.base import Entry

ENTRIES: dict[str, Entry] = {
    entry.name: entry for part in (part_tiny, part_a, part_b, part_c, part_d, part_e) for entry in part.ENTRIES
}
