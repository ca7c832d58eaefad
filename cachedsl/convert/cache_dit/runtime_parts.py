"""cache-dit's `parallelism_config` and `quantize_config` ↔ the `runtime` section of a policy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cachedsl.convert.notes import BAD_OPTION, DIFFERS, NOT_CARRIED, Note
from cachedsl.convert.options import ANY, Option, Options, read_options
from cachedsl.language.kinds import Either, Flag, ListOf, Text, Whole, word
from cachedsl.language.misfit import Path
from cachedsl.language.policy import Policy
from cachedsl.language.runtime import QUANTIZATIONS

Tree = dict[str, Any]
ENGINE = "cache-dit"


_SIZE = Either("a whole number of at least 1, or `auto`", (word("auto"), Whole(least=1)))
_ALIASES = {"ulysses": "ulysses_size", "ring": "ring_size", "tp": "tp_size"}
_SIZES = {"ulysses_size": "ulysses", "ring_size": "ring", "tp_size": "tensor"}

PARALLELISM: dict[str, Option] = {
    "backend": ANY,
    **dict.fromkeys((*_SIZES, *_ALIASES), Option(_SIZE)),
    "ulysses_anything": Option(Flag(), False),
    "ulysses_float8": Option(Flag(), False),
    "ulysses_async": Option(Flag(), False),
    "ring_rotate_method": Option(word("p2p", "allgather"), "p2p"),
    "ring_convert_to_fp32": Option(Flag(), True),
    **dict.fromkeys(("attention_backend", "cp_plan", "extra_parallel_modules"), ANY),
    **dict.fromkeys(("extra_parallel_kwargs", "parallel_kwargs"), ANY),
    "use_ray": Option(Flag(), False),
    **{
        f"ray_{name}": ANY
        for name in (
            *("num_workers", "address", "runtime_env", "init_kwargs", "worker_options", "master_port"),
            *("auto_shutdown", "transfer_backend", "transfer_custom_obj", "use_flashpack", "use_compile"),
            "transfer_fn",
        )
    },
}

_TYPES = {
    "float8_weight_only": ("float8_weight_only", ""),
    "int8_weight_only": ("int8_weight_only", ""),
    "int4_weight_only": ("int4_weight_only", ""),
    "int8_per_row": ("int8_dynamic", ""),
    "int8_per_tensor": ("int8_dynamic", "one scale a tensor"),
    "float8_per_row": ("float8_dynamic", "one scale a row"),
    "float8_per_tensor": ("float8_dynamic", "one scale a tensor"),
    "float8_per_block": ("float8_dynamic", "one scale a block"),
}
"""cache-dit's types, this language's kinds, and what is different."""

QUANTIZE: dict[str, Option] = {
    "quant_type": Option(Text("a type of quantisation, such as `float8_per_row`"), "float8_per_row"),
    "exclude_layers": Option(ListOf("a list of parts of layer names", Text("a part of a layer's name", least=1)), ()),
    "components_to_quantize": ANY,
    "verbose": ANY,
    "backend": ANY,
    **dict.fromkeys(("regional_quantize", "repeated_blocks", "per_tensor_fallback"), ANY),
    **dict.fromkeys(("precision_plan", "svdq_kwargs", "calibrate_fn", "serialize_to", "filter_fn"), ANY),
}
_SILENT = ("verbose", "backend", "quant_type", "exclude_layers", "components_to_quantize")


def parallel_of(given: Any, path: Path) -> tuple[Tree, list[Note]]:
    """Return `runtime.parallel`, and what there is to say."""
    read = read_options(given, PARALLELISM, ENGINE, path)
    found: Tree = {}
    for name, size in read.values.items():
        key = _SIZES.get(_ALIASES.get(name, name))
        if key is None:
            continue
        if name in _ALIASES:
            read.note(DIFFERS, name, f"cache-dit raises TypeError for it; it is read as `{_ALIASES[name]}`")
        if size == "auto":
            hint = "write how many processes there will be"
            read.note(NOT_CARRIED, name, "how many processes there are is not known beforehand", hint)
        elif found.get(key, size) != size:
            read.note(BAD_OPTION, name, f"`{key}` is said twice, with different sizes", "keep one of the two")
        elif size > 1:
            found[key] = size
    if read["ulysses_anything"]:
        found["uneven"] = True
    for name in read.values:
        known = name in ("backend", "ulysses_anything") or _ALIASES.get(name, name) in _SIZES
        if not known and read.says(name):
            message = "it changes how processes work together, and nothing here does; what is computed stays the same"
            read.note(NOT_CARRIED, name, message, "leave it out", "warning")
    return found, read.notes


def quantize_of(given: Any, path: Path) -> tuple[Tree, list[Note]]:
    """Return `runtime.quantize`, by component, and what there is to say."""
    read = read_options(given, QUANTIZE, ENGINE, path)
    notes = read.notes
    for name in read.values:
        if name not in _SILENT and read[name] not in (None, False):
            read.note(NOT_CARRIED, name, "there is no such setting here", "leave it out", "warning")
    parts = read["components_to_quantize"]
    if parts is None:
        parts = ["transformer"]
    if isinstance(parts, (list, tuple)) and all(isinstance(one, str) for one in parts):
        parts = {one: {} for one in parts}
    if not isinstance(parts, Mapping):
        read.note(BAD_OPTION, "components_to_quantize", f"expected a list or mapping of components, got {parts!r}")
        return {}, notes
    found: Tree = {}
    for component, own in parts.items():
        at = (*path, "components_to_quantize", component) if read.says("components_to_quantize") else path
        own = {} if own is None else {"quant_type": own} if isinstance(own, str) else own
        inner = read_options(own, QUANTIZE, ENGINE, at)
        notes += inner.notes
        for name in inner.values:
            if name not in _SILENT:
                inner.note(NOT_CARRIED, name, "there is no such setting here", "leave it out", "warning")
        said = inner if "quant_type" in inner.values else read
        kind = _kind(said)
        exclude = (inner if "exclude_layers" in inner.values else read)["exclude_layers"]
        if kind is not None:
            entry = {"kind": kind, "exclude": [f"*{layer}*" for layer in exclude]}
            found[str(component)] = entry if exclude else kind
    return found, list(dict.fromkeys(notes))


def _kind(read: Options) -> str | None:
    said = str(read["quant_type"])
    if said not in _TYPES:
        message = f"`{said}` has no counterpart here"
        read.note(NOT_CARRIED, "quant_type", message, f"use one of {', '.join(QUANTIZATIONS)}")
        return None
    kind, difference = _TYPES[said]
    if difference:
        message = f"`{said}` has {difference}; `{kind}` is the nearest kind, and its numbers differ a little"
        read.note(DIFFERS, "quant_type", message)
    return kind


BACK = {"float8_dynamic": "float8_per_row", "int8_dynamic": "int8_per_row"}


def options_of(policy: Policy) -> tuple[Tree, list[Note]]:
    """Return `parallelism_config` and `quantize_config` of a policy, and what cache-dit cannot say."""
    found: Tree = {}
    notes: list[Note] = []
    parallel = policy.runtime.parallel
    sizes = {name: getattr(parallel, key) for name, key in _SIZES.items() if getattr(parallel, key) > 1}
    if sizes:
        found["parallelism_config"] = {**sizes, **({"ulysses_anything": True} if parallel.uneven else {})}
    if parallel.verify:
        path: Path = ("runtime", "parallel", "verify")
        notes.append(Note(NOT_CARRIED, path, "cache-dit has no such setting", "leave it out", "warning"))
    components: Tree = {}
    for component, part in policy.runtime.quantize:
        path = ("runtime", "quantize", component, "exclude")
        layers = [layer.strip("*") for layer in part.exclude]
        for layer in layers:
            if any(sign in layer for sign in "*?["):
                message = f"cache-dit excludes layers whose name has a part in it, not by the glob `{layer}`"
                notes.append(Note(NOT_CARRIED, path, message))
        components[component] = {"quant_type": BACK.get(part.kind, part.kind), "exclude_layers": layers}
    if components:
        first = next(iter(components.values()))
        found["quantize_config"] = {"quant_type": first["quant_type"], "components_to_quantize": components}
    return found, notes
