"""Numbers are finite; YAML can say `.nan` and `.inf`, and no comparison with those means anything."""

from __future__ import annotations

import math

from cachedsl.diagnostics import Diagnostic
from cachedsl.policy.checks.base import Findings, Subject


def check(subject: Subject) -> Findings:
    for path, _, meant in subject.scopes():
        threshold, bound = meant.reuse.threshold, meant.reuse.max_accumulated
        places: list[tuple[tuple[str, ...], float]] = (
            [(("reuse", "threshold"), threshold)] if threshold != "always" else []
        )
        places += [(("reuse", "max_accumulated", "limit"), bound.limit)] if bound else []
        for place, value in places:
            if not math.isfinite(value):
                message = f"{'.'.join(place)}: expected a finite number, got `{value}`"
                yield Diagnostic("not-finite", message, subject.span(*path, *place))
