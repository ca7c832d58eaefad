"""What a shell may complete a word to: policies, models, rules, engines and files.

A shell asks at every press of the tab key. Nothing here imports torch; what cannot be read, such as a broken adapter of
another package, completes to nothing, for an error would be printed into the line that is being typed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping

import click
from click.shell_completion import CompletionItem

from cachedsl.loading import SUFFIXES, bundled_policies, load_policy

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]
Offers = Callable[[str], Iterable[CompletionItem]]


def completes(*several: Offers) -> Complete:
    """Return what click asks: everything that the functions offer for the word that is typed."""

    def complete(context: click.Context, parameter: click.Parameter, typed: str) -> list[CompletionItem]:
        found: list[CompletionItem] = []
        for offers in several:
            try:
                found += offers(typed)
            except Exception:
                continue
        return found

    return complete


def _beginning(typed: str, words: Mapping[str, str | None]) -> Iterator[CompletionItem]:
    """Yield the words that begin as what is typed, with what each means; capital letters count where any word has them.

    A shell goes on by what all of the words have in common, so those that differ in the letters typed are no help.
    """
    exact = [word for word in words if word.startswith(typed)]
    for word in exact or [word for word in words if word.lower().startswith(typed.lower())]:
        yield CompletionItem(word, help=words[word])


def _bundled(typed: str) -> Iterator[CompletionItem]:
    names = [name for name in bundled_policies() if name.startswith(typed)]
    return _beginning(typed, {name: load_policy(name).description for name in names})


def _models(typed: str) -> Iterator[CompletionItem]:
    """Yield families and published models, and classes once a word is begun: there are three hundred."""
    from cachedsl.matching.reading import known_names

    return _beginning(typed, {one: kind for one, kind in known_names().items() if typed or "class" not in kind})


def _codes(typed: str) -> Iterator[CompletionItem]:
    from cachedsl.checking.catalogue import all_rules

    return _beginning(typed, {rule.code: rule.summary for rule in all_rules()})


def _selectors(typed: str) -> Iterator[CompletionItem]:
    """Yield codes and categories for the last word of a list with commas."""
    from cachedsl.checking.catalogue import ELSEWHERE, all_rules
    from cachedsl.checking.selection import ALL
    from cachedsl.text.finding import CATEGORIES

    head, comma, last = typed.rpartition(",")
    there = {name.strip() for name in head.split(",")}
    words: dict[str, str | None] = {ALL: "every rule", **dict.fromkeys(CATEGORIES, "a category")}
    words |= {rule.code: rule.summary for rule in all_rules() if rule.stage not in ELSEWHERE}
    for item in _beginning(last, {word: meaning for word, meaning in words.items() if word not in there}):
        yield CompletionItem(f"{head}{comma}{item.value}", help=item.help)


def _engines(way: str) -> Offers:
    def offers(typed: str) -> Iterator[CompletionItem]:
        from cachedsl.convert.registry import engines

        return _beginning(typed, {one.name: one.forms for one in engines() if getattr(one, way) is not None})

    return offers


def _coefficients(typed: str) -> Iterator[CompletionItem]:
    from cachedsl.convert.whole_steps import models_with_coefficients

    return _beginning(typed, dict.fromkeys(models_with_coefficients().split(", ")))


def _files(*endings: str) -> Offers:
    """Return what offers folders and files of these endings; a folder that is the only one is looked into.

    A shell puts a space behind what is the only one, and nobody wants that behind a folder.
    """

    def offers(typed: str) -> Iterator[CompletionItem]:
        folder, begun = os.path.split(typed)
        found = sorted(_entries(folder, begun, endings))
        while len(found) == 1 and found[0].endswith("/"):
            found = sorted(_entries(found[0], "", endings))
        return (CompletionItem(one) for one in found)

    return offers


def _entries(folder: str, begun: str, endings: tuple[str, ...]) -> Iterator[str]:
    with os.scandir(os.path.expanduser(folder) or ".") as entries:
        for entry in entries:
            if not entry.name.startswith(begun) or (entry.name.startswith(".") and not begun):
                continue
            if entry.is_dir():
                yield f"{os.path.join(folder, entry.name)}/"
            elif entry.name.endswith(endings):
                yield os.path.join(folder, entry.name)


def _any_file(typed: str) -> list[CompletionItem]:
    return [CompletionItem(typed, type="file")]


policy = completes(_bundled, _files(*SUFFIXES))
settings = completes(_bundled, _files(""))
policy_or_plan = completes(_bundled, _files(*SUFFIXES, ".json"))
model = completes(_models, _files(*SUFFIXES))
code = completes(_codes)
selectors = completes(_selectors)
engine_read = completes(_engines("read"))
engine_written = completes(lambda typed: _beginning(typed, {"cachedsl": "a policy"}), _engines("write"))
model_with_coefficients = completes(_coefficients)
any_file = completes(_any_file)
