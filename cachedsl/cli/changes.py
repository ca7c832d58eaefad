"""What `cachedsl check` writes: fixes, comments and baselines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import click

from cachedsl.checking.baseline import BadBaseline, Baselines, Known, baseline_text, read_baseline
from cachedsl.checking.check import Checked
from cachedsl.checking.fixing import Fixed, difference, fix_source
from cachedsl.checking.ignores import add_ignores
from cachedsl.checking.run import Run
from cachedsl.checking.sources import Source
from cachedsl.cli.output import emit, say, system_said
from cachedsl.text.document import MAX_BYTES
from cachedsl.text.writing import write_whole

CHUNK = 1 << 20


def known_findings(run: Run, named: str | None) -> Baselines:
    """Read the baselines, so that none turns out to be wrong after something was changed. Raises `BadBaseline`."""
    known = Baselines(named)
    known.of(run.config().baseline)
    for source in run.sources:
        known.of(run.config(source.path).baseline)
    return known


def write_known(run: Run, named: str | None) -> None:
    """Write all findings to the baselines; what they list of files and rules that are not looked at stays."""
    checked = run.examine()
    wanted = {named or run.config(one.source.path).baseline for one in checked if one.source is not None}
    files = sorted({named or run.config().baseline, *wanted} - {None}, key=str)
    if not files:
        raise click.UsageError("--write-baseline: say where to, with --baseline FILE")
    left = sum(len(one.findings) for one in checked)
    for file in filter(None, files):
        mine = [one for one in checked if one.source and (named or run.config(one.source.path).baseline) == file]
        kept = [found for one in mine for found in one.findings if found.rule.stage != "text"]
        path = Path(file)
        write_whole(path, baseline_text(kept, path, _unseen(path, run)))
        say(f"{_count(len(kept), 'finding')} written to {file}")
        left -= len(kept)
    unread = sum(found.rule.stage == "text" for one in checked for found in one.findings)
    words = [_count(unread, "file that cannot be read", "findings of files that cannot be read")] * (unread > 0)
    words += [f"{_count(left - unread, 'finding')} of pyproject.toml"] * (left > unread)
    if words:
        say(f"left out: {' and '.join(words)}; no baseline hides them", err=True)


def _unseen(path: Path, run: Run) -> Counter[Known]:
    try:
        return read_baseline(path).unseen(run.looked)
    except BadBaseline:
        return Counter()  # it is written anew


def apply_all(run: Run, unsafe: bool) -> tuple[dict[str, int], bool]:
    """Make the fixes of all files, standard input's to standard output.

    Return how many were made, by file, and whether all could be written; one that cannot stays as it is, and is told.
    """
    made: dict[str, int] = {}
    written = True
    for source, fixed in _fixed(run, unsafe):
        if fixed is None:
            continue
        if _is_file(run, source) and source.path is not None and not _written(source.path, fixed.text):
            written = False
            continue
        made[source.file] = len(fixed.applied)
        run.replace(source, fixed.text)
    for source in run.sources:
        if run.is_stdin(source):
            # Also what cannot be read goes on: who asked may write the output over the input.
            click.echo(source.data, nl=False)
            while len(source.data) > MAX_BYTES and (part := run.unread().read(CHUNK)):
                click.echo(part, nl=False)
    return made, written


def _written(path: Path, text: str) -> bool:
    try:
        write_whole(path, text)
    except OSError as error:
        say(f"not mended: {system_said(error)}", err=True)
        return False
    return True


def show_changes(run: Run, unsafe: bool) -> bool:
    """Print what the fixes would change, and tell whether there is anything."""
    changed = False
    for source, fixed in _fixed(run, unsafe):
        if fixed is not None:
            changed = True
            emit(difference(source.file, source.document.text, fixed.text).splitlines())
    return changed


def add_comments(run: Run, reason: str, known: Baselines) -> None:
    """Write a comment to each finding that ignores it."""
    if any(sign in reason for sign in "\r\n") or not reason.isprintable():
        raise click.UsageError("--add-ignore: the reason is one line")
    added, left, written = 0, 0, True
    for one in run.examine(known=known):
        source = one.source
        if source is None or not one.findings or not _is_file(run, source) or source.path is None:
            left += len(one.findings)
            continue
        text, without = add_ignores(source.document, one.findings, reason)
        if text != source.document.text and not _written(source.path, text):
            written = False
            left += len(one.findings)
            continue
        left += len(without)
        added += len(one.findings) - len(without)
        for found in without:
            say(f"no comment can be put to: {found.render()}", err=True)
    say(f"{_count(added, 'finding')} ignored by comments")
    if left:
        say(f"{_count(left, 'finding')} left: mend them, or name them under per-file-ignores", err=True)
        raise SystemExit(1 if written else 2)


def _fixed(run: Run, unsafe: bool) -> Iterator[tuple[Source, Fixed | None]]:
    by_source: dict[str, Checked] = {one.file: one for one in run.examine() if one.source is not None}
    for source in run.sources:
        one = by_source[source.file]
        yield source, fix_source(one, run.look, unsafe)


def _is_file(run: Run, source: Source) -> bool:
    return source.path is not None and not run.is_stdin(source)


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number} {one if number == 1 else many or f'{one}s'}"
