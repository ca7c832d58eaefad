"""What the language knows by name: the bundled entries, and those that other packages offer as entry points."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from typing import Generic, Protocol, TypeVar

from cachedsl.text.finding import CachedslError


class PluginError(CachedslError):
    """An entry point of another package cannot be used."""


class Named(Protocol):
    """Anything with a name."""

    @property
    def name(self) -> str: ...


T = TypeVar("T", bound=Named)


class Registry(Mapping[str, T], Generic[T]):
    """The bundled entries by name, and after them those of other packages, which are read when first asked for.

    Raises:
        PluginError: an entry point cannot be imported, is of another type, or takes a name that is taken.
    """

    def __init__(self, group: str, kind: type[T], bundled: tuple[T, ...]) -> None:
        self.group = group
        self._kind = kind
        self._bundled = {entry.name: entry for entry in bundled}
        self._entries: dict[str, T] | None = None

    def _all(self) -> dict[str, T]:
        if self._entries is None:
            found = dict(self._bundled)
            for point in entry_points(group=self.group):
                entry = load_entry(point, self.group, self._kind)
                if entry.name in found:
                    raise PluginError(f"entry point {point.name!r} of {self.group}: there is a {entry.name!r} already")
                found[entry.name] = entry
            self._entries = found
        return self._entries

    def __getitem__(self, name: str) -> T:
        return self._bundled[name] if name in self._bundled else self._all()[name]

    def __contains__(self, name: object) -> bool:
        return name in self._bundled or name in self._all()

    def __hash__(self) -> int:
        return id(self)

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())


def load_entry(point: object, group: str, kind: type[T]) -> T:
    """Return what an entry point names.

    Raises:
        PluginError: it cannot be imported, or is no `kind`; the message names the entry point.
    """
    name = getattr(point, "name", "?")
    try:
        found = point.load()  # type: ignore[attr-defined]
    except Exception as error:
        raise PluginError(
            f"entry point {name!r} of {group} cannot be loaded: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(found, kind):
        raise PluginError(
            f"entry point {name!r} of {group}: expected a {kind.__module__}.{kind.__name__}, got {type(found).__name__}"
        )
    return found
