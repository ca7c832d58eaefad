"""Numbers are finite; YAML can say `.nan` and `.inf`, and no comparison with those means anything."""

from __future__ import annotations

import math
from typing import Any

from cachedsl.diagnostics import Diagnostic
from cachedsl.policy.checks.base import Findings, Subject


def check(subject: Subject) -> Findings:
    for path, tree, _ in subject.scopes():
        reuse = tree.get("reuse") or {}
        signal = reuse.get("signal") or {}
        bound = reuse.get("max_accumulated") or {}
        dynamic = (tree.get("prune") or {}).get("dynamic") or {}
        places: dict[tuple[str, ...], Any] = {
            ("reuse", "threshold"): reuse.get("threshold"),
            ("reuse", "max_accumulated", "limit"): bound.get("limit"),
            ("compute", "back_threshold"): (tree.get("compute") or {}).get("back_threshold"),
            ("reuse", "signal", "token_floor"): signal.get("token_floor"),
            ("reuse", "signal", "exponent"): signal.get("exponent"),
            ("reuse", "signal", "rescale"): sum(signal.get("rescale") or ()),  # not finite where one of them is not
            ("predict", "repay"): (tree.get("predict") or {}).get("repay"),
            ("prune", "dynamic", "relax"): dynamic.get("relax"),
            ("prune", "dynamic", "max"): dynamic.get("max"),
        }
        for place, value in places.items():
            if isinstance(value, float) and not math.isfinite(value):
                message = f"{'.'.join(place)}: expected a finite number, got `{value}`"
                yield Diagnostic("not-finite", message, subject.span(*path, *place))
        low, high = (tree.get("predict") or {}).get("clip") or (0, 0)
        if not low <= high:
            message = f"predict.clip: expected the lower bound first, got `{low}` and `{high}`"
            yield Diagnostic("clip-order", message, subject.span(*path, "predict", "clip"))
