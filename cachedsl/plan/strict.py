"""A cattrs converter that converts nothing in silence."""

from __future__ import annotations

import math
import reprlib
import types
from collections.abc import Callable, Mapping
from typing import Any, Union, get_args, get_origin

import attrs
from cattrs import Converter
from cattrs.cols import homogenous_tuple_structure_factory, list_structure_factory
from cattrs.errors import BaseValidationError, IterableValidationError, IterableValidationNote
from cattrs.gen import make_dict_structure_fn

from cachedsl.plan.frozen import Frozen, thaw


def strict_converter() -> Converter:
    """Return a converter that converts nothing in silence: a number is a number, and every key must be known."""
    made = Converter(detailed_validation=True, forbid_extra_keys=True)

    def exactly(kind: type, *also: type) -> Callable[[Any, Any], Any]:
        def read(value: Any, _: Any) -> Any:
            if type(value) is not kind and type(value) not in also:
                raise ValueError(f"expected {kind.__name__}, got {reprlib.repr(value)}")
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"expected a finite number, got {value}")
            return kind(value)

        return read

    for kind, also in ((int, ()), (float, (int,)), (str, ()), (bool, ())):
        made.register_structure_hook(kind, exactly(kind, *also))
    made.register_structure_hook(Frozen, lambda value, _: Frozen(_mapping(value)))
    made.register_unstructure_hook(Frozen, thaw)
    made.register_structure_hook_factory(_is_list, lambda kind: _of_list(made, kind))
    made.register_structure_hook_func(_is_union, lambda value, kind: _one_of(made, value, kind))
    made.register_structure_hook_factory(attrs.has, lambda cls: _of_class(made, cls))
    return made


def _is_list(kind: Any) -> bool:
    origin: Any = get_origin(kind)
    return origin is list or origin is tuple


def _of_list(converter: Converter, kind: Any) -> Callable[[Any, Any], Any]:
    """Read a list, and nothing else whose items could be taken one by one, such as a text or a mapping."""
    of = get_args(kind)
    if get_origin(kind) is list:
        taken = list_structure_factory(kind, converter)
    elif of[1:] == (...,):
        taken = homogenous_tuple_structure_factory(kind, converter)
    else:
        taken = _of_places(converter, kind)

    def read(value: Any, _: Any) -> Any:
        if not isinstance(value, (list, tuple)):
            raise ValueError(f"expected a list, got {reprlib.repr(value)}")
        return taken(value, kind)

    return read


def _of_places(converter: Converter, kind: Any) -> Callable[[Any, Any], Any]:
    """Read a list whose items are each of a type of their own."""
    kinds = get_args(kind)

    def read(value: Any, _: Any) -> Any:
        if len(value) != len(kinds):
            raise ValueError(f"expected {len(kinds)} values, got {reprlib.repr(value)}")
        made, errors = [], []
        for index, (item, one) in enumerate(zip(value, kinds, strict=True)):
            try:
                made.append(converter.structure(item, one))
            except (ValueError, BaseValidationError) as error:
                note = IterableValidationNote(f"Structuring {kind} @ index {index}", index, one)
                error.__notes__ = [*getattr(error, "__notes__", []), note]
                errors.append(error)
        if errors:
            raise IterableValidationError(f"While structuring {kind!r}", errors, kind)
        return tuple(made)

    return read


def _of_class(converter: Converter, cls: Any) -> Any:
    made = make_dict_structure_fn(cls, converter, _cattrs_forbid_extra_keys=True)
    return lambda value, kind: made(_mapping(value), kind)


def _mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"expected a mapping, got {reprlib.repr(value)}")
    return value


def _is_union(kind: Any) -> bool:
    return get_origin(kind) in (Union, types.UnionType)


def _one_of(converter: Converter, value: Any, kind: Any) -> Any:
    """Read a value of one of several types: None for None, else the first that takes it."""
    kinds = [one for one in get_args(kind) if one is not type(None)]
    if value is None and len(kinds) < len(get_args(kind)):
        return None
    for one in kinds[:-1]:
        try:
            return converter.structure(value, one)
        except (ValueError, BaseValidationError):
            continue
    return converter.structure(value, kinds[-1])
