"""Sum up what was checked, in a line or two."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from cachedsl.checking.check import Checked
from cachedsl.checking.kinds import FileKind

SHOWN = 5
"""Names of files that were passed over; the others are counted."""

WORDS: dict[FileKind, tuple[str, str]] = {
    "policy": ("policy", "policies"),
    "adapter": ("adapter", "adapters"),
    "ratios": ("file of ratios", "files of ratios"),
    "plan": ("plan", "plans"),
}


def summary(checked: Sequence[Checked], fixed: int = 0, gone: int = 0, *, offers: bool = False) -> list[str]:
    """Return how many files of each kind were checked and what was found, then the names of those passed over.

    `fixed` findings were mended, `gone` ones of the baseline are not there any more, and `offers` counts those that can
    be mended, too.
    """
    kinds = Counter(one.kind for one in checked)
    parts = [_plural(kinds[kind], *words) for kind, words in WORDS.items() if kinds[kind]]
    *others, last = parts or ["nothing"]
    named = f"{', '.join(others)} and {last}" if others else last
    findings = [found for one in checked for found in one.findings]
    fixes = [found.fix for found in findings if found.fix is not None]
    safe = sum(fix.safe for fix in fixes)
    told = [f"{safe} mended by --fix"] * (offers and safe > 0)
    told += [f"{len(fixes) - safe} by --unsafe-fixes"] * (offers and safe < len(fixes))
    told = [f"{fixed} mended"] * (fixed > 0) + told
    about = f" ({', '.join(told)})" if told else ""
    lines = [f"{named} checked, {_plural(len(findings), 'finding', 'findings')}{about}"]
    if gone:
        lines.append(f"{_plural(gone, 'finding', 'findings')} of the baseline gone: --write-baseline takes them out")
    strangers = passed_over(checked)
    return [*lines, strangers] if strangers else lines


def passed_over(checked: Sequence[Checked]) -> str:
    """Return the names of the files that belong to other tools; an empty string where there are none."""
    names = [one.file for one in checked if one.kind == "stranger" and not one.findings]
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"passed over: {', '.join(names[:SHOWN])}{more}" if names else ""


def _plural(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"
