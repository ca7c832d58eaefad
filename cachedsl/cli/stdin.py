"""Standard input as bytes."""

from __future__ import annotations

import io
import sys
from typing import BinaryIO


def standard_input() -> BinaryIO:
    """Return standard input; where there is none, as under some services, it is empty."""
    return io.BytesIO() if sys.stdin is None else sys.stdin.buffer
