"""How the commands print what files say, and what went wrong."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterable

import click

from cachedsl import __version__
from cachedsl.text.finding import CachedslError
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


def emit(lines: Iterable[str], *, err: bool = False, for_people: bool = True) -> None:
    """Print lines that a format made, each as it is: for people as the terminal takes it, for programs in UTF-8."""
    stream = sys.stderr if err else sys.stdout
    encoding = (for_people and getattr(stream, "encoding", None)) or "utf-8"
    for line in lines:
        click.echo(f"{line}\n".encode(encoding, "backslashreplace"), nl=False, err=err)


def fault(error: Exception) -> SystemExit:
    """Say that cachedsl itself failed, and how to report it; return what ends the program, with status 3.

    With CACHEDSL_TRACEBACK in the environment, the traceback is shown too.
    """
    cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
    file = getattr(error, "file", None)
    where = f" while it checked {file}" if isinstance(file, str) else ""
    if os.environ.get("CACHEDSL_TRACEBACK"):
        for line in traceback.format_exception(error):
            click.echo(line, nl=False, err=True)
    say(f"cachedsl failed{where}: {type(cause).__name__}: {cause}", err=True)
    say(
        f"this is a fault of cachedsl {__version__}, not of your files; please report it with the command, the file "
        "and what CACHEDSL_TRACEBACK=1 shows",
        err=True,
    )
    return SystemExit(3)


def stop(error: CachedslError) -> SystemExit:
    """Print an error, one line for each of its lines, and return what ends the program.

    The status is 1 where something was found in a file, 2 where the command was used wrongly.
    """
    for line in str(error).splitlines():
        say(line, err=True)
    return SystemExit(1 if hasattr(error, "findings") else 2)


def write_out(text: str, file: str | None, *, for_people: bool = True) -> None:
    """Print a result, or write it to a file, whole or not at all; what a file cannot be is wrong use.

    What is printed for people is encoded as the terminal takes it, all else as UTF-8; a half of a character, as a
    file's name may have, is written as an escape.
    """
    if file is None or file == "-":
        encoding = (for_people and getattr(sys.stdout, "encoding", None)) or "utf-8"
        click.echo(text.encode(encoding, "backslashreplace"), nl=False)
        return
    try:
        write_whole(file, text.encode("utf-8", "backslashreplace").decode("utf-8"))
    except OSError as error:
        raise click.UsageError(f"{file} cannot be written: {(error.strerror or str(error)).lower()}") from error
