"""A parameter that nothing reads is an error: it misleads its reader."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from cachedsl.diagnostics import Diagnostic
from cachedsl.policy.checks.base import Findings, Subject
from cachedsl.policy.merge import Tree
from cachedsl.policy.parts import PREDICT_PARAMETERS, StackPolicy
from cachedsl.policy.signal import SIGNAL_PARAMETERS

Without = tuple[tuple[str, ...], str, str]
"""A key without an effect: its path, what is said of it, and the way out."""


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
        for within, message, hint in of_the_middle(meant):
            yield Diagnostic("no-effect", message, subject.span(*path, *within), hint)
        written = {key: value for key, value in (tree.get("predict") or {}).items() if value is not None}
        for within, message, hint in unread(meant.predict.method, written):
            yield Diagnostic("no-effect", message, subject.span(*path, *within), hint)


def of_the_middle(meant: StackPolicy) -> Iterator[Without]:
    """Yield which keys of `predict` go by the middle as a whole where there is none."""
    if meant.prune is None:
        return
    if meant.predict.method == "probe_gain":
        message = "predict.method: `probe_gain` goes by what the front blocks show of the middle as a whole, which "
        yield ("predict",), message + "`prune` has not", "take another predictor"
    if meant.predict.repay:
        message = "predict.repay: what is paid back is what the middle as a whole was off by, which `prune` has not"
        yield ("predict", "repay"), message, "leave it out here"


def unread(method: str, parameters: Iterable[str]) -> Iterator[Without]:
    """Yield which of the predictor's `parameters` its method does not read."""
    for key in parameters:
        if key == "method" or key in PREDICT_PARAMETERS[method]:
            continue
        readers = ", ".join(name for name, keys in PREDICT_PARAMETERS.items() if key in keys)
        message = f"predict.{key}: `{method}` has no {key}, so this has no effect"
        yield ("predict", key), message, f"it belongs to {readers}; leave it out here"


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
