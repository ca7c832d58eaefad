"""Check files, each as what it holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import BinaryIO

from attrs import field, frozen

from cachedsl.checking.kinds import FileKind, classify
from cachedsl.checking.plans import plan_findings
from cachedsl.checking.sources import Source, list_files, read_sources
from cachedsl.loading import policy_findings
from cachedsl.matching.reading import adapter_findings
from cachedsl.rules.shape.ratios import ratios_findings
from cachedsl.text.finding import Finding, in_file_order
from cachedsl.text.tree import Document


@frozen
class Checked:
    """A file, what it was taken for, and what is wrong with it; of a stranger nothing is said."""

    file: str
    kind: FileKind
    findings: tuple[Finding, ...] = field(default=(), converter=in_file_order)


def check_paths(paths: Iterable[str], stdin: BinaryIO) -> Iterator[Checked]:
    """Check files, those below folders, and standard input for `-`. Another tool's file below a folder is a stranger.

    A folder that cannot be listed is reported as a stranger with a finding.
    """
    listing = list_files(tuple(paths))
    for found in listing.findings:
        yield Checked(found.span.file, "stranger", (found,))
    for source in read_sources(listing, stdin):
        yield check_source(source)


def check_source(source: Source) -> Checked:
    """Check one file as what it holds; as a policy where it is a stranger that was named, or cannot be read."""
    kind = classify(source)
    if kind == "stranger" and (source.named or source.unreadable):
        kind = "policy"
    return Checked(source.file, kind, _findings(source, kind))


def _findings(source: Source, kind: FileKind) -> Iterable[Finding]:
    document = source.document
    if kind == "policy":
        found = policy_findings(document, None if source.path is None else source.path.resolve())
        return _without_consequences(document, found)
    if kind == "adapter":
        return _without_consequences(document, adapter_findings(document))
    if kind == "ratios":
        return ratios_findings(document)
    return plan_findings(document) if kind == "plan" else ()


def _without_consequences(document: Document, findings: Iterable[Finding]) -> Iterator[Finding]:
    """Leave out what is found in a value that holds an error of the text: it may be nothing that was written."""
    errors = document.findings if document.broken else ()
    for found in findings:
        inside = [error for error in errors if found.span.start <= error.span.start < found.span.end]
        if not inside or found in errors or found.span.file != document.file:
            yield found
