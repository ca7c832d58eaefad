"""How much memory features may take, and what must be known of a run to count it."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

UNITS = {"B": 1}
UNITS |= {f"{letter}iB": 1024 ** (power + 1) for power, letter in enumerate("KMGT")}
UNITS |= {f"{letter}B": 1000 ** (power + 1) for power, letter in enumerate("kMGT")}
"""Bytes of each unit, by its name."""

SIZES = {"bfloat16": 2, "float16": 2, "float32": 4}
"""Bytes of an element, by its dtype."""

STREAMS = ("hidden", "encoder", "latent")
"""The tensors whose shapes can be told, as `Plan.memory` calls them."""


@frozen
class Budget:
    """How much of the device's memory features may take.

    Attributes:
        said: the most that may be held, all CFG branches together, as `in_bytes` reads it.
        shapes: of the tensors, as `Plan.memory` takes them.
        dtype: in which the model computes.
        branches: calls of the transformer a step; None where the policy says it.
    """

    said: str
    shapes: Mapping[str, tuple[int, ...]]
    dtype: str = "bfloat16"
    branches: int | None = None

    @property
    def bytes(self) -> float:
        return in_bytes(self.said) or 0.0

    @property
    def element_size(self) -> int:
        return SIZES[self.dtype]


def in_bytes(text: str) -> float | None:
    """Return how many bytes `4GiB`, `1.5 GB` or `800 MiB` are; None where it is no such text."""
    number, unit = text.rstrip("BKMGTik"), text[len(text.rstrip("BKMGTik")) :]
    plain = number.strip()
    if unit not in UNITS or not plain.isascii() or not plain.replace(".", "", 1).isdigit():
        return None
    return float(plain) * UNITS[unit]


def in_words(count: float) -> str:
    """Write a number of bytes with three digits, such as `1.5 GiB`."""
    unit = next((unit for unit in ("GiB", "MiB", "KiB") if count >= UNITS[unit]), "B")
    return f"{float(f'{count / UNITS[unit]:.3g}'):g} {unit}"
