"""What one call of `cachedsl check` has to say, for the formats to write."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from attrs import field, frozen

from cachedsl.checking.check import Checked
from cachedsl.text.document import read_document
from cachedsl.text.finding import Finding, Rule, capped
from cachedsl.text.tree import Document


@frozen(eq=False, slots=False)
class Report:
    """The findings of a call, and the texts that they are in.

    Attributes:
        checked: the files in the order in which they were named, with the findings that are to be shown.
        rules: every rule that was looked for.
        colour: whether control sequences for colours are wanted.
        fixed: how many findings were mended, by file.
    """

    checked: Sequence[Checked]
    rules: Sequence[Rule]
    colour: bool = False
    fixed: Mapping[str, int] = field(factory=dict)

    def findings(self) -> Iterator[Finding]:
        """Yield every finding, file by file."""
        for one in self.checked:
            yield from one.findings

    def shown(self) -> Iterator[Finding]:
        """Yield the findings that a person is shown: of many that are alike in one file, the first ones."""
        for one in self.checked:
            yield from capped(one.findings)

    @property
    def counts(self) -> Counter[str]:
        """How many findings there are of each severity."""
        return Counter(found.severity for found in self.findings())

    @cached_property
    def _documents(self) -> dict[str, Document]:
        return {one.file: one.source.document for one in self.checked if one.source is not None}

    def document(self, file: str) -> Document | None:
        """Return the text that findings call `file`, a parent's too; None where it cannot be had."""
        known = self._documents
        if file not in known and Path(file).is_file():
            known[file] = read_document(Path(file), file)
        return known.get(file)


Render = Callable[[Report], Iterator[str]]


@frozen
class Format:
    """One way to write a report.

    Attributes:
        name: what `--output-format` calls it.
        words: what it is for.
        render: yields the lines, without their line breaks.
        for_people: whether a person reads it, so that a summary stands below it.
        shows_fixes: whether it shows how findings can be mended, so that the summary counts that.
        counts: yields lines that say how often each rule found something; None where it has no place for that.
    """

    name: str
    words: str
    render: Render
    for_people: bool = False
    shows_fixes: bool = False
    counts: Render | None = None
