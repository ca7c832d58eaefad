"""Read the `plans` table of `[tool.cachedsl]` in pyproject.toml: which policies are held on which models and steps.

[[tool.cachedsl.plans]]
policy = "policies/*.yaml"
model = "flux"
steps = [28]
folder = "plans"
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path, PurePath
from typing import Any

from attrs import field, frozen

from cachedsl.checking.budgets import read_budget, wrong_budget
from cachedsl.checking.pyproject import PYPROJECT, NotToml, pyprojects, read_pyproject
from cachedsl.loading import bundled_path
from cachedsl.rules.budget import Budget
from cachedsl.text.finding import Finding, PolicyError, Rule, Span, in_file_order
from cachedsl.text.globs import files_that_match, path_matches
from cachedsl.text.paths import real_path
from cachedsl.text.scalars import printable, shortened

MAX_STEPS = 10_000
BAD_TABLE = Rule(
    "bad-plans-table",
    "shape",
    "an entry of `plans` in pyproject.toml that cannot be read",
    why="`[[tool.cachedsl.plans]]` says for which models and step counts the plans of policies are kept. A "
    "misspelt entry keeps nothing, so nobody would notice a change of a policy.",
    bad='[[tool.cachedsl.plans]]\npolicy = "policies/*.yaml"\nmodle = "flux"\nsteps = [28]',
    good='[[tool.cachedsl.plans]]\npolicy = "policies/*.yaml"\nmodel = "flux"\nsteps = [28]\nfolder = "plans"',
)
RULES = (BAD_TABLE,)
_HEADER = re.compile(r"^\s*\[\[\s*tool\s*\.\s*cachedsl\s*\.\s*plans\s*\]\]", re.M)


@frozen
class PlansEntry:
    """One entry of the table.

    Attributes:
        policy: a policy's path or a glob of paths, relative to the folder of pyproject.toml; or a bundled name.
        models: names as `--model` takes them, or paths of adapters.
        steps: step counts.
        folder: where the plans are, relative to the folder of pyproject.toml.
        memory: how much features may take in a run; None where it is not said.
        span: where the entry begins.
    """

    policy: str
    models: tuple[str, ...]
    steps: tuple[int, ...]
    folder: str = "plans"
    memory: Budget | None = field(default=None, kw_only=True)
    span: Span = field(default=Span(PYPROJECT), eq=False)


@frozen
class PlansTable:
    """The entries of a pyproject.toml, and the folder that it is in."""

    root: Path
    entries: tuple[PlansEntry, ...] = ()

    def of(self, policy: Path) -> tuple[PlansEntry, ...]:
        """Return the entries that hold the policy at `policy`, also where it is not there any more."""
        try:
            inside = real_path(policy).relative_to(real_path(self.root))
        except ValueError:
            return ()
        return tuple(one for one in self.entries if path_matches(inside, one.policy))


def no_policy(root: Path, entry: PlansEntry) -> Finding | None:
    """Return what is wrong with an entry that names no policy: neither a file below `root` nor a bundled one."""
    if bundled_path(entry.policy) is not None or next(files_that_match(root, entry.policy), None) is not None:
        return None
    if (root / entry.policy).is_dir():
        inside = printable((PurePath(entry.policy) / "*.yaml").as_posix())
        return BAD_TABLE.finding(
            f"plans: `{shortened(entry.policy)}` is a folder", entry.span, f"name its files: `{inside}`"
        )
    message = f"plans: no policy matches `{shortened(entry.policy)}`"
    return BAD_TABLE.finding(message, entry.span, f"paths are relative to {root}")


def nearest_table(start: Path) -> PlansTable | None:
    """Return the table that holds for the folder `start`; None where no pyproject.toml has one.

    Raises:
        PolicyError: it cannot be read; all findings at once.
    """
    for file in pyprojects(start):
        shown = PYPROJECT if file.parent == start else str(file)
        try:
            found = read_pyproject(file)
        except NotToml as error:
            raise PolicyError([BAD_TABLE.finding(f"no TOML: {error}", error.span(shown))]) from None
        if found is None:
            continue
        if not isinstance(found.own, Mapping) or "plans" not in found.own:
            return None
        entries, findings = read_table(found.own["plans"], found.text, shown)
        if findings:
            raise PolicyError(findings)
        return PlansTable(file.parent, entries)
    return None


def read_table(value: Any, text: str = "", file: str = PYPROJECT) -> tuple[tuple[PlansEntry, ...], tuple[Finding, ...]]:
    """Return the entries of the table's value, and what is wrong with it; `text` is the file's, to tell lines."""
    headers = [match.start() + match[0].index("[") for match in _HEADER.finditer(text)]

    def place(index: int) -> Span:
        if len(headers) != (len(value) if isinstance(value, list) else 1):
            return Span(file)  # written in another form
        return Span(file, text.count("\n", 0, headers[index]) + 1)

    if not isinstance(value, list):
        message = f"plans: expected entries [[tool.cachedsl.plans]], got {shortened(repr(value), 60)}"
        return (), (BAD_TABLE.finding(message, Span(file)),)
    entries, findings = [], []
    for index, one in enumerate(value):
        span = place(index)
        wrong = list(_wrong(one))
        findings += [BAD_TABLE.finding(f"plans: {message}", span, hint) for message, hint in wrong]
        if not wrong:
            models, steps = one["model"], one["steps"]
            entries.append(
                PlansEntry(
                    one["policy"],
                    tuple(models) if isinstance(models, list) else (models,),
                    tuple(steps) if isinstance(steps, list) else (steps,),
                    one.get("folder", "plans"),
                    memory=read_budget(one["memory"]) if "memory" in one else None,
                    span=span,
                )
            )
    return tuple(entries), in_file_order(findings)


KEYS = ("policy", "model", "steps", "folder", "memory")


def _wrong(entry: Any) -> Iterator[tuple[str, str | None]]:
    """Yield what is wrong with an entry, each with the way out."""
    if not isinstance(entry, Mapping):
        yield f"expected an entry with {', '.join(KEYS)}, got {shortened(repr(entry), 60)}", None
        return
    for key in entry:
        if key not in KEYS:
            near = get_close_matches(key, KEYS, 1)
            yield (
                f"unknown key `{shortened(key)}`",
                f"did you mean `{near[0]}`?" if near else f"one of {', '.join(KEYS)}",
            )
    for key, example in (("policy", '"policies/*.yaml"'), ("model", '"flux"'), ("steps", "[28]")):
        if key not in entry:
            yield f"`{key}` is missing", f"such as {key} = {example}"
    models, steps = entry.get("model", "x"), entry.get("steps", 1)
    for key, values in (("policy", [entry.get("policy", "x")]), ("folder", [entry.get("folder", "x")])):
        if not all(_is_path(one) for one in values):
            yield f"{key}: expected a path below this folder, got {shortened(repr(values[0]), 60)}", None
    listed = models if isinstance(models, list) else [models]
    if not listed or not all(isinstance(one, str) and one for one in listed):
        yield f"model: expected a model's name, or a list of names, got {shortened(repr(models), 60)}", None
    counts = steps if isinstance(steps, list) else [steps]
    if not counts or not all(type(one) is int and 1 <= one <= MAX_STEPS for one in counts):
        said = shortened(repr(steps), 60)
        yield f"steps: expected a step count from 1 to {MAX_STEPS}, or a list of them, got {said}", None
    if "memory" in entry:
        yield from wrong_budget(entry["memory"])


def _is_path(value: Any) -> bool:
    if not isinstance(value, str) or not value or "\0" in value:
        return False
    path = Path(value)
    return not path.is_absolute() and ".." not in path.parts
