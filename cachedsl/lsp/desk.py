"""The texts that an editor holds, checked as `cachedsl check` checks files; what is typed stands for what is saved."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from attrs import define, evolve, field, frozen

from cachedsl.checking.check import Checked
from cachedsl.checking.kinds import FileKind, classify
from cachedsl.checking.lints import Held
from cachedsl.checking.models import held_on
from cachedsl.checking.run import Options, Run
from cachedsl.checking.sources import source_of
from cachedsl.language.policy import Policy
from cachedsl.lower.compile import compile_policy
from cachedsl.matching.adapter import Adapter
from cachedsl.plan.ir import Plan
from cachedsl.text.document import parse_document, read_document
from cachedsl.text.finding import CachedslError, Finding, Span
from cachedsl.text.paths import real_path
from cachedsl.text.tree import Document

STEPS = 28
"""The step count of a plan that is shown where none is set."""


@frozen
class Setting:
    """The model and the step count that an editor is set to; they go before the `plans` table."""

    model: str | None = None
    steps: int | None = None

    def held(self) -> tuple[Held, ...] | None:
        """Return what policies are held on, None where nothing is set. Raises `CachedslError` for an unknown model."""
        if self.model is None and self.steps is None:
            return None
        return held_on([] if self.model is None else [self.model], [] if self.steps is None else [self.steps])


@frozen(eq=False)
class Looked:
    """What was found in one text.

    Attributes:
        document: the text.
        kind: what it holds.
        findings: what is wrong in it; a fault of a parent is told where the parent is named.
        policy: the policy, None where it has errors or is none.
        parents: the files that it extends.
        held: the models and step counts that it is held on.
    """

    document: Document
    kind: FileKind
    findings: tuple[Finding, ...] = ()
    policy: Policy | None = None
    parents: tuple[Path, ...] = ()
    held: tuple[Held, ...] = ()

    @property
    def declared(self) -> type[Policy] | type[Adapter]:
        """The class whose keys the text is to have."""
        return Adapter if self.kind == "adapter" else Policy

    def plan(self) -> Plan | str | None:
        """Return the plan on the first model that is held, why there is none, or None where no model is named."""
        on = next((one for one in self.held if one.shape is not None), None)
        if on is None or on.shape is None or self.policy is None:
            return None
        steps = on.steps or next((one.steps for one in self.held if one.steps), None) or STEPS
        try:
            return compile_policy(self.policy, on.shape, steps)
        except CachedslError as error:
            return str(error)


@define
class Desk:
    """The open texts by path, and what the editor is set to.

    A text that was one of ours stays so: while a key is typed it may look like another tool's.
    """

    texts: dict[Path, str] = field(factory=dict)
    setting: Setting = Setting()
    _ours: set[Path | str] = field(factory=set)

    def forget(self, path: Path | None, name: str) -> None:
        """Drop a text that is open no more, as `look` was given it."""
        self._ours.discard(path or name)
        if path is not None:
            self.texts.pop(path, None)

    def look(self, text: str, path: Path | None, called: str = "") -> Looked:
        """Check a text that lies, or would lie, at `path`; None for one that has no file yet, and is only `called`."""
        key = path or called
        name = None if path is None else str(path)
        typed = text.encode("utf-8", "surrogatepass")
        run = self._run(typed, name)
        if classify(source_of(typed)) != "stranger":
            self._ours |= {key} - {""}
        elif key not in self._ours and text.strip() and not (path is not None and run.config(path).held(path)):
            return Looked(parse_document(text, name or "<stdin>"), "stranger")
        checked = next(one for one in run.examine() if one.source is not None)
        source = checked.source
        assert source is not None
        held: Sequence[Held] = ()
        if path is not None or self.setting.held() is not None:
            config = run.config(path)
            held = self.setting.held() or config.held(None if path is None else real_path(path))
        seen = checked.policy
        findings = tuple(_here(checked, source.document))
        policy = None if seen is None else seen.policy
        parents = () if seen is None else seen.parents
        kind = "policy" if checked.kind == "stranger" else checked.kind
        return Looked(source.document, kind, findings, policy, parents, tuple(held))

    def children(self, path: Path) -> list[Path]:
        """Return the open texts that extend the file at `path`, themselves or over others."""
        target, found = real_path(path), []
        for other, text in self.texts.items():
            if other != path and target in self.look(text, other).parents:
                found.append(other)
        return found

    def _run(self, typed: bytes, name: str | None) -> Run:
        options = Options(held=self.setting.held(), dependents=False, stdin_filename=name, opened=self._opened)
        return Run(("-",), cast(Any, io.BytesIO(typed)), options)

    def _opened(self, path: Path, file: str) -> Document:
        """Read a parent: what is typed in another tab, else the file."""
        for other, text in self.texts.items():
            if other == path or os.path.realpath(other) == str(path):
                return parse_document(text, file)
        return read_document(path, file)


def _here(checked: Checked, document: Document) -> list[Finding]:
    """Return the findings with those of parents moved to where the parent is named."""
    root = document.root
    named = None if root is None else root.mapping.get("extends")
    place = Span(document.file) if named is None else named.span
    moved = []
    for found in checked.findings:
        if found.span.file == document.file:
            moved.append(found)
        else:
            message = f"in {found.span}: {found.message}"
            moved.append(evolve(found, message=message, span=place, fix=None))
    return moved
