"""Check files, each as what it holds."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path

from attrs import evolve, field, frozen

from cachedsl.checking.kinds import FileKind, classify
from cachedsl.checking.lints import Held, folder_lints, policy_lints
from cachedsl.checking.plans import plan_findings
from cachedsl.checking.sources import Source
from cachedsl.loading import Opener, read_checked
from cachedsl.matching.reading import adapter_findings
from cachedsl.rules.base import PolicyFile
from cachedsl.rules.shape.ratios import ratios_findings
from cachedsl.text.document import read_document
from cachedsl.text.finding import Finding, in_file_order
from cachedsl.text.paths import real_path
from cachedsl.text.tree import Document

HeldOn = Callable[[Path | None], Sequence[Held]]
"""Tells on which models and step counts the policy of a file is held; None for standard input."""


def on_nothing(path: Path | None) -> Sequence[Held]:
    """Hold no policy on any model."""
    return ()


@frozen
class Checked:
    """A file, what it was taken for, and what is wrong with it; of a stranger nothing is said.

    `source` is what was read, None for a folder that cannot be listed; `policy` what its rules saw of a policy.
    """

    file: str
    kind: FileKind
    findings: tuple[Finding, ...] = field(default=(), converter=in_file_order)
    source: Source | None = field(default=None, eq=False, repr=False)
    policy: PolicyFile | None = field(default=None, eq=False, repr=False)


def check_source(
    source: Source, held: HeldOn = on_nothing, asked: Collection[str] = (), opened: Opener = read_document
) -> Checked:
    """Check one file as what it holds; as a policy where it is a stranger that was named, or cannot be read.

    Rules that are opt-in are looked for where `asked` has their code. What a policy extends is read by `opened`.
    """
    kind = classify(source)
    if kind == "stranger" and (source.named or source.unreadable):
        kind = "policy"
    document = source.document
    if kind == "policy":
        return _checked_policy(source, held, asked, opened)
    if kind == "adapter":
        return Checked(source.file, kind, _without_consequences(document, adapter_findings(document)), source)
    findings = ratios_findings(document) if kind == "ratios" else plan_findings(document) if kind == "plan" else ()
    return Checked(source.file, kind, findings, source)


def is_ours(source: Source) -> bool:
    """Tell whether a file is one of cachedsl's by what it holds."""
    return classify(source) != "stranger"


def with_folders(checked: Sequence[Checked], held: HeldOn) -> list[Checked]:
    """Add what is found by looking at all policies of a folder, each finding to the file that it is in."""
    more: dict[str, list[Finding]] = {}
    for found in folder_lints([one.policy for one in checked if one.policy is not None], held):
        more.setdefault(found.span.file, []).append(found)
    return [evolve(one, findings=(*one.findings, *more.get(one.file, ()))) for one in checked]


def _checked_policy(source: Source, held: HeldOn, asked: Collection[str], opened: Opener) -> Checked:
    document = source.document
    path = None if source.path is None else real_path(source.path)
    read = read_checked(document, path, opened)
    findings = list(_without_consequences(document, read.findings))
    if document.root is None or document.broken:
        return Checked(source.file, "policy", findings, source)
    holds = not any(found.severity == "error" for found in findings)
    file = PolicyFile(document, read.policy if holds else None, path, read.parents)
    # of a value that is wrong anyway, what is not good about it leads astray
    wrong = {(found.span, found.span.end) for found in findings}
    findings += [one for one in policy_lints(file, read, held(path), asked) if (one.span, one.span.end) not in wrong]
    return Checked(source.file, "policy", findings, source, file)


def _without_consequences(document: Document, findings: Iterable[Finding]) -> Iterator[Finding]:
    """Leave out what is found in a value that holds an error of the text: it may be nothing that was written."""
    errors = document.findings if document.broken else ()
    for found in findings:
        inside = [error for error in errors if found.span.start <= error.span.start < found.span.end]
        if not inside or found in errors or found.span.file != document.file:
            yield found
