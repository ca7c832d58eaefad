"""ComfyUI: the nodes EasyCache and LazyCache of a workflow, in either of its JSON forms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cachedsl.convert.engine import Asked, Engine, plain
from cachedsl.convert.forms import Settings
from cachedsl.convert.notes import BAD_OPTION, DIFFERS, Converted, Note
from cachedsl.convert.options import ANY, Option, read_options
from cachedsl.convert.whole_steps import easycache
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


def _nodes(tree: Any) -> Iterator[tuple[str, Mapping[str, Any], Path]]:
    """Yield the kind, the inputs and the place of every cache node."""
    if not isinstance(tree, Mapping):
        return
    listed = tree.get("nodes")
    if isinstance(listed, list):  # as the editor saves it: values in the order of the widgets
        for index, node in enumerate(listed):
            if isinstance(node, Mapping) and node.get("type") in NODES:
                values = node.get("widgets_values") or []
                path: Path = ("nodes", index, "widgets_values")
                yield str(node["type"]), dict(zip(TABLE, values, strict=False)), path
    prompt = tree.get("prompt", tree)
    for name, node in prompt.items() if isinstance(prompt, Mapping) else ():
        if isinstance(node, Mapping) and node.get("class_type") in NODES:
            head: Path = ("prompt",) if prompt is not tree else ()
            yield str(node["class_type"]), node.get("inputs") or {}, (*head, str(name), "inputs")
    if tree.get("class_type") in NODES:
        yield str(tree["class_type"]), tree.get("inputs") or {}, ("inputs",)


def knows(settings: Settings) -> bool:
    """Tell whether settings are a workflow with a cache node."""
    return settings.form == "yaml" and next(_nodes(plain(settings)), None) is not None


def read(settings: Settings, asked: Asked) -> Converted:
    """Return the policy of the first cache node of a workflow."""
    found = next(_nodes(plain(settings)), None)
    if found is None:
        message = f"the file has no node {' or '.join(NODES)}"
        return Converted({}, (Note(BAD_OPTION, (), message),))
    kind, given, path = found
    read = read_options(given, TABLE, NAME, path)
    for other, _, where in list(_nodes(plain(settings)))[1:]:
        message = f"{other}: the workflow has another cache node before this one"
        read.notes.append(Note(BAD_OPTION, where, message, "keep one of them"))
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
