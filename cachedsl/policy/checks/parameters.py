"""A key without an effect is an error: it misleads its reader."""

from __future__ import annotations

from cachedsl.diagnostics import Diagnostic
from cachedsl.policy.checks.base import Findings, Subject
from cachedsl.policy.merge import Tree
from cachedsl.policy.model import PREDICT_PARAMETERS
from cachedsl.policy.signal import SIGNAL_PARAMETERS


def check(subject: Subject) -> Findings:
    for path, tree, meant in subject.scopes():
        signal = (tree.get("reuse") or {}).get("signal")
        if meant.prune is not None and signal is not None and signal != {"tap": "block_input"}:
            yield Diagnostic(
                "no-effect",
                "reuse.signal: with `prune` every block measures its own input, so this has no effect",
                subject.span(*path, "reuse", "signal"),
                "leave it out here",
            )
        elif signal is not None:
            yield from _signal(subject, path, signal, meant.reuse.signal.tap)
        if meant.prune is not None and meant.predict.method == "probe_gain":
            yield Diagnostic(
                "no-effect",
                "predict.method: `probe_gain` goes by what the front blocks show of the middle as a whole, which "
                "`prune` has not",
                subject.span(*path, "predict"),
                "take another predictor",
            )
        if meant.prune is not None and meant.predict.repay:
            yield Diagnostic(
                "no-effect",
                "predict.repay: what is paid back is what the middle as a whole was off by, which `prune` has not",
                subject.span(*path, "predict", "repay"),
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


def _signal(subject: Subject, path: tuple[str, ...], written: Tree, tap: str) -> Findings:
    """Find parameters that the tap does not read, and a magnitude without its ratios."""
    for key, value in written.items():
        if key == "tap" or value is None or key in SIGNAL_PARAMETERS[tap]:
            continue
        readers = ", ".join(name for name, keys in SIGNAL_PARAMETERS.items() if key in keys)
        yield Diagnostic(
            "no-effect",
            f"reuse.signal.{key}: `{tap}` has no {key}, so this has no effect",
            subject.span(*path, "reuse", "signal", key),
            f"it belongs to {readers}; leave it out here",
        )
    if tap == "magnitude" and written.get("ratios") is None:
        yield Diagnostic(
            "needs-ratios",
            "reuse.signal: `magnitude` needs its calibrated `ratios`, one a step",
            subject.span(*path, "reuse", "signal"),
            "give a list or a file, such as `cachedsl calibrate magnitude` writes",
        )
