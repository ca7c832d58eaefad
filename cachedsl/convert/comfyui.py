"""ComfyUI: the nodes EasyCache and LazyCache of a workflow, in either of its JSON forms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from attrs import frozen

from cachedsl.convert.engine import Asked, Engine, plain
from cachedsl.convert.forms import Settings
from cachedsl.convert.notes import BAD_OPTION, DIFFERS, Converted, Note
from cachedsl.convert.options import ANY, Option, read_options
from cachedsl.convert.whole_steps import OFF, easycache
from cachedsl.language.kinds import Number
from cachedsl.language.misfit import Path

NAME = "ComfyUI"
NODES = ("EasyCache", "LazyCache")


TABLE: dict[str, Option] = {
    "reuse_threshold": Option(Number(least=0), 0.2),
    "start_percent": Option(Number(least=0, most=1), 0.15),
    "end_percent": Option(Number(least=0, most=1), 0.95),
    "verbose": ANY,
    "model": ANY,
}


@frozen
class _Found:
    """A cache node: its kind, its inputs, the path to them, and whether the workflow runs it."""

    kind: str
    given: Any
    path: Path
    runs: bool = True


IDLE = (2, 4)
"""The editor's modes of a node that is muted, or passed by."""


def _nodes(tree: Any) -> Iterator[_Found]:
    """Yield every cache node, those that run first."""
    every = list(_every(tree, ()))
    yield from sorted(every, key=lambda one: not one.runs)


def _every(tree: Any, head: Path) -> Iterator[_Found]:
    if not isinstance(tree, Mapping):
        return
    listed = tree.get("nodes")
    if isinstance(listed, list):  # as the editor saves it: values in the order of the widgets
        for index, node in enumerate(listed):
            if isinstance(node, Mapping) and _is_cache(node.get("type")):
                values = node.get("widgets_values") or []
                given = dict(zip(TABLE, values, strict=False)) if isinstance(values, list) else values
                path: Path = (*head, "nodes", index, "widgets_values")
                yield _Found(str(node["type"]), given, path, node.get("mode") not in IDLE)
    definitions = tree.get("definitions")
    inner = definitions.get("subgraphs") if isinstance(definitions, Mapping) else None
    for index, graph in enumerate(inner if isinstance(inner, list) else ()):
        yield from _every(graph, (*head, "definitions", "subgraphs", index))
    prompt = tree.get("prompt", tree)
    for name, node in prompt.items() if isinstance(prompt, Mapping) else ():
        if isinstance(node, Mapping) and _is_cache(node.get("class_type")):
            below: Path = ("prompt",) if prompt is not tree else ()
            yield _Found(str(node["class_type"]), node.get("inputs") or {}, (*below, str(name), "inputs"))
    if _is_cache(tree.get("class_type")):
        yield _Found(str(tree["class_type"]), tree.get("inputs") or {}, ("inputs",))


def _is_cache(kind: Any) -> bool:
    return isinstance(kind, str) and kind in NODES


def knows(settings: Settings) -> bool:
    """Tell whether settings are a workflow with a cache node."""
    return settings.form == "yaml" and next(_nodes(plain(settings)), None) is not None


def read(settings: Settings, asked: Asked) -> Converted:
    """Return the policy of the first cache node of a workflow."""
    found = next(_nodes(plain(settings)), None)
    if found is None:
        message = f"the file has no node {' or '.join(NODES)}"
        return Converted({}, (Note(BAD_OPTION, (), message),))
    kind, path = found.kind, found.path
    if not found.runs:
        message = f"{kind}: the node is muted or passed by, so that nothing is cached; `threshold: 0` does"
        return Converted({"version": 1, **OFF}, (Note(DIFFERS, path, message),), asked.steps)
    read = read_options(found.given, TABLE, NAME, path)
    for other in list(_nodes(plain(settings)))[1:]:
        if other.runs:
            message = f"{other.kind}: the workflow has another cache node before this one"
            read.notes.append(Note(BAD_OPTION, other.path, message, "keep one of them"))
    start, end = read["start_percent"], read["end_percent"]
    if start >= end:
        read.note(BAD_OPTION, "start_percent", f"it is {start:g}, and the end {end:g}", "begin before the end")
    name = next((one for one in ("start_percent", "end_percent") if one in read.values), "reuse_threshold")
    message = "it is a share of the noise schedule there, and of the steps here"
    read.note(DIFFERS, name, message, "compare the steps where the schedule is not even")
    if kind == "LazyCache":
        message = "LazyCache measures the guided prediction, a policy each call of the model"
        read.notes.append(Note(DIFFERS, path, message))
    tree = easycache(read["reuse_threshold"], f"{round(start * 100)}%", f"{round((1 - end) * 100)}%")
    return Converted({"version": 1, **tree}, tuple(read.notes), asked.steps)


ENGINE = Engine("comfyui", "ComfyUI", "a workflow's JSON, as the API takes it or as the editor saves it", knows, read)
