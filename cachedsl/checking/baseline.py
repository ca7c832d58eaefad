"""Findings that are known, in a file: so that a repository can take on rules step by step.

A finding is known by its file, its rule and its message, not by its line, and as often as it was written down.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from attrs import define, field

from cachedsl.checking.catalogue import rule_called
from cachedsl.text.finding import CachedslError, Finding, Rule
from cachedsl.text.paths import reason

FORMAT = "cachedsl.baseline"
VERSION = 1

Known = tuple[str, str, str]
Looked = Mapping[str, Callable[[Rule], bool]]
"""The files that a call checked, each with whether it looked for a rule there."""


class BadBaseline(CachedslError):
    """A file that is no baseline, or one that cannot be read."""


@define
class Baseline:
    """What a baseline file lists. `left` is what of it has not been found in this call."""

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

    def gone(self, looked: Looked) -> int:
        """Return how many findings are listed that are not there any more, as far as this call can tell."""
        return sum((self.left - self.unseen(looked)).values())

    def unseen(self, looked: Looked) -> Counter[Known]:
        """Return what is listed of files that were not checked and of rules that were not looked for."""
        judges = {_file(file, self.path): judged for file, judged in looked.items()}

        def is_unseen(file: str, code: str) -> bool:
            if file not in judges:
                return file.startswith("<") or os.path.lexists(self.path.absolute().parent / file)
            rule = rule_called(code)
            return rule is not None and not judges[file](rule)

        return Counter({known: count for known, count in self.left.items() if is_unseen(*known[:2])})


class Baselines:
    """The baselines of a call: the one that it names, else those that are configured for its files."""

    def __init__(self, named: str | None) -> None:
        """Read none yet; `named` holds for all files."""
        self._named = named
        self._read: dict[str, Baseline] = {}

    def of(self, configured: str | None) -> Baseline | None:
        """Return the baseline for files whose configuration names `configured`. Raises `BadBaseline`."""
        file = self._named or configured
        if file is None:
            return None
        if file not in self._read:
            self._read[file] = read_baseline(Path(file))
        return self._read[file]

    def gone(self, looked: Looked) -> int:
        """Return how many findings are listed that are not there any more."""
        return sum(baseline.gone(looked) for baseline in self._read.values())


def read_baseline(path: Path) -> Baseline:
    """Read a baseline.

    Raises:
        BadBaseline: it is not there, or no baseline of this version.
    """
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadBaseline(f"{path}: there is no such baseline; `--write-baseline` writes it") from None
    except OSError as error:
        raise BadBaseline(f"{path}: the baseline cannot be read: {reason(error)}") from None
    except (ValueError, RecursionError) as error:
        raise BadBaseline(f"{path}: the baseline is not JSON ({error}); `--write-baseline` writes it anew") from None
    if not isinstance(tree, Mapping) or tree.get("format") != FORMAT or tree.get("version") != VERSION:
        raise BadBaseline(f"{path}: not a baseline of version {VERSION}; `--write-baseline` writes it anew")
    found: Counter[Known] = Counter()
    try:
        for file, rules in tree["findings"].items():
            for code, messages in rules.items():
                for message, count in messages.items():
                    if type(count) is not int or count < 1:
                        raise ValueError(f"a count is a whole number of at least 1, not {count!r}")
                    found[(file, code, message)] = count
    except (AttributeError, KeyError, TypeError, ValueError):
        raise BadBaseline(
            f"{path}: `findings` is not file → rule → message → count; `--write-baseline` writes it anew"
        ) from None
    return Baseline(path, found)


def baseline_text(findings: Iterable[Finding], path: Path, unseen: Counter[Known] | None = None) -> str:
    """Return the text of a baseline at `path` that lists the findings, and what stays of the old one.

    It is sorted, so that its changes are small.
    """
    counts = Counter(_known(found, path) for found in findings if found.rule.stage != "text")
    tree: dict[str, dict[str, dict[str, int]]] = {}
    for (file, code, message), count in sorted((counts + (unseen or Counter())).items()):
        tree.setdefault(file, {}).setdefault(code, {})[message] = count
    text = json.dumps({"format": FORMAT, "version": VERSION, "findings": tree}, indent=2, ensure_ascii=False) + "\n"
    # A file's name need not be UTF-8; what is put for such a byte reads as JSON's own escape.
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _known(found: Finding, path: Path) -> Known:
    return _file(found.span.file, path), found.code, found.message


def _file(file: str, path: Path) -> str:
    """Return a file as the baseline at `path` calls it."""
    if file.startswith("<"):
        return file
    return Path(os.path.relpath(os.path.abspath(file), path.absolute().parent)).as_posix()
