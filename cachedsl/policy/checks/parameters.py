"""A key without an effect is an error: it misleads its reader."""

from __future__ import annotations

from cachedsl.diagnostics import Diagnostic
from cachedsl.policy.checks.base import Findings, Subject
from cachedsl.policy.model import PREDICT_PARAMETERS


def check(subject: Subject) -> Findings:
    for path, tree, meant in subject.scopes():
        if meant.prune is not None and (tree.get("reuse") or {}).get("signal") is not None:
            yield Diagnostic(
                "no-effect",
                "reuse.signal: with `prune` every block measures its own input, so this has no effect",
                subject.span(*path, "reuse", "signal"),
                "leave it out here",
            )
        written = tree.get("predict") or {}
        method = meant.predict.method
        for key, value in written.items():
            if key == "method" or value is None or key in PREDICT_PARAMETERS[method]:
                continue
            readers = ", ".join(name for name, keys in PREDICT_PARAMETERS.items() if key in keys)
            yield Diagnostic(
                "no-effect",
                f"predict.{key}: `{method}` has no {key}, so this has no effect",
                subject.span(*path, "predict", key),
                f"it belongs to {readers}; leave it out here",
            )
