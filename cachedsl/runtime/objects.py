"""Give one object a subclass of its class, and take it away again.

A block list must hand out other things while its model runs, a pipeline object must know when it is called, a
transformer must hear `cache_context`. Patching the class would leak into every other object of it. A subclass that only
the attached object has does not.

There is one subclass for each base class and kind, made once, so that attaching again changes no class that a compiled
model was compiled for. What differs from object to object is the object's state, kept in its `__dict__` while it has
the subclass. The subclass has the name and module of its base, equals it, and makes objects of it: a copy, a pickle,
`type(pipe)(**pipe.components)` and `type(model).from_config(...)` are all of the base class, and not attached.
"""

from __future__ import annotations

import copyreg
import functools
from collections.abc import Callable
from typing import Any

from attrs import define

Namespace = Callable[[type], dict[str, Any]]
"""Makes the methods of the subclass of a base class; they find their object's state with `state_of`."""

_BASE = "_cachedsl_base"
_STATE = "_cachedsl_state"


@define(eq=False)
class ObjectState:
    """What one object has beyond its base class.

    Attributes:
        value: for the methods of the subclass.
        clean: maps the `__dict__` that is about to be copied or pickled to one without traces of the attachment.
        handle: the attachment's handle, for `cachedsl.attached`.
    """

    value: Any
    clean: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    handle: Any = None


def subclass_object(
    target: object,
    namespace: Namespace,
    value: Any = None,
    clean: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
) -> None:
    """Make `target` an instance of the subclass of its class that `namespace` describes.

    Args:
        target: the object; its identity stays, its `__dict__` has one entry more.
        namespace: a function of a module, for there is one subclass for each of them and base class.
        value: the state of this object.
        clean: see `ObjectState`.
    """
    subclass = _subclass_of(type(target), namespace)
    vars(target)[_STATE] = ObjectState(value, clean)
    object.__setattr__(target, "__class__", subclass)


def restore(target: object) -> None:
    """Give `target` back the class that it had before `subclass_object`."""
    if is_subclassed(target):
        object.__setattr__(target, "__class__", base_class(target))
        vars(target).pop(_STATE, None)


def is_subclassed(target: object) -> bool:
    return _BASE in type(target).__dict__


def base_class(target: object) -> type:
    """Return the class of `target` as its users know it."""
    found: type = type(target).__dict__.get(_BASE, type(target))
    return found


def state_of(target: object) -> Any:
    """Return the state that `subclass_object` gave to `target`, or None."""
    state = vars(target).get(_STATE)
    return None if state is None else state.value


def set_handle(target: object, handle: object) -> None:
    """Keep `handle` with an object that has a subclass, for as long as it has it."""
    assert is_subclassed(target)
    vars(target)[_STATE].handle = handle


def get_handle(target: object) -> Any:
    """Return what `set_handle` kept, or None."""
    state = getattr(target, "__dict__", {}).get(_STATE)
    return None if state is None else state.handle


_made: dict[tuple[type, Namespace], tuple[type, dict[str, Any]]] = {}


def _subclass_of(base: type, namespace: Namespace) -> type:
    """Return the subclass of `base`; a new one where somebody, such as another cache, has written into it."""
    known = _made.get((base, namespace))
    if known is not None and dict(vars(known[0])) == known[1]:
        return known[0]
    subclass = _subclass(base, namespace)
    _made[base, namespace] = subclass, dict(vars(subclass))
    return subclass


def _subclass(base: Any, namespace: Namespace) -> type:
    def __reduce_ex__(self: Any, protocol: Any) -> Any:  # noqa: N807 - becomes a method
        reduced: Any = base.__reduce_ex__(self, protocol)
        function, arguments, *rest = reduced
        if function is copyreg.__newobj__:  # type: ignore[attr-defined]
            # pickle insists that __newobj__ gets the object's own class; this older helper takes any
            function, arguments = copyreg._reconstructor, (base, object, None)  # type: ignore[attr-defined]
        if rest:
            rest[0] = _cleaned(self, rest[0])
        return (function, arguments, *rest)

    body = {
        "__module__": base.__module__,
        "__qualname__": base.__qualname__,
        "__doc__": base.__doc__,
        "__reduce_ex__": __reduce_ex__,
        _BASE: base,
        _STATE: None,
        **namespace(base),
    }
    metaclass: Any = type(base)
    made: type = _metaclass(metaclass)(base.__name__, (base,), body)
    return made


def _cleaned(target: object, state: Any) -> Any:
    """Return what is copied of an object's `__dict__`, which is all or the first part of its state."""
    if isinstance(state, tuple) and state and isinstance(state[0], dict):
        return (_cleaned(target, state[0]), *state[1:])
    if not isinstance(state, dict):
        return state
    own: ObjectState | None = vars(target).get(_STATE)
    kept = {key: value for key, value in state.items() if key != _STATE}
    return kept if own is None or own.clean is None else own.clean(kept)


@functools.lru_cache(maxsize=64)
def _metaclass(of_base: Any) -> Any:
    """Return the metaclass of subclasses that stand for their base: equal to it, and making objects of it."""

    def __call__(cls: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N807
        return vars(cls)[_BASE](*args, **kwargs) if _BASE in vars(cls) else of_base.__call__(cls, *args, **kwargs)

    def __eq__(cls: Any, other: Any) -> bool:  # noqa: N807
        return _plain(cls) is _plain(other)

    def __hash__(cls: Any) -> int:  # noqa: N807
        return hash(_plain(cls)) if _plain(cls) is not cls else int(of_base.__hash__(cls))

    def __instancecheck__(cls: Any, instance: Any) -> bool:  # noqa: N807
        return isinstance(instance, _plain(cls)) if _plain(cls) is not cls else of_base.__instancecheck__(cls, instance)

    def __subclasscheck__(cls: Any, other: Any) -> bool:  # noqa: N807
        return issubclass(other, _plain(cls)) if _plain(cls) is not cls else of_base.__subclasscheck__(cls, other)

    methods = (__call__, __eq__, __hash__, __instancecheck__, __subclasscheck__)
    return type(of_base.__name__, (of_base,), {method.__name__: method for method in methods})


def _plain(cls: Any) -> Any:
    return vars(cls).get(_BASE, cls) if isinstance(cls, type) else cls
