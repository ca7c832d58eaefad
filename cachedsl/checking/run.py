"""One call of `cachedsl check`: which files, what is found in them, and what of it is shown."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

from attrs import evolve, frozen

from cachedsl.checking.baseline import Baselines
from cachedsl.checking.check import Checked, check_source, is_ours, with_folders
from cachedsl.checking.config import Config, config_of
from cachedsl.checking.dependents import dependents_of
from cachedsl.checking.ignores import ignore_findings, ignores_of, without_ignored
from cachedsl.checking.lints import Held
from cachedsl.checking.selection import Selection
from cachedsl.checking.sources import STDIN, Source, list_files, read_sources, source_of_text
from cachedsl.loading import Opener
from cachedsl.text.document import read_document
from cachedsl.text.finding import Finding, Rule
from cachedsl.text.paths import real_path


class Fault(Exception):
    """A fault of cachedsl itself, met while a file was checked."""

    def __init__(self, file: str) -> None:
        super().__init__(file)
        self.file = file


@frozen
class Options:
    """What a call asks for.

    Attributes:
        select: codes and categories in place of the configured ones; None where they hold.
        extend_select: more of them.
        ignore: likewise, what is left out in place of what is configured; None where that holds.
        held: models and step counts in place of the `plans` table; None where it holds.
        dependents: whether policies that extend a named file are checked with it.
        stdin_filename: where standard input is taken to lie.
        skip_others: whether files of other tools are passed over, also where they are named.
        opened: reads what a policy extends.
    """

    select: tuple[str, ...] | None = None
    extend_select: tuple[str, ...] = ()
    ignore: tuple[str, ...] | None = None
    held: tuple[Held, ...] | None = None
    dependents: bool = True
    stdin_filename: str | None = None
    skip_others: bool = False
    opened: Opener = read_document


class Run:
    """A call: reads once, and checks as often as fixes are made."""

    def __init__(self, paths: Sequence[str], stdin: BinaryIO, options: Options) -> None:
        """Read the files.

        Args:
            paths: files, folders, and `-` for standard input.
            stdin: what `-` reads.
            options: what is asked for.
        """
        self.options = options
        self.paths = tuple(paths)
        self.looked: dict[str, Callable[[Rule], bool]] = {}
        self._found: dict[Path, Config] = {}
        listing = list_files(self.paths)
        if options.stdin_filename is not None and "-" in self.paths:
            # What is typed stands for what is saved.
            typed = os.path.abspath(options.stdin_filename)
            files = tuple(one for one in listing.files if one[0] == "-" or os.path.abspath(one[0]) != typed)
            listing = evolve(listing, files=files)
        self._refused = tuple(Checked(found.span.file, "stranger", (found,)) for found in listing.findings)
        sources = list(read_sources(listing, stdin, options.stdin_filename))
        if options.dependents:
            sources += self._dependents(sources)
        if options.skip_others:
            sources = [evolve(source, named=source.named and is_ours(source)) for source in sources]
        self.sources = tuple(self._as_listed(source) for source in sources)
        self._stream = stdin
        self._stdin = (options.stdin_filename or STDIN) if "-" in self.paths else None
        self._folders = any(os.path.isdir(path) for path in self.paths)

    def is_stdin(self, source: Source) -> bool:
        """Tell whether a source is standard input, whatever it is called."""
        return source.file == self._stdin

    def unread(self) -> BinaryIO:
        """Return standard input behind what was read of it, as of a text that is too large."""
        return self._stream

    def replace(self, source: Source, text: str) -> None:
        """Take `text` for what a source holds from now on."""
        self.sources = tuple(source_of_text(text, one) if one is source else one for one in self.sources)

    def examine(self, sources: Sequence[Source] | None = None, known: Baselines | None = None) -> list[Checked]:
        """Check all files, or `sources` in their place, and return what is to be shown.

        What the baselines in `known` list is left out.

        Raises:
            BadBaseline: a baseline cannot be read.
            Fault: a rule or the check itself failed.
        """
        checked = []
        for source in self.sources if sources is None else sources:
            checked.append(self._check(source))
        shown = [self.shown(one, known) for one in with_folders(_each_once(checked), self._held)]
        return [*self._refused, *self._configs(), *shown]

    def look(self, source: Source) -> Checked:
        """Check one file by itself, and return what is to be shown."""
        return self.shown(self._check(source), None)

    def shown(self, one: Checked, known: Baselines | None) -> Checked:
        """Leave out what is not selected, what a comment ignores, and what is known."""
        source = one.source
        if source is None:
            return one
        config = self.config(source.path)
        selection = self.selection(config)
        inner = config.inner(None if source.path is None else _absolute(source.path))
        held = self._held(None if source.path is None else real_path(source.path))

        def looked_for(rule: Rule) -> bool:
            return selection.has(rule, inner)

        def judged(rule: Rule) -> bool:
            on_models = rule.stage != "fit" or any(one.shape is not None for one in held)
            on_steps = rule.stage != "count" or any(one.steps is not None for one in held)
            return looked_for(rule) and on_models and on_steps and (rule.stage != "folder" or self._folders)

        found = [finding for finding in one.findings if looked_for(finding.rule)]
        ignores = ignores_of(source.document)
        found = without_ignored(found, source.document, ignores)
        if not source.document.broken:
            more = ignore_findings(source.document, ignores, judged)
            found += [finding for finding in more if looked_for(finding.rule)]
        self.looked[source.file] = judged
        baseline = None if known is None else known.of(config.baseline)
        if baseline is not None:
            found = baseline.without_known(found)
        return evolve(one, findings=found)

    def selection(self, config: Config) -> Selection:
        """Return which rules are looked for: what the call says goes before what is configured."""
        chosen, options = config.selection, self.options
        select = chosen.select if options.select is None else options.select
        ignore = chosen.ignore if options.ignore is None else options.ignore
        return Selection((*select, *options.extend_select), ignore, chosen.per_file)

    def _check(self, source: Source) -> Checked:
        try:
            asked = self.selection(self.config(source.path)).select
            return check_source(source, self._held, asked, self.options.opened)
        except Exception as error:
            raise Fault(source.file) from error

    def config(self, path: Path | None = None) -> Config:
        """Return what holds for the file at `path`; without one, for the current folder."""
        folder = Path.cwd() if path is None else _absolute(path).parent
        if folder not in self._found:
            self._found[folder] = config_of(folder)
        return self._found[folder]

    def _held(self, path: Path | None) -> Sequence[Held]:
        if self.options.held is not None:
            return self.options.held
        return self.config(path).held(path)

    def _as_listed(self, source: Source) -> Source:
        """Take a file that the `plans` table names for one that the user named."""
        if source.named or source.path is None or is_ours(source):
            return source
        return evolve(source, named=bool(self.config(source.path).held(real_path(source.path))))

    def _configs(self) -> Iterable[Checked]:
        """Yield what is wrong with the configurations, each once."""
        configs = {found.file: found for found in (self.config(source.path) for source in self.sources)}
        for config in configs.values():
            if config.findings and config.file is not None:
                yield Checked(config.file, "stranger", config.findings)

    def _dependents(self, sources: Sequence[Source]) -> Iterable[Source]:
        named = [source.path for source in sources if source.named and source.path is not None]
        known = {real_path(source.path) for source in sources if source.path is not None}
        more = [path for path in dependents_of(named) if path not in known] if named else []
        for path in more:
            yield from read_sources(list_files((_shown(path),)), io.BytesIO())


def _each_once(checked: Sequence[Checked]) -> list[Checked]:
    """Leave out what is told of a parent's file that is checked itself: its children do not tell it again."""
    told = {(found, found.span) for one in checked for found in one.findings if found.span.file == one.file}

    def is_new(one: Checked, found: Finding) -> bool:
        return found.span.file == one.file or (found, found.span) not in told

    return [evolve(one, findings=[found for found in one.findings if is_new(one, found)]) for one in checked]


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))


def _shown(path: Path) -> str:
    """Return a path as from the current folder, where it lies below it."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
