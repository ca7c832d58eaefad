"""Read `[tool.cachedsl]` of the nearest pyproject.toml.

```toml
[tool.cachedsl]
extend-select = []
ignore = ["file-name"]
fail-on = "warning"
baseline = "cachedsl-baseline.json"
per-file-ignores = {"policies/old/*.yaml" = ["style"]}

[[tool.cachedsl.plans]]
policy = "policies/*.yaml"
model = "flux"
steps = [28]
```
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from attrs import evolve, field, frozen

from cachedsl.checking.formats import NAMES
from cachedsl.checking.lints import Held
from cachedsl.checking.models import held_on
from cachedsl.checking.plans_table import PlansTable, no_policy, read_table
from cachedsl.checking.pyproject import NotToml, pyprojects, read_pyproject
from cachedsl.checking.selection import ALL, Selection, wrong_selector
from cachedsl.language.refusals import nearest
from cachedsl.rules.shape.config import BAD_CONFIG
from cachedsl.text.finding import CachedslError, Finding, Span, in_file_order
from cachedsl.text.globs import path_matches
from cachedsl.text.scalars import printable, shortened

SEVERITIES = ("error", "warning")


@frozen(eq=False, slots=False)
class Config:
    """What a pyproject.toml says.

    Attributes:
        root: its folder; None where there is no such file, or it says nothing of cachedsl.
        file: what it is called; None likewise.
        selection: which rules are looked for.
        baseline: the file of known findings, as a path from the current folder.
        fail_on: the least severity at which the check fails.
        output_format: the format where none is named.
        plans: which policies are held on which models and step counts.
        findings: what is wrong with it.
    """

    root: Path | None = None
    file: str | None = None
    selection: Selection = field(factory=Selection)
    baseline: str | None = None
    fail_on: str = "error"
    output_format: str | None = None
    plans: PlansTable | None = None
    findings: tuple[Finding, ...] = field(default=(), converter=in_file_order)

    def inner(self, path: Path | None) -> Path | None:
        """Return a path as from the folder of the file; None where it lies elsewhere."""
        if path is None or self.root is None or not path.is_relative_to(self.root):
            return None
        return path.relative_to(self.root)

    def held(self, path: Path | None) -> Sequence[Held]:
        """Return on which models and step counts the `plans` table holds the policy at `path`, there already or not."""
        inner = self.inner(path)
        if inner is None:
            return ()
        return tuple(one for pattern, held in _entries_of(self) if path_matches(inner, pattern) for one in held)


def config_of(folder: Path) -> Config:
    """Return what the nearest pyproject.toml with `[tool.cachedsl]` says, of a folder and those above it."""
    for file in pyprojects(folder):
        found = read_config(file)
        if found is not None:
            return found
    return Config()


def read_config(path: Path) -> Config | None:
    """Return what a pyproject.toml says; None where it says nothing of cachedsl."""
    file = str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
    try:
        found = read_pyproject(path)
    except NotToml as error:
        finding = BAD_CONFIG.finding(f"the file is not TOML: {error}", error.span(file))
        return Config(path.parent, file, findings=[finding])
    if found is None:
        return None
    if not isinstance(found.own, Mapping):
        message = f"tool.cachedsl: expected a table, got {shortened(repr(found.own), 60)}"
        return Config(path.parent, file, findings=[BAD_CONFIG.finding(message, Span(file))])
    return _Reader(found.text, file, path.parent).config(found.own)


class _Reader:
    """Reads the keys of one file's table."""

    def __init__(self, text: str, file: str, root: Path) -> None:
        self._lines = text.split("\n")
        self._text = text
        self._file = file
        self._root = root
        self._findings: list[Finding] = []

    def config(self, own: Mapping[str, Any]) -> Config:
        for key in own:
            if key not in KEYS:
                near = nearest(key, KEYS)
                guess = f"did you mean `{near}`? " if near else ""
                self._wrong(key, f"unknown key `{printable(key)}`", f"{guess}allowed: {', '.join(KEYS)}")
        table = None
        if "plans" in own:
            entries, wrong = read_table(own["plans"], self._text, self._file)
            self._findings += wrong
            table = PlansTable(self._root, entries)
        baseline = self._one(own, "baseline", "a path", lambda value: bool(value))
        select = self._names("select", own.get("select", [ALL])) or ((ALL,) if own.get("select") else ())
        per_file = own.get("per-file-ignores", {})
        if not isinstance(per_file, Mapping):
            self._wrong("per-file-ignores", "per-file-ignores: expected a table of patterns with lists of codes")
            per_file = {}
        config = Config(
            self._root,
            self._file,
            Selection(
                (*select, *self._names("extend-select", own.get("extend-select", []))),
                self._names("ignore", own.get("ignore", [])),
                tuple((self._pattern(one), self._names("per-file-ignores", names)) for one, names in per_file.items()),
            ),
            None if baseline is None else str(self._root / baseline),
            self._one(own, "fail-on", " or ".join(SEVERITIES), lambda value: value in SEVERITIES) or "error",
            self._one(own, "output-format", f"one of {', '.join(NAMES)}", lambda value: value in NAMES),
            table,
        )
        return evolve(config, findings=(*self._findings, *self._models(table)))

    def _one(self, own: Mapping[str, Any], key: str, expected: str, holds: Callable[[str], bool]) -> str | None:
        value = own.get(key)
        if value is None or (isinstance(value, str) and holds(value)):
            return value
        self._wrong(key, f"{key}: expected {expected}, got {shortened(repr(value), 60)}")
        return None

    def _names(self, key: str, value: Any) -> tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            self._wrong(key, f"{key}: expected a list of codes and categories, got {shortened(repr(value), 60)}")
            return ()
        wrong = {name: why for name in value if (why := wrong_selector(name)) is not None}
        for why in wrong.values():
            self._wrong(key, f"{key}: {why}")
        return tuple(name for name in value if name not in wrong)

    def _pattern(self, pattern: str) -> str:
        path = PurePosixPath(pattern)
        if "\\" in pattern or path.is_absolute() or ".." in path.parts or not path.parts:
            said = shortened(repr(pattern), 60)
            message = f"per-file-ignores: expected a path or a glob below this folder, got {said}"
            self._wrong("per-file-ignores", message, "folders are parted by `/`, also on Windows")
        return pattern.removeprefix("./")

    def _models(self, table: PlansTable | None) -> Iterator[Finding]:
        """Yield which entries of `plans` name no model that is known, and which no policy that is there."""
        for entry in () if table is None else table.entries:
            missing = no_policy(self._root, entry)
            if missing is not None:
                yield missing
            try:
                held_on(_paths(self._root, entry.models), entry.steps)
            except CachedslError as error:
                yield BAD_CONFIG.finding(f"plans: {printable(str(error))}", entry.span)

    def _wrong(self, key: str, message: str, hint: str | None = None) -> None:
        self._findings.append(BAD_CONFIG.finding(message, self._place(key), hint))

    def _place(self, key: str) -> Span:
        """Return where a key stands in the table, else where the table begins."""
        inside, head = False, 1
        for number, line in enumerate(self._lines, 1):
            section = re.match(r"\s*\[\[?\s*([^\]]+?)\s*\]", line)
            if section is not None and "=" not in line.partition("#")[0]:
                name = re.sub(r"\s*\.\s*", ".", section[1]).replace('"', "")
                inside = name == "tool.cachedsl"
                head = number if inside else head
                if name == f"tool.cachedsl.{key}":
                    return Span(self._file, number)
            found = re.match(rf"""(\s*["']?)({re.escape(key)})["']?\s*[=.]""", line) if inside else None
            if found is not None:
                return Span(self._file, number, found.start(2) + 1, number, found.end(2) + 1)
        return Span(self._file, head)


def _paths(root: Path, models: Sequence[str]) -> list[str]:
    """Return models, paths of adapters as from the file's folder."""
    return [str(root / name) if (root / name).is_file() else name for name in models]


@lru_cache(maxsize=16)
def _entries_of(config: Config) -> tuple[tuple[str, tuple[Held, ...]], ...]:
    """Return each pattern with what it holds; an entry with a model that is not known is left out, and told once."""
    found: list[tuple[str, tuple[Held, ...]]] = []
    table = config.plans or PlansTable(Path())
    for entry in table.entries:
        try:
            held = held_on(_paths(table.root, entry.models), entry.steps)
        except CachedslError:
            continue
        found.append((entry.policy, tuple(evolve(one, budget=entry.memory) for one in held)))
    return tuple(found)


KEYS = (
    "select",
    "extend-select",
    "ignore",
    "per-file-ignores",
    "baseline",
    "fail-on",
    "output-format",
    "plans",
)
