"""A limit that another limit never lets be reached."""

from __future__ import annotations

from collections.abc import Iterator

from cachedsl.language.policy import StackPolicy
from cachedsl.rules.asking import said, threshold_of, without
from cachedsl.rules.base import Check, Findings, Meaning
from cachedsl.text.finding import Rule

RULE = Rule(
    "hidden-limit",
    "meaning",
    "a limit that is never reached because another limit comes first",
    severity="warning",
    why="Somebody who tunes the policy changes the hidden limit, and sees no difference.",
    bad="reuse: {max_total: 3, max_continuous: 5}",
    good="reuse: {max_total: 12, max_continuous: 3}",
    category="suspicious",
    fix="Removes the hidden limit; not safe, because the plan loses it, although every step is decided as before.",
)


def check(context: Meaning) -> Findings:
    for scope in context.scopes:
        if said(scope.tree, "reuse") is None:
            continue
        for name, message in _hidden(scope.meant):
            path = (*scope.path, "reuse", name)
            fix = without(context.document, path, safe=False)
            hint = f"lower `{name}`, or leave it out"
            yield RULE.finding(f"reuse.{name}: {message}", context.span(*path), hint, fix=fix)


def _hidden(meant: StackPolicy) -> Iterator[tuple[str, str]]:
    total, run, threshold = meant.reuse.max_total, meant.reuse.max_continuous, threshold_of(meant)
    if total and run and run >= total:
        yield "max_continuous", f"{run} in a row are never reached, for `max_total` ends reuse after {total}"
    bound = meant.reuse.max_accumulated
    if bound is None or bound.reset != "on_compute" or not threshold or meant.prune is not None:
        return
    if meant.reuse.signal.accumulate != "none":
        highest = threshold
    elif run:
        highest = threshold * run
    else:
        return
    if bound.limit >= highest * (1 - 1e-9):
        yield (
            "max_accumulated",
            f"{bound.limit:g} is never reached: what is reused in a row sums up to less than {highest:g}",
        )


CHECKS = (Check(RULE, check),)
