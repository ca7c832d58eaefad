"""Import what MODULE:NAME names on the command line, from the working directory too."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any


def call_named(path: str) -> Any:
    """Call `module:name` without arguments and return what it returns.

    Raises:
        ImportError, AttributeError, ValueError, TypeError: as importing and calling do.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)()
