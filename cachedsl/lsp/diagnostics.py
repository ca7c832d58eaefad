"""Findings as diagnostics, and their fixes as code actions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lsprotocol.types import (
    CodeAction,
    CodeActionKind,
    CodeDescription,
    Diagnostic,
    DiagnosticRelatedInformation,
    DiagnosticSeverity,
    Location,
    Range,
    TextEdit,
    WorkspaceEdit,
)

from cachedsl.lsp.positions import Positions
from cachedsl.text.edit import apply_fixes
from cachedsl.text.finding import Finding

SOURCE = "cachedsl"
FIX_ALL = CodeActionKind("source.fixAll")
_SEVERITIES = {"error": DiagnosticSeverity.Error, "warning": DiagnosticSeverity.Warning}


def diagnostic(found: Finding, uri: str, positions: Positions) -> Diagnostic:
    """Return a finding as the editor shows it, with the address of the rule's page."""
    related = [
        DiagnosticRelatedInformation(Location(uri, positions.range(one.span.start, one.span.end)), one.message)
        for one in found.related
        if one.span.file == found.span.file
    ]
    return Diagnostic(
        range=positions.range(found.span.start, found.span.end),
        message=f"{found.message} ({found.hint})" if found.hint else found.message,
        severity=_SEVERITIES[found.severity],
        code=found.code,
        code_description=CodeDescription(found.rule.url),
        source=SOURCE,
        related_information=related or None,
    )


def actions(
    findings: Sequence[Finding], text: str, uri: str, positions: Positions, wanted: Range
) -> Iterator[CodeAction]:
    """Yield the fixes of what is found in the range, then one action that makes every safe fix of the text."""
    start, end = positions.offset(wanted.start), positions.offset(wanted.end)
    for found in findings:
        fix = found.fix
        if fix is None or found.span.start > end or found.span.end < start:
            continue
        edits = [TextEdit(positions.range(one.start, one.end), one.text) for one in fix.edits]
        title = fix.title if fix.safe else f"{fix.title} (changes what the policy does)"
        yield CodeAction(
            title=title[:1].upper() + title[1:],
            kind=CodeActionKind.QuickFix,
            diagnostics=[diagnostic(found, uri, positions)],
            is_preferred=fix.safe,
            edit=WorkspaceEdit({uri: edits}),
        )
    changed, made = apply_fixes(text, findings)
    if made:
        edit = TextEdit(positions.range(0, len(text)), changed)
        yield CodeAction(title="Make every safe fix of cachedsl", kind=FIX_ALL, edit=WorkspaceEdit({uri: [edit]}))
