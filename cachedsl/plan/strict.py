"""A cattrs converter that converts nothing in silence."""

from __future__ import annotations

import reprlib
import types
from collections.abc import Callable, Mapping
from typing import Any, Union, get_args, get_origin

import attrs
from cattrs import Converter
from cattrs.errors import BaseValidationError
from cattrs.gen import make_dict_structure_fn

from cachedsl.plan.frozen import Frozen, thaw


def strict_converter() -> Converter:
    """Return a converter that converts nothing in silence: a number is a number, and every key must be known."""
    made = Converter(detailed_validation=True, forbid_extra_keys=True)

    def exactly(kind: type, *also: type) -> Callable[[Any, Any], Any]:
        def read(value: Any, _: Any) -> Any:
            if type(value) is not kind and type(value) not in also:
                raise ValueError(f"expected {kind.__name__}, got {reprlib.repr(value)}")
            return kind(value)

        return read

    for kind, also in ((int, ()), (float, (int,)), (str, ()), (bool, ())):
        made.register_structure_hook(kind, exactly(kind, *also))
    made.register_structure_hook(Frozen, lambda value, _: Frozen(_mapping(value)))
    made.register_unstructure_hook(Frozen, thaw)
    made.register_structure_hook_func(_is_union, lambda value, kind: _one_of(made, value, kind))
    made.register_structure_hook_factory(attrs.has, lambda cls: _of_class(made, cls))
    return made


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
