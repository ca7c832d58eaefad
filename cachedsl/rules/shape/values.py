"""What a value breaks by itself; the rules are declared with the parts, because they hold in Python too."""

from __future__ import annotations

from cachedsl.language.refusals import OF_VALUES

RULES = tuple(OF_VALUES.values())
