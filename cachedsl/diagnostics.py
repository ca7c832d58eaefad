"""Say what is wrong, where, and what to do about it.

Every finding is a `Diagnostic`; every error that a user can cause derives from `CachedslError`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from attrs import field, frozen

Severity = Literal["error", "warning"]


@frozen(order=True)
class Span:
    """A place in a text: `file` as the user named it, `line` and `column` counted from 1."""

    file: str
    line: int = 1
    column: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@frozen
class Diagnostic:
    """One finding. `code` is a stable slug such as `unknown-key`; `hint` is the way out, without a full stop."""

    code: str
    message: str
    span: Span
    hint: str | None = None
    severity: Severity = "error"

    def render(self) -> str:
        """Return `path:line:column: severity[code]: message (hint)`, one line."""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{self.span}: {self.severity}[{self.code}]: {self.message}{hint}"

    def __str__(self) -> str:
        return self.render()


class CachedslError(Exception):
    """Base of every error that cachedsl raises for something its user can mend."""


@frozen(str=False)
class PolicyError(CachedslError):
    """A policy or adapter file does not hold; carries every finding, in file order."""

    diagnostics: tuple[Diagnostic, ...] = field(converter=tuple[Diagnostic, ...])

    def __str__(self) -> str:
        return "\n".join(d.render() for d in self.diagnostics)


def in_file_order(findings: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Sort findings by file, line and column, and drop exact repetitions."""
    return tuple(sorted(dict.fromkeys(findings), key=lambda d: (d.span, d.code, d.message)))
