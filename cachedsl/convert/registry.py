"""Every engine there is: one module or package each, with an `ENGINE`."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator
from functools import lru_cache
from importlib import import_module
from typing import Any

from attrs import evolve, field, frozen

import cachedsl.convert as room
from cachedsl.convert.cache_dit.files import ENGINE as CACHE_DIT
from cachedsl.convert.engine import Asked, Engine, Written
from cachedsl.convert.forms import Settings, call_name, read_settings
from cachedsl.convert.notes import DIFFERS, NOT_CARRIED, Converted
from cachedsl.language.policy import Policy
from cachedsl.text.finding import CachedslError, Finding, in_file_order
from cachedsl.text.tree import Node


class UnknownEngine(CachedslError):
    """No engine has that name, or none, or several, know what the settings are; the message lists them."""


@lru_cache(maxsize=1)
def engines() -> tuple[Engine, ...]:
    """Return every engine, cache-dit first, then by name."""
    modules = (import_module(f"{room.__name__}.{one.name}") for one in pkgutil.iter_modules(room.__path__))
    found = {
        module.ENGINE.name: module.ENGINE for module in modules if isinstance(getattr(module, "ENGINE", None), Engine)
    }
    return (CACHE_DIT, *(found[name] for name in sorted(found)))


def engine_called(name: str) -> Engine:
    """Return the engine of that name. Raises `UnknownEngine`."""
    for one in engines():
        if one.name == name:
            return one
    listed = ", ".join(one.name for one in engines())
    raise UnknownEngine(f"there is no engine `{name}`; there are {listed}")


def engine_of(settings: Settings) -> Engine:
    """Return the engine whose settings these are. Raises `UnknownEngine` where none knows them, or several do."""
    found = [one for one in engines() if one.read is not None and one.knows(settings)]
    if settings.form != "python" and len(found) > 1:
        found = [one for one in found if not one.shared]
    if len(found) == 1:
        return found[0]
    if found:
        listed = " and ".join(one.name for one in found)
        raise UnknownEngine(f"{settings.file} may be of {listed}; say which: --from {found[0].name}")
    listed = ", ".join(one.name for one in engines() if one.read is not None)
    raise UnknownEngine(f"no engine knows what {settings.file} is; say whose it is: --from, with one of {listed}")


def is_settings(text: str, file: str) -> bool:
    """Tell whether any engine takes a text for settings of its own."""
    settings = read_settings(text, file)
    return settings.root is not None and any(one.knows(settings) for one in engines() if one.read is not None)


@frozen
class Conversion:
    """What settings came to, with everything that is to be said of them, in file order."""

    engine: Engine
    converted: Converted
    findings: tuple[Finding, ...] = field(converter=in_file_order)

    @property
    def errors(self) -> tuple[Finding, ...]:
        """What keeps the policy from being what the settings mean."""
        return tuple(found for found in self.findings if found.severity == "error")


def convert(text: str, file: str, *, engine: str | None = None, asked: Asked | None = None) -> Conversion:
    """Read settings of another engine as a policy.

    Raises:
        UnknownEngine: whose they are cannot be told, or the engine that was named is none.
    """
    settings = read_settings(text, file)
    if settings.root is None:
        found = engine_called(engine) if engine else CACHE_DIT
        return Conversion(found, Converted({}), settings.findings)
    chosen = engine_called(engine) if engine else engine_of(settings)
    if chosen.read is None or (engine and settings.form == "python" and not chosen.knows(settings)):
        raise UnknownEngine(f"{file} holds no settings of {chosen.name}")
    settings = evolve(settings, root=chosen.root(settings))
    read = chosen.read(settings, asked or Asked())
    notes = (note.finding(settings.span(note.path)) for note in read.notes)
    more = (*_more_calls(settings), *_other_steps(settings, read, asked or Asked()))
    return Conversion(chosen, read, (*settings.findings, *notes, *more))


def _other_steps(settings: Settings, read: Converted, asked: Asked) -> Iterator[Finding]:
    """Yield a warning where the settings say another step count than the user does."""
    if asked.steps is not None and read.steps not in (None, asked.steps):
        message = f"the settings say {read.steps} steps, which holds; --steps {asked.steps} is not looked at"
        yield DIFFERS.finding(message, settings.span(()), "change it in the settings")


def _more_calls(settings: Settings) -> Iterator[Finding]:
    """Yield a warning for each call like the one that was read, with other settings, of a program in Python."""
    root = settings.root
    if root is None or not call_name(root):
        return
    first = _settings_of(root)
    for call in settings.calls:
        if call is not root and call_name(call) == call_name(root) and _settings_of(call) != first:
            message = (
                f"{call_name(root)}: it is called again, with other settings; those in line {root.span.line} are read"
            )
            yield NOT_CARRIED.finding(message, call.span, "convert each from a file of its own", severity="warning")


def _settings_of(call: Node) -> Any:
    """Return what a call is given, but for what it is called on."""
    return {name: node.plain() for name, node in call.mapping.items() if name != "0" or call_name(node)}


def write_policy(policy: Policy, engine: str, asked: Asked | None = None) -> Written:
    """Write a policy as settings of another engine. Raises `UnknownEngine` where it cannot be written to."""
    chosen = engine_called(engine)
    if chosen.write is None:
        listed = ", ".join(one.name for one in engines() if one.write is not None)
        raise UnknownEngine(f"nothing is written for {engine}; there are {listed}")
    return chosen.write(policy, asked or Asked())


def engine_table() -> str:
    """Return the table of engines, as docs/convert.md has it."""
    head = [
        "| engine | `--from`, `--to` | read | written | written as | what has no counterpart |",
        "|---|---|---|---|---|---|",
    ]
    rows = []
    for one in engines():
        marks = ["yes" if made is not None else "–" for made in (one.read, one.write)]
        rows.append(
            f"| {one.title} | `{one.name}` | {' | '.join(marks)} | {one.forms} | {'; '.join(one.refused) or '–'} |"
        )
    return "\n".join([*head, *rows]) + "\n"
