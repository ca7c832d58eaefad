"""The classes of `tests/tiny.py`, whose pipelines are tested too."""

from __future__ import annotations

from functools import partial

from tests.tiny import FAMILIES, inputs, tiny_transformer
from tests.zoo.base import Entry

ENTRIES: tuple[Entry, ...] = tuple(
    Entry(family.cls.__name__, partial(tiny_transformer, name), partial(inputs, name))  # type: ignore[attr-defined]
    for name, family in FAMILIES.items()
    if name not in ("qwenimage", "wan")  # these have entries of their own, with their variants
)
