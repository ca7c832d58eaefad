"""`cachedsl check`: every finding of policy and adapter files, one a line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from cachedsl.loading import SUFFIXES, check_adapter_file, check_file
from cachedsl.matching.adapter import AdapterError
from cachedsl.matching.reading import load_adapter
from cachedsl.text.document import read


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
def check(paths: tuple[Path, ...]) -> None:
    """Check policy and adapter files, and all of them below folders.

    A file with a key `family` is an adapter; any other that is named is checked as a policy, whatever it holds. Below a
    folder, `.yaml` and `.yml` files count as policies when they have a key `version` or cannot be read as YAML at all;
    hidden folders are passed over.

    Exit status: 0 fine, 1 findings, 2 wrong use.
    """
    files = list(dict.fromkeys(file for path in paths for file in _files(path)))
    if not files:
        raise click.UsageError(f"no policies below {', '.join(str(path) for path in paths)}")
    count, adapters = 0, 0
    for file in files:
        adapter = _has(file, "family")
        adapters += adapter
        lines = list(_adapter_findings(file)) if adapter else [f.render() for f in check_file(file, str(file))]
        count += len(lines)
        for line in lines:
            click.echo(line)
    kinds = [_plural(len(files) - adapters, "policy", "policies")] * (len(files) > adapters)
    kinds += [_plural(adapters, "adapter", "adapters")] * (adapters > 0)
    click.echo(f"{' and '.join(kinds)} checked, {_plural(count, 'finding', 'findings')}")
    if count:
        raise SystemExit(1)


def _adapter_findings(file: Path) -> Iterator[str]:
    """Yield what the schema finds; where that is nothing, what the adapter's own rules do."""
    findings = check_adapter_file(file, str(file))
    yield from (finding.render() for finding in findings)
    if not findings:
        try:
            load_adapter(file)
        except AdapterError as error:
            place, _, message = str(error).partition(": ")
            yield f"{place}: error[adapter]: {message}"


def _files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    for file in sorted(p for p in path.rglob("*") if p.suffix in SUFFIXES and p.is_file()):
        hidden = any(part.startswith(".") for part in file.relative_to(path).parts)
        if not hidden and (_has(file, "version") or _has(file, "family") or read(file, str(file)).root is None):
            yield file


def _has(file: Path, key: str) -> bool:
    root = read(file, str(file)).root
    return root is not None and key in root.mapping


def _plural(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"
