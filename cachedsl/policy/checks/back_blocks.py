"""Back blocks that decide for themselves need both their list and their threshold, and must be in the back."""

from __future__ import annotations

from cachedsl.diagnostics import Diagnostic
from cachedsl.policy.checks.base import Findings, Subject


def check(subject: Subject) -> Findings:
    for path, tree, meant in subject.scopes():
        compute, written = meant.compute, tree.get("compute") or {}
        if not {"back", "back_blocks", "back_threshold"} & set(written):
            continue
        span = subject.span(*path, "compute")
        if (compute.back_blocks is None) != (compute.back_threshold is None):
            one, other = "back_blocks", "back_threshold"
            if compute.back_blocks is None:
                one, other = other, one
            hint = "back_blocks lists the back blocks that always run, back_threshold decides over the others"
            yield Diagnostic("back-blocks", f"compute: `{one}` has no effect without `{other}`", span, hint)
        beyond = [index for index in compute.back_blocks or () if index >= compute.back]
        if beyond:
            message = f"compute.back_blocks: {beyond[0]} is not in the back, which has {compute.back} blocks"
            yield Diagnostic("back-blocks", message, span, "indices count from 0 within the back")
