"""What an engine is, as far as conversion goes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import field, frozen

from cachedsl.convert.forms import Settings
from cachedsl.convert.notes import Converted, Note
from cachedsl.language.policy import Policy
from cachedsl.text.tree import Node


@frozen
class Asked:
    """What the user says beside the settings: the step count, and a model, for what is different between models."""

    steps: int | None = None
    model: str | None = None


@frozen
class Written:
    """Settings of another engine as text, and what they cannot say; paths of the notes are those of the policy."""

    text: str
    notes: tuple[Note, ...] = ()


@frozen
class Engine:
    """One engine.

    Attributes:
        name: as the command line spells it.
        title: what it is called in tables.
        forms: what its settings are written as, in words.
        knows: tells whether settings are its own; asked where the user does not name the engine.
        read: settings → policy; None where there is nothing to read.
        write: policy → settings; None where it cannot be said.
        root: finds the value that is read among those of a program in Python; by default the first call.
        shared: whether others build on its settings, and spell some of theirs like it; theirs they are then.
        refused: what cannot be carried over, in words, for the documentation.
    """

    name: str
    title: str
    forms: str
    knows: Callable[[Settings], bool]
    read: Callable[[Settings, Asked], Converted] | None = None
    write: Callable[[Policy, Asked], Written] | None = None
    root: Callable[[Settings], Node | None] = lambda settings: settings.root
    shared: bool = False
    refused: tuple[str, ...] = field(default=())


def names(settings: Settings) -> set[str]:
    """Return the keys at the top of settings."""
    return set() if settings.root is None else set(settings.root.mapping)


def plain(settings: Settings) -> dict[str, Any]:
    """Return settings as plain values."""
    found = {} if settings.root is None else settings.root.plain()
    return found if isinstance(found, dict) else {}
