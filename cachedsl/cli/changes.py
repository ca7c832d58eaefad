"""What `cachedsl check` writes: fixes, comments and baselines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from cachedsl.checking.baseline import Baseline, baseline_text, read_baseline
from cachedsl.checking.check import Checked
from cachedsl.checking.fixing import Fixed, difference, fix_source
from cachedsl.checking.ignores import add_ignores
from cachedsl.checking.run import Run
from cachedsl.checking.sources import Source
from cachedsl.cli.output import emit, say
from cachedsl.text.writing import write_whole


def known_findings(file: str | None) -> Baseline | None:
    """Read the baseline, where there is one."""
    return None if file is None else read_baseline(Path(file))


def write_known(run: Run, file: str | None) -> None:
    """Write all findings to the baseline."""
    if file is None:
        raise click.UsageError("--write-baseline: say where to, with --baseline FILE")
    findings = [found for one in run.examine() for found in one.findings]
    kept = [found for found in findings if found.rule.stage != "text"]
    write_whole(file, baseline_text(kept, Path(file)))
    say(f"{_count(len(kept), 'finding')} written to {file}")
    if len(kept) < len(findings):
        left = _count(len(findings) - len(kept), "file that cannot be read", "findings of files that cannot be read")
        say(f"left out: {left}; no baseline hides them", err=True)


def apply_all(run: Run, unsafe: bool) -> dict[str, int]:
    """Make the fixes of all files, standard input's to standard output; return how many were made, by file."""
    made: dict[str, int] = {}
    for source, fixed in _fixed(run, unsafe):
        if fixed is not None:
            made[source.file] = len(fixed.applied)
            if _is_file(run, source) and source.path is not None:
                write_whole(source.path, fixed.text)
            run.replace(source, fixed.text)
    for source in run.sources:
        if run.is_stdin(source):
            click.echo(source.document.text.encode("utf-8", "surrogatepass"), nl=False)
    return made


def show_changes(run: Run, unsafe: bool) -> bool:
    """Print what the fixes would change, and tell whether there is anything."""
    changed = False
    for source, fixed in _fixed(run, unsafe):
        if fixed is not None:
            changed = True
            emit(difference(source.file, source.document.text, fixed.text).splitlines())
    return changed


def add_comments(run: Run, reason: str, known: Baseline | None) -> None:
    """Write a comment to each finding that ignores it."""
    if any(sign in reason for sign in "\r\n") or not reason.isprintable():
        raise click.UsageError("--add-ignore: the reason is one line")
    added, left = 0, 0
    for one in run.examine(baseline=known):
        source = one.source
        if source is None or not one.findings or not _is_file(run, source) or source.path is None:
            left += len(one.findings)
            continue
        text, without = add_ignores(source.document, one.findings, reason)
        if text != source.document.text:
            write_whole(source.path, text)
        left += len(without)
        added += len(one.findings) - len(without)
        for found in without:
            say(f"no comment can be put to: {found.render()}", err=True)
    say(f"{_count(added, 'finding')} ignored by comments")
    if left:
        say(f"{_count(left, 'finding')} left: mend them, or name them under per-file-ignores", err=True)
        raise SystemExit(1)


def _fixed(run: Run, unsafe: bool) -> Iterator[tuple[Source, Fixed | None]]:
    by_source: dict[str, Checked] = {one.file: one for one in run.examine() if one.source is not None}
    for source in run.sources:
        one = by_source[source.file]
        yield source, fix_source(one, run.look, unsafe)


def _is_file(run: Run, source: Source) -> bool:
    return source.path is not None and not run.is_stdin(source)


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number} {one if number == 1 else many or f'{one}s'}"
