"""A key that another key of the same policy leaves without an effect is an error in the file that writes it.

Under a child that writes only the other key it is none: the parent has a use for it. `stacks` may have one, too.
"""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen

from cachedsl.diagnostics import Diagnostic
from cachedsl.policy.checks.base import Findings, Subject
from cachedsl.policy.model import Policy
from cachedsl.policy.parts import Cfg


@frozen
class Idle:
    """A key without an effect: where it stands, what is said of it, and all that goes when it is left out."""

    path: tuple[str, str]
    message: str
    drops: tuple[tuple[str, str], ...]


def check(subject: Subject) -> Findings:
    for idle in idle_keys(subject.policy):
        message = f"{'.'.join(idle.path)}: {idle.message}, so this has no effect"
        hint = "leave " + " and ".join(f"`{inner}`" for _, inner in idle.drops) + " out here"
        yield Diagnostic("no-effect", message, subject.span(*idle.path), hint)


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
    if threshold == "always" or not policy.for_stack("", "").measures:
        yield _idle("prune", "dynamic", "nothing is measured that a threshold could adapt to")
    elif prune.dynamic.max is not None and prune.dynamic.max <= threshold:
        yield _idle("prune", "dynamic", f"nothing lies between the threshold {threshold} and `max` {prune.dynamic.max}")


def _idle(key: str, inner: str, message: str) -> Idle:
    return Idle((key, inner), message, ((key, inner),))
