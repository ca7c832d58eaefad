"""`cachedsl check`: every finding of policy files, one a line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from cachedsl.policy.load import SUFFIXES, check_file
from cachedsl.source import read


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
def check(paths: tuple[Path, ...]) -> None:
    """Check policy files, and all policies below folders.

    A file that is named is checked whatever it holds. Below a folder, `.yaml` and `.yml` files count as policies when
    they have a key `version` or cannot be read as YAML at all; adapters, which have a key `family`, and hidden folders
    are passed over.

    Exit status: 0 fine, 1 findings, 2 wrong use.
    """
    files = list(dict.fromkeys(file for path in paths for file in _files(path)))
    if not files:
        raise click.UsageError(f"no policies below {', '.join(str(path) for path in paths)}")
    count = 0
    for file in files:
        findings = check_file(file, str(file))
        count += len(findings)
        for finding in findings:
            click.echo(finding.render())
    click.echo(f"{_plural(len(files), 'policy', 'policies')} checked, {_plural(count, 'finding', 'findings')}")
    if count:
        raise SystemExit(1)


def _files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    for file in sorted(p for p in path.rglob("*") if p.suffix in SUFFIXES and p.is_file()):
        hidden = any(part.startswith(".") for part in file.relative_to(path).parts)
        if not hidden and _is_policy(file):
            yield file


def _is_policy(file: Path) -> bool:
    root = read(file, str(file)).root
    if root is None:
        return True
    return "version" in root.mapping and "family" not in root.mapping


def _plural(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"
