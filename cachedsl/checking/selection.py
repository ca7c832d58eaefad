"""Which rules are looked for: chosen by code or by category."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import PurePath

from attrs import field, frozen

from cachedsl.checking.catalogue import ELSEWHERE, all_rules, rule_called
from cachedsl.text.finding import CATEGORIES, Rule

ALL = "all"
MAX_STARS = 6


def wrong_selector(name: str) -> str | None:
    """Say why `name` chooses nothing; None where it is a code, a category or `all`."""
    rule = rule_called(name)
    if rule is not None and rule.stage in ELSEWHERE:
        return f"`cachedsl check` does not look for `{name}`: {ELSEWHERE[rule.stage]}"
    if name == ALL or name in CATEGORIES or rule is not None:
        return None
    codes = (one.code for one in all_rules() if one.stage not in ELSEWHERE)
    near = next(iter(get_close_matches(name.lower(), [*CATEGORIES, *codes], 1)), None)
    guess = f"did you mean `{near}`? " if near else ""
    return f"there is no rule and no category `{name}` ({guess}categories: {', '.join(CATEGORIES)})"


@frozen
class Selection:
    """The rules that are looked for.

    A code says more than a category, and a category more than `all`; of two that say as much, `ignore` wins. A
    rule that is opt-in is chosen by its code alone.

    Attributes:
        select: codes, categories or `all`.
        ignore: likewise, what is left out of them.
        per_file: patterns of paths, relative to the folder of pyproject.toml, and what is left out there. A pattern
            that a folder has holds for all below it, one without `/` for files of that name in any folder, and `**/`
            for any number of folders, none as well.
    """

    select: tuple[str, ...] = (ALL,)
    ignore: tuple[str, ...] = ()
    per_file: tuple[tuple[str, tuple[str, ...]], ...] = field(default=())

    def has(self, rule: Rule, path: PurePath | None = None) -> bool:
        """Tell whether a rule is looked for, in the file at `path` where there is one.

        What keeps a text from being read is always told.
        """
        if rule.stage == "text":
            return True
        chosen, left_out = _weight(rule, self.select), _weight(rule, self.ignore)
        if path is not None:
            inside = (names for pattern, names in self.per_file if _in(path, pattern))
            left_out = max([left_out, *(_weight(rule, names) for names in inside)])
        return chosen > left_out


def _weight(rule: Rule, names: Iterable[str]) -> int:
    weights = {rule.code: 3} if rule.opt_in else {ALL: 1, rule.category: 2, rule.code: 3}
    return max((weights.get(name, 0) for name in names), default=0)


def _in(path: PurePath, pattern: str) -> bool:
    names = [path.as_posix(), *(parent.as_posix() for parent in path.parents if parent.name)]
    if "/" not in pattern:
        names.append(path.name)
    return any(fnmatchcase(name, one) for one in _spelt(pattern.rstrip("/")) for name in names)


@lru_cache(maxsize=256)
def _spelt(pattern: str) -> tuple[str, ...]:
    """Return a pattern with each `**/` written as some folders, and as none."""
    head, found, tail = pattern.partition("**/")
    if not found or pattern.count("**/") > MAX_STARS:
        return (pattern,)
    return tuple(f"{head}{between}{one}" for one in _spelt(tail) for between in ("*/", ""))
