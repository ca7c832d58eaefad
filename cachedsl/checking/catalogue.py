"""Every rule that there is: of files, of finished runs, and of settings that are converted."""

from __future__ import annotations

from difflib import get_close_matches
from functools import lru_cache

from cachedsl.checking import plans, plans_table
from cachedsl.rules import registry
from cachedsl.text.finding import Rule, Stage

ELSEWHERE: dict[Stage, str] = {"run": "the runtime warns of it", "convert": "`cachedsl convert` does"}
"""The stages of rules that `cachedsl check` does not look for, and who does."""


@lru_cache(maxsize=1)
def all_rules() -> tuple[Rule, ...]:
    """Return every rule: those of policies and adapters, then those of plans and of the `plans` table."""
    return tuple(dict.fromkeys((*registry.rules(), *plans.RULES, *plans_table.RULES)))


def rule_called(code: str) -> Rule | None:
    """Return the rule of that code, None where there is none."""
    return next((rule for rule in all_rules() if rule.code == code), None)


def nearest_code(code: str) -> str | None:
    """Return the code that looks most like `code`, if any does."""
    near = get_close_matches(code.lower(), [rule.code for rule in all_rules()], n=1, cutoff=0.4)
    return near[0] if near else None
