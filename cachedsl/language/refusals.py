"""What values break by themselves, in files and in Python alike, and how it is said."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from cachedsl.language.kinds import Key
from cachedsl.language.misfit import Misfit, Misfits, Path
from cachedsl.text.finding import CachedslError, Finding, Fix, PolicyError, Rule, Span
from cachedsl.text.scalars import printable, resolve_scalar

BAD_VALUE = Rule(
    "bad-value",
    "shape",
    "a value is not what its key may hold",
    why="A value of another type, or out of its bounds, would be guessed at; nothing is converted in silence.",
    bad="warmup: {interval: 0}",
    good="warmup: {interval: 1}",
    fix="Quotes a bit string that was read as a number; safe.",
)
NOT_FINITE = Rule(
    "not-finite",
    "shape",
    "a number is not finite",
    why="No comparison with NaN or infinity means anything: in a policy it is an error; measured in a run, the step is "
    "computed and the run says so.",
    bad="reuse: {threshold: .nan}",
    good="reuse: {threshold: 0.08}",
)
UNKNOWN_KEY = Rule(
    "unknown-key",
    "shape",
    "a key that the language does not have",
    why="A misspelt key would have no effect, and nobody would notice.",
    bad="warmpu: 4",
    good="warmup: 4",
    fix="Renames the key to the nearest one; not safe, for it may not be the one that was meant.",
)
MISSING_KEY = Rule(
    "missing-key",
    "shape",
    "a key that must be there is not",
    why="Without it the rest has no meaning: `version` says by which language the file is read.",
    bad="compute: F8B0",
    good="version: 1\ncompute: F8B0",
    fix="Adds `version: 1`; safe.",
)
MASK_FORM = Rule(
    "mask-form",
    "shape",
    "a step mask with no form, or with several",
    why="Two forms would contradict each other.",
    bad="steps: {at: [0], every: 4}",
    good="steps: {every: 4}",
)
MASK_RUNS = Rule(
    "mask-runs",
    "shape",
    "runs of computed and reused steps that cannot take turns",
    why="Runs begin with a computed one, so there are as many reused ones, or one less.",
    bad="steps: {compute: [4], cache: [1, 2]}",
    good="steps: {compute: [4, 1], cache: [1, 2]}",
)
OF_VALUES = {rule.code: rule for rule in (BAD_VALUE, NOT_FINITE, UNKNOWN_KEY, MISSING_KEY, MASK_FORM, MASK_RUNS)}
"""The rules that a value breaks by itself, wherever it comes from."""


def unknown(key: str, allowed: tuple[str, ...]) -> Misfit:
    """Say that a mapping has a key that it must not have."""
    return Misfit(", ".join(allowed), None, code="unknown-key", key=key)


def missing(key: str, declared: Key) -> Misfit:
    """Say that a mapping lacks a key."""
    title = getattr(declared.kind, "expected", declared.kind.title)
    return Misfit(title, None, code="missing-key", key=key)


def refused(
    label: str,
    place: str,
    error: Misfit | Misfits,
    made: Callable[[Sequence[Finding]], CachedslError] = PolicyError,
) -> CachedslError:
    """Return the error of a value that was given in Python: the rules and words are those of a file's."""
    found = error.found if isinstance(error, Misfits) else [error]
    prefix = tuple(step for step in place.split(".") if step)
    return made([finding_of(one.under(*prefix), Span(f"<{label}>"), describe(one.value)) for one in found])


def finding_of(misfit: Misfit, span: Span, value: str, fix: Fix | None = None) -> Finding:
    """Say what does not fit at `span`; `value` is what stands there, in words."""
    rule, where, hint = misfit.rule or OF_VALUES[misfit.code], dotted(misfit.path), misfit.hint
    inside = f" in `{where}`" if where else ""
    if misfit.code == "unknown-key":
        near = nearest(misfit.key or "", misfit.expected.split(", "))
        hint = f"{f'did you mean `{near}`? ' if near else ''}allowed: {misfit.expected}"
        return rule.finding(f"unknown key `{printable(misfit.key or '')}`{inside}", span, hint, fix=fix)
    if misfit.code == "missing-key":
        return rule.finding(f"key `{misfit.key}` is missing{inside}", span, f"expected {misfit.expected}", fix=fix)
    message = (misfit.message or f"expected {misfit.expected}, got {{value}}").replace("{value}", value)
    return rule.finding(f"{where}: {message}" if where else message, span, hint, fix=fix)


def nearest(name: str, names: Iterable[str]) -> str | None:
    """Return the name that looks most like `name`, if any does."""
    found = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5) if len(name) <= 100 else []
    return found[0] if found else None


def dotted(path: Path) -> str:
    """Write a key path as messages do."""
    return printable(".".join(str(step) for step in path))


def describe(value: Any, text: str | None = None) -> str:
    """Say what a value is, short enough for one line; `text` is how it was written, where it was."""
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        return f"a list of {len(value)}" if value else "an empty list"
    if value is None:
        return "nothing"
    written = str(value) if text is None else text
    if isinstance(value, str) and 0 < len(value) <= 40 and written == value and type(resolve_scalar(value)) is not str:
        written = f'"{written}"'  # without its quotes, "8" would look like the number that was expected
    return f"`{printable(written if len(written) <= 40 else f'{written[:37]}...')}`"
