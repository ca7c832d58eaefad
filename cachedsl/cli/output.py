"""How the commands print what files say, and what went wrong."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterable

import click

from cachedsl import __version__
from cachedsl.text.finding import CachedslError
from cachedsl.text.paths import reason
from cachedsl.text.scalars import clamped, printable
from cachedsl.text.writing import write_whole


def say(text: str, err: bool = False) -> None:
    """Print one line; what a file or its name holds can neither steer the terminal nor stop the output."""
    line = clamped(text)
    encoding = getattr(sys.stderr if err else sys.stdout, "encoding", None) or "utf-8"
    click.echo(line.encode(encoding, "backslashreplace").decode(encoding), err=err)


def emit(lines: Iterable[str], *, err: bool = False, for_people: bool = True) -> None:
    """Print lines that a format made, each as it is: for people as the terminal takes it, for programs in UTF-8."""
    stream = sys.stderr if err else sys.stdout
    encoding = (for_people and getattr(stream, "encoding", None)) or "utf-8"
    for line in lines:
        _put(f"{line}\n".encode(encoding, "backslashreplace"), err)


def _put(data: bytes, err: bool = False) -> None:
    """Write bytes to the output. Raises an `OSError` that names it."""
    try:
        click.echo(data, nl=False, err=err)
    except OSError as error:
        raise OSError(error.errno, error.strerror, "standard error" if err else "standard output") from error


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


def system_said(error: OSError) -> str:
    """Return why the system refused, and what, on one line."""
    said = reason(error)
    return f"{os.fsdecode(error.filename)}: {said}" if error.filename else said


def write_out(text: str, file: str | None = None) -> None:
    """Print a result, or write it to a file, whole or not at all; what a file cannot be is wrong use.

    A terminal gets what it can show. A file or another program that the output is led to gets UTF-8.
    """
    whole = text.encode("utf-8", "backslashreplace")
    if file is None or file == "-":
        if sys.stdout is not None and sys.stdout.isatty():
            whole = text.encode(sys.stdout.encoding or "utf-8", "backslashreplace")
        _put(whole)
        return
    try:
        write_whole(file, whole.decode("utf-8"))
    except OSError as error:
        raise click.UsageError(f"{printable(file)} cannot be written: {reason(error)}") from error
