"""Every rule there is: those of texts and values, one module each for the others, and those of other packages."""

from __future__ import annotations

import pkgutil
from collections.abc import Collection, Iterable
from functools import lru_cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from cachedsl.language import notation
from cachedsl.language.plugins import PluginError, load_entry
from cachedsl.rules import adapter, convert, count, file, fit, folder, meaning, run, shape
from cachedsl.rules.base import Check, Findings
from cachedsl.text.finding import Rule, Stage
from cachedsl.text.rules import TEXT_RULES

ENTRY_POINTS = "cachedsl.rules"


@lru_cache(maxsize=1)
def checks() -> tuple[Check, ...]:
    """Return every check, in the order of stages and of file names; then those of other packages.

    Raises:
        PluginError: an entry point is no `Check`, or takes a code that is taken.
    """
    own = tuple(
        check
        for package in (meaning, file, fit, count, folder, run)
        for module in _modules(package)
        for check in module.CHECKS
    )
    taken = {rule.code for rule in (*_values(), *(check.rule for check in own))}
    brought = []
    for point in entry_points(group=ENTRY_POINTS):
        check = load_entry(point, ENTRY_POINTS, Check)
        if check.rule.code in taken:
            raise PluginError(
                f"entry point {point.name!r} of {ENTRY_POINTS}: there is a rule {check.rule.code!r} already"
            )
        brought.append(check)
    return (*own, *brought)


def rules() -> tuple[Rule, ...]:
    """Return every rule, in the order in which they are looked for."""
    return tuple(dict.fromkeys((*_values(), *(check.rule for check in checks()))))


def run_checks(stage: Stage, context: Any) -> Findings:
    """Yield what the checks of a stage find, lints aside."""
    for check in _at(stage, False):
        yield from check.check(context)


def run_lints(stage: Stage, context: Any, asked: Collection[str] = ()) -> Findings:
    """Yield what the lints of a stage find; of those that are opt-in, only the codes that were `asked` for."""
    for check in _at(stage, True):
        if not check.rule.opt_in or check.rule.code in asked:
            yield from check.check(context)


@lru_cache(maxsize=32)
def _at(stage: Stage, lint: bool) -> tuple[Check, ...]:
    return tuple(check for check in checks() if check.stage == stage and check.is_lint == lint)


@lru_cache(maxsize=1)
def _values() -> tuple[Rule, ...]:
    of_files = (
        module.RULES
        for package in (shape, adapter, convert)
        for module in _modules(package)
        if hasattr(module, "RULES")
    )
    return (*TEXT_RULES, notation.RULE, *(rule for rules_ in of_files for rule in rules_))


def _modules(package: Any) -> Iterable[Any]:
    names = sorted(module.name for module in pkgutil.iter_modules(package.__path__))
    return [import_module(f"{package.__name__}.{name}") for name in names]
