"""What is raised of adapters and models."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve, field, frozen

from cachedsl.text.finding import CachedslError, Finding, Span, capped

WHOLE_FILE = ("cannot-read", "too-large", "empty")
"""Of what these rules say, the line tells nothing."""


class UnsupportedModel(CachedslError):
    """No adapter knows this model, and its blocks cannot be learned."""


@frozen(str=False)
class AdapterError(CachedslError):
    """An adapter, or the file of one, has errors. Its text shows the findings, at most 20 of each rule.

    Attributes:
        findings: everything that is wrong. Of an adapter that was made in Python, they are of a file without a name.
    """

    findings: tuple[Finding, ...] = field(converter=tuple[Finding, ...])

    def __str__(self) -> str:
        return "\n".join(_line(found) for found in capped(self.findings))


def _line(found: Finding) -> str:
    hint = f" ({found.hint})" if found.hint else ""
    if not found.span.file:
        return f"{found.message}{hint}"
    return f"{found.span.file}: {found.message}{hint}" if found.code in WHOLE_FILE else found.render()


def without_place(findings: Sequence[Finding]) -> AdapterError:
    """Return the error of what was made in Python."""
    return AdapterError([evolve(found, span=Span("")) for found in findings])
