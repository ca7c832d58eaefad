"""Numbers are finite; YAML can say `.nan` and `.inf`, and no comparison with those means anything."""

from __future__ import annotations

import math
from typing import Any

from cachedsl.diagnostics import Diagnostic
from cachedsl.policy.checks.base import Findings, Subject


def check(subject: Subject) -> Findings:
    for path, tree, _ in subject.scopes():
        reuse = tree.get("reuse") or {}
        bound = reuse.get("max_accumulated") or {}
        dynamic = (tree.get("prune") or {}).get("dynamic") or {}
        places: dict[tuple[str, ...], Any] = {
            ("reuse", "threshold"): reuse.get("threshold"),
            ("reuse", "max_accumulated", "limit"): bound.get("limit"),
            ("compute", "back_threshold"): (tree.get("compute") or {}).get("back_threshold"),
            ("prune", "dynamic", "relax"): dynamic.get("relax"),
            ("prune", "dynamic", "max"): dynamic.get("max"),
        }
        for place, value in places.items():
            if isinstance(value, float) and not math.isfinite(value):
                message = f"{'.'.join(place)}: expected a finite number, got `{value}`"
                yield Diagnostic("not-finite", message, subject.span(*path, *place))
