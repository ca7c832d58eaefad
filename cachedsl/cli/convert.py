"""`cachedsl convert`: settings of other engines as policies, and policies as settings of other engines."""

from __future__ import annotations

import io
import os
from pathlib import Path

import click

from cachedsl.checking.kinds import classify
from cachedsl.checking.sources import source_of
from cachedsl.cli import completing, options
from cachedsl.cli.naming import policy_called
from cachedsl.cli.output import say, stop, write_out
from cachedsl.cli.stdin import standard_input
from cachedsl.cli.tables import print_table, table_of
from cachedsl.convert.engine import Asked, Written
from cachedsl.convert.notes import ConversionError
from cachedsl.convert.registry import UnknownEngine, engine_called, engines, is_settings, write_policy
from cachedsl.convert.registry import convert as read_settings
from cachedsl.language.dump import written_tree
from cachedsl.language.policy import Policy
from cachedsl.loading import read_policy
from cachedsl.text.document import MAX_BYTES
from cachedsl.text.finding import CachedslError, Finding, Span
from cachedsl.text.paths import reason

OWN = "cachedsl"
STDIN = "<stdin>"
SCHEMA = "# yaml-language-server: $schema=https://cachedsl.dev/schemas/policy.schema.json\n"


@click.command()
@click.argument("source", required=False, shell_complete=completing.settings)
@click.option(
    "--from",
    "source_engine",
    metavar="ENGINE",
    shell_complete=completing.engine_read,
    help="The engine whose settings SOURCE has. By default it is recognised by the content.",
)
@click.option(
    "--to",
    "target",
    default=OWN,
    show_default=True,
    metavar="ENGINE",
    shell_complete=completing.engine_written,
    help="The engine to write settings for.",
)
@click.option(
    "--steps", type=click.IntRange(1, options.MAX_STEPS), help="The step count of the run, if SOURCE does not say it."
)
@click.option(
    "--model",
    metavar="NAME",
    shell_complete=completing.model_with_coefficients,
    help="The model, if the settings depend on it.",
)
@click.option("--name", metavar="NAME", help="The policy's name. The default is the name of the file.")
@click.option("--partial", is_flag=True, help="Write what can be carried over, even if something cannot.")
@options.output
@click.option("--list", "listed", is_flag=True, help="List the engines.")
def convert(
    source: str | None,
    source_engine: str | None,
    target: str,
    steps: int | None,
    model: str | None,
    name: str | None,
    partial: bool,
    output: str | None,
    listed: bool,
) -> None:
    """Convert another engine's settings into a policy, or a policy into settings.

    SOURCE is a file, or `-` for standard input. With --to it can also be a policy: a file, the name of a bundled
    policy, or compact notation.

    If something cannot be carried over, its place is named and nothing is written. --partial writes the rest.

    Exit status: 0 fine, even with warnings; 1 something cannot be read or carried over; 2 wrong use.
    """
    if listed:
        _list()
        return
    if source is None:
        raise click.UsageError("name what to convert: a file, or `-` for standard input")
    asked = Asked(steps, model)
    notes: tuple[Finding, ...] = ()
    try:
        if target == OWN:
            if source_engine is None and _is_policy(source):
                names = ", ".join(one.name for one in engines() if one.write is not None)
                hint = f"name the engine to write it for: --to, with one of {names}"
                raise click.UsageError(f"{source} is a policy already; {hint}")
            _, text, failed = _read(*_text(source), source_engine, asked, name, partial)
        else:
            engine_called(target)
            policy, failed = _policy_of(source, source_engine, asked, name, partial)
            written = write_policy(policy, target, asked)
            text, notes = written.text, _said(written, policy, source)
    except ConversionError as error:
        for note in error.notes:
            if note.severity == "error":
                say(note.finding(Span(source)).render(), err=True)
        raise SystemExit(1) from error
    except UnknownEngine as error:
        raise click.UsageError(str(error)) from error
    except CachedslError as error:
        raise stop(error) from error
    for one in notes:
        say(one.render(), err=True)
    failed = failed or any(one.severity == "error" for one in notes)
    if text and (partial or not failed):
        write_out(text, output)
    if failed:
        if not partial:
            say("nothing is written, for something would be lost; --partial writes the rest", err=True)
        raise SystemExit(1)


def _policy_of(source: str, engine: str | None, asked: Asked, name: str | None, partial: bool) -> tuple[Policy, bool]:
    """Return the policy to write, and whether something is missing in it; settings are first read as one."""
    if engine is None and source != "-" and not os.path.isfile(source):
        return policy_called(source), False  # a bundled policy, or notation
    data, file = _bytes(source)
    text = data.decode("utf-8", "replace")
    if engine is None and (classify(source_of(data, file)) != "stranger" or not is_settings(text, file)):
        return (policy_called(source) if source != "-" else read_policy(io.BytesIO(data))), False
    policy, _, failed = _read(text, file, engine, asked, name, partial)
    return policy, failed


def _is_policy(source: str) -> bool:
    """Tell whether what is to be converted is a policy already: a file, a bundled one or notation."""
    if source == "-" or (os.path.exists(source) and not os.path.isfile(source)):
        return False  # it can be read only once
    if os.path.isfile(source):
        text, file = _text(source)
        return classify(source_of(text.encode(), file)) == "policy" and not is_settings(text, file)
    try:
        return bool(policy_called(source))
    except CachedslError:
        return False


def _read(
    text: str, file: str, engine: str | None, asked: Asked, name: str | None, partial: bool
) -> tuple[Policy, str, bool]:
    """Return the policy of settings, its YAML, and whether something is missing in it; say what there is to say."""
    found = read_settings(text, file, engine=engine, asked=asked)
    for finding in found.findings:
        say(finding.render(), err=True)
    if found.errors and (not partial or not found.converted.tree):
        if partial:
            say("nothing can be carried over", err=True)
            raise SystemExit(1)
        say("nothing is written, for something would be lost; --partial writes the rest", err=True)
        raise SystemExit(1)
    stem = name or _slug(Path(file).stem if file != STDIN else found.engine.name)
    whole = found.converted.without_errors() if found.errors else found.converted
    policy = whole.policy(stem)
    rest = {key: value for key, value in whole.tree.items() if key != "version"}
    return policy, SCHEMA + written_tree({"version": 1, "name": stem, **rest}), bool(found.errors)


def _text(source: str) -> tuple[str, str]:
    data, file = _bytes(source)
    return data.decode("utf-8", "replace"), file


def _bytes(source: str) -> tuple[bytes, str]:
    if source == "-":
        return standard_input().read(MAX_BYTES + 1), STDIN
    try:
        data = Path(source).read_bytes()
    except OSError as error:
        raise click.UsageError(f"{source} cannot be read: {reason(error)}") from error
    if len(data) > MAX_BYTES:
        raise click.UsageError(f"{source} is larger than {MAX_BYTES // 1024} KiB")
    return data, source


def _slug(stem: str) -> str:
    kept = "".join(sign if sign.isalnum() or sign in "._-" else "-" for sign in stem.lower() if sign.isascii())
    return kept.strip("-._") or "converted"


def _said(written: Written, policy: Policy, source: str) -> tuple[Finding, ...]:
    """Return what the other engine cannot say, at the places of the policy's keys, else of the file as a whole."""
    places = (policy.place(*map(str, note.path)) if policy.origin else Span(source) for note in written.notes)
    return tuple(note.finding(place) for note, place in zip(written.notes, places, strict=True))


def _list() -> None:
    table = table_of("engine", "read", "written", "settings are written as")
    for engine in engines():
        marks = ["yes" if one is not None else "-" for one in (engine.read, engine.write)]
        table.add_row(engine.name, *marks, engine.forms)
    print_table(table)
