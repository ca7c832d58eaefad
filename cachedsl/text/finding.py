"""Say what is wrong, where, and what to do about it.

A `Rule` is what can be wrong; a `Finding` is one place where it is. Errors of policies, adapters, models and runs
derive from `CachedslError`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal

import attrs
from attrs import field, frozen

Stage = Literal["text", "shape", "meaning", "file", "fit", "count", "folder", "adapter", "run"]
Severity = Literal["error", "warning"]
Category = Literal["correctness", "suspicious", "performance", "style"]

CATEGORIES: dict[Category, str] = {
    "correctness": "what cannot be right: it does not load, does not fit, or would decide something else than it says",
    "suspicious": "what is allowed and hardly ever meant",
    "performance": "what makes a policy reuse less, or cost more, than it could",
    "style": "what makes a policy harder to read, to find or to review",
}
RULES_URL = "https://cachedsl.dev/rules/"
"""Where docs/rules.md is published; every rule has an anchor there."""

SHOWN_PER_RULE = 20


@frozen(order=True)
class Span:
    """A stretch of a text. Two spans are equal when they begin at the same place; the end is not compared.

    Attributes:
        file: the text's name, as the user gave it.
        line: where the stretch begins, counted from 1.
        column: where the stretch begins, counted from 1.
        end_line: the line of the first character behind the stretch.
        end_column: the column of the first character behind the stretch.
        start: the offset of the first character in the text.
        end: the offset behind the last one.
    """

    file: str
    line: int = 1
    column: int = 1
    end_line: int = field(eq=False)
    end_column: int = field(eq=False)
    start: int = field(default=0, eq=False)
    end: int = field(eq=False)

    @end_line.default
    def _end_line(self) -> int:
        return self.line

    @end_column.default
    def _end_column(self) -> int:
        return self.column

    @end.default
    def _end(self) -> int:
        return self.start

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@frozen
class Edit:
    """A change of a text: the characters from `start` up to `end` become `text`."""

    start: int
    end: int
    text: str


@frozen
class Fix:
    """Edits that mend a finding. `safe` ones change nothing that the author may have meant."""

    title: str
    edits: tuple[Edit, ...] = field(converter=tuple[Edit, ...])
    safe: bool


@frozen
class Related:
    """Another place that a finding is about, and what stands there."""

    message: str
    span: Span


@frozen
class Rule:
    """Something that can be wrong. Rules are equal when their codes are.

    Attributes:
        code: a stable slug such as `unknown-key`.
        stage: which step of reading a file finds it.
        summary: one line, without a full stop.
        why: a paragraph on why it is wrong.
        bad: a short text that has the fault.
        good: the same text, mended.
        category: what kind of fault it is, one of `CATEGORIES`; a rule is selected by its code or by this.
        fix: a sentence on what `cachedsl check --fix` does about it, and whether that is safe; empty where a person has
            to mend it.
        opt_in: whether it is looked for only where its code is selected, and not under `all` or its category.
    """

    code: str
    stage: Stage = field(eq=False)
    summary: str = field(eq=False)
    severity: Severity = field(default="error", eq=False)
    why: str = field(default="", eq=False)
    bad: str = field(default="", eq=False)
    good: str = field(default="", eq=False)
    category: Category = field(default="correctness", eq=False, kw_only=True)
    fix: str = field(default="", eq=False, kw_only=True)
    opt_in: bool = field(default=False, eq=False, kw_only=True)

    @property
    def url(self) -> str:
        """Return the address of the rule's page."""
        return f"{RULES_URL}#{self.code}"

    def finding(
        self,
        message: str,
        span: Span,
        hint: str | None = None,
        *,
        related: Iterable[Related] = (),
        fix: Fix | None = None,
        severity: Severity | None = None,
    ) -> Finding:
        """Return a finding of this rule at `span`. `hint` is the way out, without a full stop."""
        return Finding(self, message, span, hint, related, fix, self.severity if severity is None else severity)


@frozen
class Finding:
    """One place where a rule is broken. `hint` is the way out, without a full stop."""

    rule: Rule
    message: str
    span: Span
    hint: str | None = None
    related: tuple[Related, ...] = field(default=(), converter=tuple[Related, ...])
    fix: Fix | None = None
    severity: Severity = field()

    @severity.default
    def _severity(self) -> Severity:
        return self.rule.severity

    @property
    def code(self) -> str:
        """Return the rule's slug."""
        return self.rule.code

    def render(self) -> str:
        """Return `path:line:column: severity[code]: message (hint)`, one line."""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{self.span}: {self.severity}[{self.code}]: {self.message}{hint}"

    def __str__(self) -> str:
        return self.render()


class CachedslError(Exception):
    """Base of every error that cachedsl raises for something its user can mend.

    Its text says what is wrong, where, and the way out. Nothing that was loaded or attached before is changed by it.
    """


@frozen(str=False)
class PolicyError(CachedslError):
    """A policy has errors, or does not fit the model or the step count.

    Its text shows the findings, at most 20 of each rule in each file.

    Attributes:
        findings: everything that is wrong, in file order. Each has a `code`, a `message`, a `hint` (the way out) and a
            `span` (file, line and column).

    Example:
        >>> from cachedsl import Policy, PolicyError
        >>> try:
        ...     Policy(compute="F1")
        ... except PolicyError as error:
        ...     print(error.findings[0].code)
        bad-value
    """

    findings: tuple[Finding, ...] = field(converter=tuple[Finding, ...])

    @property
    def diagnostics(self) -> tuple[Finding, ...]:
        """The findings, by their older name."""
        return self.findings

    def __str__(self) -> str:
        return "\n".join(finding.render() for finding in capped(self.findings))


def in_file_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Sort findings by file, line and column, and drop those that say the same as another."""
    unique: dict[object, Finding] = {}
    for found in findings:
        unique.setdefault((found.span, found.code, found.message, found.hint, found.severity), found)
    return tuple(sorted(unique.values(), key=_place))


def _place(found: Finding) -> tuple[str, int, int, str, str]:
    return (found.span.file, found.span.line, found.span.column, found.code, found.message)


def capped(findings: Sequence[Finding], per_rule: int = SHOWN_PER_RULE) -> tuple[Finding, ...]:
    """Keep the first `per_rule` findings of each code in each file; the last one kept says how many more there are."""
    total = Counter((found.span.file, found.code) for found in findings)
    seen: Counter[tuple[str, str]] = Counter()
    kept = []
    for found in findings:
        kind = (found.span.file, found.code)
        seen[kind] += 1
        if seen[kind] < per_rule or seen[kind] == per_rule == total[kind]:
            kept.append(found)
        elif seen[kind] == per_rule:
            more = f"and {total[kind] - per_rule} more of `{found.code}` in this file"
            kept.append(attrs.evolve(found, hint=f"{found.hint}; {more}" if found.hint else more))
    return tuple(kept)
