"""A key that nothing reads is an error: it misleads its reader.

A key that another key leaves without an effect is one in the file that writes it. Under a child that writes only the
other key it is none: the parent has a use for it. `stacks` may have one, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from attrs import frozen

from cachedsl.language.methods import METHODS
from cachedsl.language.part import differing, tree_of
from cachedsl.language.parts import Cfg, Predict
from cachedsl.language.policy import Policy, StackPolicy
from cachedsl.language.taps import PRUNED, TAPS
from cachedsl.rules.base import Check, Findings, Fit, Meaning, Scope
from cachedsl.text.finding import Rule

RULE = Rule(
    "no-effect",
    "meaning",
    "a key has no effect beside the others",
    why="A reader takes the key for a setting that matters, and changes it in vain.",
    bad="predict: {method: copy, order: 2}",
    good="predict: {method: taylor, order: 2}",
    category="suspicious",
)

Without = tuple[tuple[str, ...], str, str]
"""A key without an effect: its path, what is said of it, and the way out."""


def check(context: Meaning) -> Findings:
    for scope in context.scopes:
        for path, message, hint in _of_scope(scope):
            yield RULE.finding(message, context.span(*scope.path, *path), hint)
    for idle in idle_keys(context.policy):
        message = f"{'.'.join(idle.path)}: {idle.message}, so this has no effect"
        hint = "leave " + " and ".join(f"`{inner}`" for _, inner in idle.drops) + " out here"
        yield RULE.finding(message, context.span(*idle.path), hint)


def _of_scope(scope: Scope) -> Iterator[Without]:
    signal = (scope.tree.get("reuse") or {}).get("signal")
    if signal is not None and scope.meant.prune is not None:
        if signal != {"tap": PRUNED}:
            message = "reuse.signal: with `prune` every block measures its own input, so this has no effect"
            yield ("reuse", "signal"), message, "leave it out here"
    elif signal is not None:
        tap, readers = scope.meant.reuse.signal.tap, {name: one.parameters for name, one in TAPS.items()}
        written = (key for key, value in signal.items() if value is not None and key != "tap")
        yield from _unread("reuse.signal", tap, written, readers)
    yield from of_the_middle(scope.meant)
    written = (key for key, value in (scope.tree.get("predict") or {}).items() if value is not None)
    yield from unread(scope.meant.predict.method, written)


def of_the_middle(meant: StackPolicy) -> Iterator[Without]:
    """Yield which keys of `predict` go by the middle as a whole where there is none."""
    if meant.prune is None:
        return
    if meant.predict.spec.probes:
        message = (
            f"predict.method: `{meant.predict.method}` goes by what the front blocks show of the middle as a whole, "
        )
        yield ("predict",), message + "which `prune` has not", "take another predictor"
    if meant.predict.repay:
        message = "predict.repay: what is paid back is what the middle as a whole was off by, which `prune` has not"
        yield ("predict", "repay"), message, "leave it out here"


def unread(method: str, parameters: Iterable[str]) -> Iterator[Without]:
    """Yield which of the predictor's `parameters` its method does not read."""
    readers = {name: one.parameters for name, one in METHODS.items()}
    yield from _unread("predict", method, (key for key in parameters if key != "method"), readers)


def _unread(place: str, name: str, written: Iterable[str], readers: dict[str, tuple[str, ...]]) -> Iterator[Without]:
    for key in written:
        if key not in readers[name]:
            others = ", ".join(other for other, keys in readers.items() if key in keys)
            message = f"{place}.{key}: `{name}` has no {key}, so this has no effect"
            yield (*place.split("."), key), message, f"it belongs to {others}; leave it out here"


@frozen
class Idle:
    """A key without an effect: where it stands, what is said of it, and all that goes when it is left out."""

    path: tuple[str, str]
    message: str
    drops: tuple[tuple[str, str], ...]


def idle_keys(policy: Policy) -> Iterator[Idle]:
    """Yield the keys of `policy` that have no effect beside its other keys."""
    if policy.cfg.mode == "fused" and policy.cfg.order != Cfg().order:
        yield _idle("cfg", "order", "under `fused` one call serves all branches")
    if policy.stacks:
        return  # what one of them sets may be what gives the key its effect
    compute, predict, prune = policy.compute, policy.predict, policy.prune
    listed = compute.back_blocks is not None and set(compute.back_blocks) >= set(range(compute.back))
    if listed and compute.back_threshold is not None:
        both = (("compute", "back_threshold"), ("compute", "back_blocks"))  # neither holds without the other
        yield Idle(both[0], "`back_blocks` has every back block always run", both)
    if predict.repay and predict.streams is not None and "hidden" not in predict.streams:
        yield _idle("predict", "repay", "only the `hidden` stream pays back, which `streams` leaves out")
    if prune is None or prune.dynamic is None:
        return
    threshold = policy.reuse.threshold
    if threshold == "always" or not policy.measures:
        yield _idle("prune", "dynamic", "nothing is measured that a threshold could adapt to")
    elif prune.dynamic.max is not None and prune.dynamic.max <= threshold:
        yield _idle("prune", "dynamic", f"nothing lies between the threshold {threshold} and `max` {prune.dynamic.max}")


def _idle(key: str, inner: str, message: str) -> Idle:
    return Idle((key, inner), message, ((key, inner),))


def check_fit(context: Fit) -> Findings:
    """Look at stacks under several entries, which meet only on a model."""
    for stack in context.shape.stacks:
        if len(context.entries_of(stack)) < 2:
            continue
        resolved = context.resolved(stack)
        written = differing(tree_of(resolved.predict), tree_of(Predict(resolved.predict.method)))
        for path, message, hint in (*of_the_middle(resolved), *unread(resolved.predict.method, written)):
            together = f"{message}, on {stack.qualified} with all that is said of it"
            yield RULE.finding(together, context.policy.place(*context.set_by(stack, "predict"), *path), hint)


CHECKS = (Check(RULE, check), Check(RULE, check_fit, "fit"))
