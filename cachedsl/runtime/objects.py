"""Give one object a class of its own, and take it away again.

A block list must hand out different things while its model runs, one pipeline object must know when it is called, one
transformer must hear `cache_context`. Setting attributes would leave residue and patching the class would leak into
every other object of it; a subclass made for the one object does neither. It carries the name and module of its base,
and copies and pickles as the base, so nothing of it outlives the attachment.
"""

from __future__ import annotations

import copyreg
from collections.abc import Callable
from typing import Any

_BASE = "_cachedsl_base"
_HANDLE = "_cachedsl_handle"
_SHARED = "_cachedsl_shared"


def specialise(target: object, namespace: dict[str, Any], clean: Callable[[Any], Any] | None = None) -> None:
    """Make `target` an instance of a fresh subclass of its class.

    Args:
        target: the object; its identity and `__dict__` stay as they are.
        namespace: methods and attributes of the subclass.
        clean: maps the state that is about to be copied or pickled to one without traces of the attachment.
    """
    base = type(target)

    def __reduce_ex__(self: Any, protocol: Any) -> Any:  # noqa: N807 - becomes a method
        reduced: Any = base.__reduce_ex__(self, protocol)
        function, arguments, *rest = reduced
        if function is copyreg.__newobj__:  # type: ignore[attr-defined]
            # pickle insists that __newobj__ gets the object's own class; this older helper takes any
            function, arguments = copyreg._reconstructor, (base, object, None)  # type: ignore[attr-defined]
        if rest and clean is not None:
            rest[0] = clean(rest[0])
        return (function, arguments, *rest)

    body = {
        "__module__": base.__module__,
        "__qualname__": base.__qualname__,
        "__doc__": base.__doc__,
        "__reduce_ex__": __reduce_ex__,
        _BASE: base,
        **namespace,
    }
    metaclass: Any = type(base)
    object.__setattr__(target, "__class__", metaclass(base.__name__, (base,), body))


def restore(target: object) -> None:
    """Give `target` back the class that it had before `specialise`."""
    if is_specialised(target):
        object.__setattr__(target, "__class__", base_class(target))


def is_specialised(target: object) -> bool:
    return _BASE in type(target).__dict__


def base_class(target: object) -> type:
    """Return the class of `target` as its users know it."""
    found: type = type(target).__dict__.get(_BASE, type(target))
    return found


def set_handle(target: object, handle: object) -> None:
    """Keep `handle` with a specialised object, for as long as it is specialised."""
    assert is_specialised(target)
    if _SHARED in type(target).__dict__:  # the class is not the object's alone
        target.__dict__[_HANDLE] = handle
    else:
        setattr(type(target), _HANDLE, handle)


def get_handle(target: object) -> Any:
    """Return what `set_handle` kept, or None."""
    own = target.__dict__ if _SHARED in type(target).__dict__ else type(target).__dict__
    return own.get(_HANDLE)
