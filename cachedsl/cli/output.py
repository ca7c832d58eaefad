"""How the commands print what files say, and what went wrong."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import click

from cachedsl.text.finding import CachedslError, Finding, capped
from cachedsl.text.scalars import printable
from cachedsl.text.writing import write_whole

MAX_LINE = 2000


def say(text: str, err: bool = False) -> None:
    """Print one line; what a file or its name holds can neither steer the terminal nor stop the output."""
    line = printable(text)
    if len(line) > MAX_LINE:
        line = f"{line[: MAX_LINE - 3]}..."
    encoding = getattr(sys.stderr if err else sys.stdout, "encoding", None) or "utf-8"
    click.echo(line.encode(encoding, "backslashreplace").decode(encoding), err=err)


def say_findings(findings: Iterable[Finding]) -> None:
    """Print findings, one a line; of many that are alike, the first ones."""
    for found in capped(tuple(findings)):
        say(found.render())


def stop(error: CachedslError) -> SystemExit:
    """Print an error, one line for each of its lines, and return what ends the program.

    The status is 1 where something was found in a file, 2 where the command was used wrongly.
    """
    for line in str(error).splitlines():
        say(line, err=True)
    return SystemExit(1 if hasattr(error, "findings") else 2)


def write_out(text: str, file: str | None) -> None:
    """Print a result, or write it to a file, whole or not at all; what a file cannot be is wrong use."""
    if file is None or file == "-":
        click.echo(text, nl=False)
        return
    try:
        write_whole(file, text)
    except OSError as error:
        raise click.UsageError(f"{file} cannot be written: {(error.strerror or str(error)).lower()}") from error
