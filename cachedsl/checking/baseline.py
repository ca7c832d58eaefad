"""Findings that are known, in a file: so that a repository can take on rules step by step.

A finding is known by its file, its rule and its message, not by its line, and as often as it was written down.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from attrs import define, field

from cachedsl.text.finding import CachedslError, Finding

FORMAT = "cachedsl.baseline"
VERSION = 1

Known = tuple[str, str, str]


class BadBaseline(CachedslError):
    """A file that is no baseline, or one that cannot be read."""


@define
class Baseline:
    """What a baseline file lists. `left` is what of it has not been found yet."""

    path: Path
    left: Counter[Known] = field(factory=Counter)

    def without_known(self, findings: Iterable[Finding]) -> list[Finding]:
        """Return the findings that are not listed; each that is listed counts once."""
        kept = []
        for found in findings:
            known = _known(found, self.path)
            if found.rule.stage != "text" and self.left[known] > 0:
                self.left[known] -= 1
            else:
                kept.append(found)
        return kept

    @property
    def gone(self) -> int:
        """How many findings are listed that are not there any more."""
        return sum(self.left.values())


def read_baseline(path: Path) -> Baseline:
    """Read a baseline.

    Raises:
        BadBaseline: it is not there, or no baseline of this version.
    """
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadBaseline(f"{path}: there is no such baseline; `--write-baseline` writes it") from None
    except (OSError, ValueError) as error:
        raise BadBaseline(f"{path}: the baseline cannot be read: {error}") from None
    if not isinstance(tree, Mapping) or tree.get("format") != FORMAT or tree.get("version") != VERSION:
        raise BadBaseline(f"{path}: not a baseline of version {VERSION}; `--write-baseline` writes it anew")
    found: Counter[Known] = Counter()
    try:
        for file, rules in tree["findings"].items():
            for code, messages in rules.items():
                for message, count in messages.items():
                    found[(file, code, message)] = int(count)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise BadBaseline(f"{path}: `findings` is not file → rule → message → count") from None
    return Baseline(path, found)


def baseline_text(findings: Iterable[Finding], path: Path) -> str:
    """Return the text of a baseline at `path` that lists the findings, sorted, so that its changes are small."""
    tree: dict[str, dict[str, dict[str, int]]] = {}
    for found in sorted(findings, key=lambda found: _known(found, path)):
        if found.rule.stage == "text":
            continue
        file, code, message = _known(found, path)
        messages = tree.setdefault(file, {}).setdefault(code, {})
        messages[message] = messages.get(message, 0) + 1
    return json.dumps({"format": FORMAT, "version": VERSION, "findings": tree}, indent=2, ensure_ascii=False) + "\n"


def _known(found: Finding, path: Path) -> Known:
    file = found.span.file
    if not file.startswith("<"):
        file = Path(os.path.relpath(os.path.abspath(file), path.absolute().parent)).as_posix()
    return file, found.code, found.message
