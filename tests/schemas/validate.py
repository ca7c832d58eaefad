"""Validators that match patterns as ECMA 262 does, whose `$` is not before a last line break."""

from __future__ import annotations

import re
from typing import Any

from jsonschema import Draft7Validator, Draft202012Validator, ValidationError
from jsonschema.validators import extend


def _pattern(validator: Any, expected: str, value: Any, schema: Any) -> Any:
    if isinstance(value, str) and not re.search(expected.replace("$", r"\Z"), value):
        yield ValidationError(f"{value!r} does not match {expected}")


Validator: Any = extend(Draft202012Validator, {"pattern": _pattern})
Validator07: Any = extend(Draft7Validator, {"pattern": _pattern})
