"""Check a tree against the JSON Schema, and say in our own words what is wrong."""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Iterator
from functools import lru_cache
from importlib.resources import files
from typing import Any, Literal

from jsonschema import Draft202012Validator, ValidationError, validators

from cachedsl.diagnostics import Diagnostic, Span
from cachedsl.policy.notation import MAX_NUMBER
from cachedsl.source import Node, printable

Kind = Literal["policy", "adapter"]


@lru_cache(maxsize=2)
def load_schema(kind: Kind) -> dict[str, Any]:
    """Return the schema that ships as `schemas/policy.schema.json` or `schemas/adapter.schema.json`."""
    text = (files("cachedsl.schemas") / f"{kind}.schema.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def _whole_pattern(_: Any, pattern: str, instance: Any, __: Any) -> Iterator[ValidationError]:
    """Read `$` as the schema's own language does: only the end of the text, not a line break before it."""
    if isinstance(instance, str) and not re.search(re.sub(r"\$$", r"\\Z", pattern), instance):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


@lru_cache(maxsize=2)
def _validator(kind: Kind) -> Any:
    extend: Any = validators.extend
    return extend(Draft202012Validator, {"pattern": _whole_pattern})(load_schema(kind))


def shape_findings(root: Node, kind: Kind = "policy") -> Iterator[Diagnostic]:
    """Yield what the tree under `root` has that the schema does not allow, or lacks that it requires."""
    said = set()
    for error in _validator(kind).iter_errors(root.plain()):
        for finding in _translate(error, root, load_schema(kind).get("$defs", {})):
            said.add(finding.span)
            yield finding
    yield from (finding for finding in _beyond_use((), root) if finding.span not in said)


def _beyond_use(path: tuple[str, ...], node: Node) -> Iterator[Diagnostic]:
    """Yield the numbers beyond any use, before one of them is taken for a count of steps to write out.

    YAML can say `.nan` and `.inf`, which the schema's bounds let pass: no comparison with them means anything.
    """
    value = node.value
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _beyond_use((*path, key), inner)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _beyond_use((*path, str(index)), inner)
    elif isinstance(value, float) and not math.isfinite(value):
        yield _not_finite(path, node)
    elif isinstance(value, int | float) and value > MAX_NUMBER:
        message = f"{dotted(path)}: expected a number up to {MAX_NUMBER}, got {describe(node)}"
        yield Diagnostic("bad-value", message, node.span)


def _not_finite(path: tuple[str, ...], node: Node) -> Diagnostic:
    message = f"{dotted(path)}: expected a finite number, got {describe(node)}"
    return Diagnostic("not-finite", message, node.span, "write a number, or leave the key out for its default")


def _translate(error: Any, root: Node, parts: dict[str, Any]) -> Iterator[Diagnostic]:
    """Turn one of jsonschema's errors (a `ValidationError`) into findings.

    Of a choice, follow the branch that is a mapping where a mapping was written, or a list where a list was.
    """
    path = tuple(str(step) for step in error.absolute_path)
    node = find(root, tuple(error.absolute_path))
    if error.validator in ("oneOf", "anyOf"):
        within = [inner for inner in error.context or () if _is_written_branch(error, inner, parts)]
        if within:
            for inner in within:
                yield from _translate(inner, root, parts)
            return
    if "propertyNames" in error.schema_path:
        title = error.schema.get("title", "another key")
        message = f"{dotted(path)}: expected {title}, got `{printable(error.instance)}`"
        yield Diagnostic("bad-value", message, node.keys[error.instance])
        return
    if error.validator == "additionalProperties":
        allowed = tuple(error.schema.get("properties", ()))
        for key in error.instance:
            if key not in allowed:
                yield _unknown_key(key, path, node, allowed)
        return
    if error.validator == "uniqueItems" and isinstance(node.value, list):
        seen: list[Any] = []
        for index, item in enumerate(node.value):
            if item.plain() in seen:
                message = f"{dotted((*path, str(index)))}: {describe(item)} stands twice"
                yield Diagnostic("bad-value", message, item.span, "keep one of the two")
            seen.append(item.plain())
        return
    if error.validator == "required":
        for key in error.validator_value:
            if key not in error.instance:
                yield _missing_key(key, path, node, error.schema)
        return
    yield _bad_value(path, node, error, parts)


def _is_written_branch(error: Any, inner: Any, parts: dict[str, Any]) -> bool:
    branch: dict[str, Any] = error.validator_value[inner.schema_path[0]]
    branch = parts[branch["$ref"].rsplit("/", 1)[1]] if "$ref" in branch else branch
    return isinstance(error.instance, {"object": dict, "array": list}.get(str(branch.get("type")), ()))


def find(root: Node, path: tuple[str | int, ...]) -> Node:
    """Return the node at `path`, which exists."""
    node = root
    for step in path:
        value: Any = node.value
        node = value[step]
    return node


def _unknown_key(key: str, path: tuple[str, ...], node: Node, allowed: tuple[str, ...]) -> Diagnostic:
    where = f" in `{dotted(path)}`" if path else ""
    near = difflib.get_close_matches(key, allowed, n=1, cutoff=0.5)
    guess = f"did you mean `{near[0]}`? " if near else ""
    hint = f"{guess}allowed: {', '.join(allowed)}"
    return Diagnostic("unknown-key", f"unknown key `{printable(key)}`{where}", node.keys.get(key, node.span), hint)


def _missing_key(key: str, path: tuple[str, ...], node: Node, schema: dict[str, Any]) -> Diagnostic:
    where = f" in `{dotted(path)}`" if path else ""
    expected = schema.get("properties", {}).get(key, {}).get("title", "a value")
    return Diagnostic("missing-key", f"key `{key}` is missing{where}", node.span, f"expected {expected}")


def _bad_value(path: tuple[str, ...], node: Node, error: Any, parts: dict[str, Any]) -> Diagnostic:
    bound = error.validator in ("maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum")
    if bound and isinstance(error.instance, float) and not math.isfinite(error.instance):
        return _not_finite(path, node)
    title = _title(error.schema, parts)
    hint = None
    if path[-1:] in (("steps",), ("bits",)) and re.fullmatch("[01]+", node.text):
        hint = f'quote it, it is text and not a number: "{node.text}"'
    return Diagnostic("bad-value", f"{dotted(path)}: expected {title}, got {describe(node)}", node.span, hint)


def _title(schema: dict[str, Any], parts: dict[str, Any]) -> str:
    if "title" in schema:
        return str(schema["title"])
    reference = schema.get("$ref")
    if reference is not None:
        return _title(parts[reference.rsplit("/", 1)[1]], parts)
    return "something else"


def describe(node: Node) -> str:
    """Say what a node holds, short enough for one line."""
    if isinstance(node.value, dict):
        return "a mapping"
    if isinstance(node.value, list):
        return f"a list of {len(node.value)}" if node.value else "an empty list"
    if node.value is None:
        return "nothing"
    text = node.text if len(node.text) <= 40 else f"{node.text[:37]}..."
    return f"`{printable(text)}`"


def dotted(path: tuple[str, ...]) -> str:
    """Write a key path as messages do."""
    return printable(".".join(path))


def key_span(node: Node, key: str) -> Span:
    """Return where `key` of a mapping was written."""
    return node.keys.get(key, node.span)
