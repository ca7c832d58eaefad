"""The formats of `cachedsl check --output-format`, one file each."""

from __future__ import annotations

import pkgutil
from importlib import import_module

from cachedsl.checking.report import Format

__all__ = ["NAMES", "format_called"]

NAMES = tuple(
    sorted(name.replace("_", "-") for _, name, _ in pkgutil.iter_modules(__path__) if not name.startswith("_"))
)
"""What `--output-format` takes: the names of the files."""


def format_called(name: str) -> Format:
    """Return the format of that name, one of `NAMES`."""
    module = import_module(f"{__name__}.{name.replace('-', '_')}")
    found: Format = module.FORMAT
    return found
