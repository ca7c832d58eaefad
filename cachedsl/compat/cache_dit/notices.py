"""How this interface says what it reads differently: through the logger `cachedsl.compat`."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from cachedsl.convert.notes import ConversionError, Note

logger = logging.getLogger("cachedsl.compat")


def report(notes: Iterable[Note]) -> None:
    """Raise what cannot be carried over, and log what is read differently.

    Raises:
        ConversionError: a note is an error.
    """
    notes = tuple(notes)
    if any(note.severity == "error" for note in notes):
        raise ConversionError(notes)
    for note in notes:
        logger.warning("%s", note)
