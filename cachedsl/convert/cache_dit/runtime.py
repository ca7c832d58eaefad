"""cache-dit's `parallelism_config` and `quantize_config` → the `runtime` section of a policy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cachedsl.convert.notes import BAD_OPTION, DIFFERS, NOT_CARRIED, Converted, Note, bad_option
from cachedsl.language.kinds import Flag, Kind, Whole, read_value
from cachedsl.language.misfit import Misfit, Misfits
from cachedsl.language.refusals import nearest

Tree = dict[str, Any]

SIZES = {"ulysses_size": "ulysses", "ring_size": "ring", "tp_size": "tensor"}
"""Options of parallelism that are sizes, and what the language calls them; the latter, and `tp`, are aliases there."""

KINDS = {
    "float8": "float8_dynamic",
    "float8_per_row": "float8_dynamic",
    "float8_per_tensor": "float8_dynamic",
    "float8_per_block": "float8_dynamic",
    "float8_blockwise": "float8_dynamic",
    "float8_weight_only": "float8_weight_only",
    "int8": "int8_dynamic",
    "int8_per_row": "int8_dynamic",
    "int8_per_tensor": "int8_dynamic",
    "int8_weight_only": "int8_weight_only",
    "int4_weight_only": "int4_weight_only",
}
"""Kinds of quantisation, and what the language calls them."""

EXACTLY = (
    "float8",
    "float8_per_row",
    "float8_weight_only",
    "int4_weight_only",
    "int8",
    "int8_per_row",
    "int8_weight_only",
)
EXCLUDED = ("embedder", "embed", "modulation", "mod")
"""Parts of layers' names that cache-dit leaves out by default."""

_OF_PARALLELISM = {
    "cp_plan": "a plan of your own goes to the model: `model.enable_parallelism(config=..., cp_plan=...)`",
    "use_ray": "start the processes with `torchrun`",
    "extra_parallel_modules": "the policy splits transformers; leave the others whole",
}
_SAYS_NOTHING_ELSE = ("backend", "attention_backend", "ring_rotate_method", "verbose", "_")
_SLOWER = {
    "ulysses_float8": "tokens are exchanged in their own dtype",
    "ulysses_async": "projections and exchanges take turns",
    "extra_parallel_kwargs": "models have no options of their own here",
}
_OF_QUANTISATION = {
    "filter_fn": "name the layers in `exclude_layers`",
    "precision_plan": "a component has one kind here; exclude the layers that need another",
    "calibrate_fn": "no kind here is calibrated",
    "serialize_to": "save the model with `save_pretrained`",
    "svdq_kwargs": "SVDQuant models are loaded ready-made, with Nunchaku",
}
_QUANTISATION = (
    *("backend", "quant_type", "exclude_layers", "regional_quantize", "quantize_repeated_blocks", "repeated_blocks"),
    *("components_to_quantize", "per_tensor_fallback", "per_row", "verbose", *_OF_QUANTISATION),
)


def runtime_from_options(
    parallelism: Mapping[str, Any] | None = None, quantize: Mapping[str, Any] | None = None
) -> Converted:
    """Return the `runtime` section that does what cache-dit does with these two parts.

    Args:
        parallelism: options of `ParallelismConfig`, or of `parallelism_config` in a file.
        quantize: options of `QuantizeConfig`, or of `quantize_config`. Its regional form, the default, quantises a
            transformer's repeated blocks alone; which layers those are is in no file, so a note says it.

    Returns:
        The tree of `runtime`, empty where nothing is asked for, and notes whose paths begin with the name of the part.
    """
    tree: Tree = {}
    notes: list[Note] = []
    if parallelism is not None:
        part = _parallel(parallelism, notes)
        if part:
            tree["parallel"] = part
    if quantize is not None:
        part = dict(_quantize(quantize, notes))
        if part:
            tree["quantize"] = part
    return Converted(tree, tuple(notes))


def _parallel(options: Mapping[str, Any], notes: list[Note]) -> Tree:
    at = "parallelism_config"
    found: Tree = {}
    names = {**{key: key for key in SIZES}, "ulysses": "ulysses_size", "ring": "ring_size", "tp": "tp_size"}
    flat = {**options.get("parallel_kwargs", {}), **{k: v for k, v in options.items() if k != "parallel_kwargs"}}
    for key, value in flat.items():
        plain = key.removeprefix("experimental_")
        if value is None or value is False or value == [] or value == {}:
            continue
        if key in names:
            size = _size(value, (at, key), notes)
            if size is not None and found.setdefault(SIZES[names[key]], size) != size:
                notes.append(Note(BAD_OPTION, (at, key), f"{key}: it is said twice, with two sizes", "keep one"))
        elif plain == "ulysses_anything":
            if _read(Flag(), value, (at, key), notes):
                found["uneven"] = True
        elif plain in _OF_PARALLELISM:
            _refuse((at, key), "a policy cannot say it", _OF_PARALLELISM[plain], notes)
        elif plain in _SLOWER:
            notes.append(Note(NOT_CARRIED, (at, key), f"{key}: {_SLOWER[plain]}", "leave it out", "warning"))
        elif plain == "ring_convert_to_fp32" or plain.startswith(_SAYS_NOTHING_ELSE) or plain.startswith("ray_"):
            continue
        else:
            _unknown(key, (*names, *_OF_PARALLELISM, *_SLOWER, "ulysses_anything", "backend"), at, notes)
    return {key: value for key, value in found.items() if value is True or value != 1}


def _size(value: Any, path: tuple[str, str], notes: list[Note]) -> int | None:
    if isinstance(value, str) and value.lower() == "auto":
        message = (
            f"{path[1]}: `auto` is the number of processes that the other sizes leave, which a policy does not know"
        )
        notes.append(Note(NOT_CARRIED, path, message, "write the number"))
        return None
    size: int | None = _read(Whole(least=1), value, path, notes)
    return size


def _quantize(options: Mapping[str, Any], notes: list[Note]) -> Iterator[tuple[str, Tree]]:
    at = "quantize_config"
    for key, value in options.items():
        if key not in _QUANTISATION:
            _unknown(key, _QUANTISATION, at, notes)
        elif key in _OF_QUANTISATION and value:
            _refuse((at, key), "a policy cannot say it", _OF_QUANTISATION[key], notes)
    components = options.get("components_to_quantize")
    if components is None:
        components = ["transformer"]
    if isinstance(components, Mapping):
        each = {name: {**options, **(own or {})} for name, own in components.items()}
    elif isinstance(components, Sequence) and not isinstance(components, str):
        each = {name: dict(options) for name in components}
    else:
        message = "components_to_quantize: expected a list of components, or a mapping of them"
        notes.append(Note(BAD_OPTION, (at, "components_to_quantize"), message))
        return
    for name, own in each.items():
        where = (at, "components_to_quantize", name) if isinstance(components, Mapping) else (at,)
        kind = _kind(own, where, notes)
        if kind is None:
            continue
        excluded = own.get("exclude_layers", EXCLUDED) or ()
        if own.get("regional_quantize", own.get("quantize_repeated_blocks", True)) and "transformer" in str(name):
            message = "there a transformer's repeated blocks alone are quantised, here all of its linear layers"
            hint = "exclude the layers outside of its blocks, or set `regional_quantize: false`"
            notes.append(Note(DIFFERS, (*where, "regional_quantize"), f"regional_quantize: {message}", hint))
        tree: Tree = {"kind": kind}
        if excluded:
            tree["exclude"] = [f"*{part}*" for part in excluded]
        yield str(name), tree


def _kind(options: Mapping[str, Any], where: tuple[str, ...], notes: list[Note]) -> str | None:
    said = options.get("quant_type", "float8_per_row")
    lower = str(said).lower()
    path = (*where, "quant_type")
    if lower.startswith(("svdq", "nvfp4")):
        message = f"quant_type: `{said}` has no counterpart"
        hint = "load a model that is quantised so, with Nunchaku or TorchAO, and apply a policy to it"
        notes.append(Note(NOT_CARRIED, path, message, hint))
        return None
    if lower not in KINDS:
        near = nearest(lower, KINDS)
        hint = f"did you mean `{near}`?" if near else f"there are {', '.join(KINDS)}"
        notes.append(Note(BAD_OPTION, path, f"quant_type: `{said}` is no kind of quantisation", hint))
        return None
    if lower not in EXACTLY:
        message = f"quant_type: `{said}` has scales for other groups of values than `{KINDS[lower]}` here"
        notes.append(Note(DIFFERS, path, message))
    return KINDS[lower]


def _read(kind: Kind, value: Any, path: tuple[str, str], notes: list[Note]) -> Any:
    try:
        return read_value(kind, value)
    except (Misfit, Misfits) as error:
        notes += [note.under(path[0]) for note in bad_option(error, path[1])]
        return None


def _refuse(path: tuple[str, str], message: str, hint: str, notes: list[Note]) -> None:
    notes.append(Note(NOT_CARRIED, path, f"{path[1]}: {message}", hint))


def _unknown(key: Any, known: Sequence[str], at: str, notes: list[Note]) -> None:
    near = nearest(str(key), known)
    hint = f"did you mean `{near}`?" if near else "leave it out"
    notes.append(Note(BAD_OPTION, (at, key), f"{key}: cache-dit has no such option", hint))
