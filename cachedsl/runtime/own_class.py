"""Subclasses that are one for each base class, with their state in the object; see `objects.py` for the others."""

from __future__ import annotations

import copyreg
import functools
from collections.abc import Callable
from typing import Any

from cachedsl.runtime.objects import base_class, is_specialised

_STATE = "_cachedsl_"


def is_ours(key: str) -> bool:
    """Tell whether a key of an object's `__dict__` is state of ours."""
    return key.startswith(_STATE)


@functools.lru_cache(maxsize=256)
def own_class(base: Any, body: Callable[[Any], dict[str, Any]]) -> type:
    """Return the subclass of `base` that `body` describes, named like it; the same one each time."""
    metaclass: Any = type(base)
    named = {"__module__": base.__module__, "__qualname__": base.__qualname__, "__doc__": base.__doc__}
    marks = {"_cachedsl_base": base, "_cachedsl_shared": True, "__reduce_ex__": _clean_reduce(base)}
    made: type = metaclass(base.__name__, (base,), {**named, **marks, **body(base)})
    return made


def give_class(target: object, cls: type) -> None:
    """Make `target` an instance of `cls`; its identity and `__dict__` stay as they are."""
    object.__setattr__(target, "__class__", cls)


def take_class(target: object) -> None:
    """Give `target` back the class that its users know, and take out all state of ours."""
    if is_specialised(target):
        object.__setattr__(target, "__class__", base_class(target))
    for key in [key for key in vars(target) if is_ours(key)]:
        del vars(target)[key]


def _clean_reduce(base: Any) -> Callable[[Any, Any], Any]:
    """Return a `__reduce_ex__` by which copies and pickles are of `base`, and without state of ours."""

    def __reduce_ex__(self: Any, protocol: Any) -> Any:  # noqa: N807
        reduced: Any = base.__reduce_ex__(self, protocol)
        function, arguments, *rest = reduced
        if function is copyreg.__newobj__:  # type: ignore[attr-defined]
            # pickle insists that __newobj__ gets the object's own class; this older helper takes any
            function, arguments = copyreg._reconstructor, (base, object, None)  # type: ignore[attr-defined]
        if rest and isinstance(rest[0], dict):
            rest[0] = {key: value for key, value in rest[0].items() if not is_ours(key)}
        return (function, arguments, *rest)

    return __reduce_ex__
