"""cache-dit's YAML files, nested and flat, and its calls in Python, over its releases; and its YAML back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml
from attrs import define, evolve, field

from cachedsl.convert.cache_dit.masks import bins_mask, steps_mask
from cachedsl.convert.cache_dit.options import ALIASES, OPTIONS
from cachedsl.convert.cache_dit.reading import policy_from_options
from cachedsl.convert.cache_dit.runtime_parts import options_of, parallel_of, quantize_of
from cachedsl.convert.cache_dit.writing import options_from_policy
from cachedsl.convert.engine import Asked, Engine, Written, names, plain
from cachedsl.convert.forms import CALL, UNKNOWN, Expression, Settings, as_written, call_name
from cachedsl.convert.notes import BAD_OPTION, DIFFERS, NOT_CARRIED, Converted, Note, not_told
from cachedsl.convert.whole_steps import OFF
from cachedsl.language.misfit import Path
from cachedsl.language.policy import Policy
from cachedsl.language.refusals import nearest
from cachedsl.matching.errors import UnsupportedModel
from cachedsl.matching.reading import shape_called
from cachedsl.text.tree import Node

Tree = dict[str, Any]
PARTS = ("cache_config", "parallelism_config", "attention_backend", "quantize_config")
CALLS = ("enable_cache", "apply_cache_on_pipe")
CALIBRATORS = {"TaylorSeerCalibratorConfig": "taylorseer", "DMDCalibratorConfig": "dmd", "FoCaCalibratorConfig": "foca"}
CACHES = {"DBCacheConfig": "DBCache", "DBPruneConfig": "DBPrune", "BasicCacheConfig": "DBCache"}


@define
class _Gathered:
    """Flat options, and where each of them was written."""

    options: Tree = field(factory=dict)
    paths: dict[str, Path] = field(factory=dict)
    of_stacks: dict[str, dict[str, Path]] = field(factory=dict)
    notes: list[Note] = field(factory=list)

    def add(self, given: Mapping[str, Any], path: Path, known: Mapping[str, str] | None = None) -> None:
        """Take options that were written at `path`; `known` renames those that have another name there."""
        for name, value in given.items():
            if name == UNKNOWN:
                self.notes.append(not_told(value, (*path, name)))
                continue
            self.options[(known or {}).get(name, name)] = value
            self.paths[(known or {}).get(name, name)] = (*path, name)

    def placed(self, note: Note) -> Note:
        """Return a note of a flat option with its path in the file."""
        head = note.path[:1]
        of_stack = self.of_stacks.get(str(head[0])) if len(note.path) > 1 else None
        if of_stack is not None and str(note.path[1]) in of_stack:
            return evolve(note, path=(*of_stack[str(note.path[1])], *note.path[2:]))
        if head and isinstance(head[0], str) and head[0] in self.paths:
            return evolve(note, path=(*self.paths[head[0]], *note.path[1:]))
        return note


def knows(settings: Settings) -> bool:
    """Tell whether settings are cache-dit's."""
    if settings.form == "python":
        return _call(settings) is not None
    found = names(settings)
    flat = found & (set(OPTIONS) | set(ALIASES))
    return bool(settings.form == "yaml" and (found & set(PARTS) or (flat and len(flat) >= len(found - flat))))


def read(settings: Settings, asked: Asked) -> Converted:
    """Return the policy of a file, or of the first call in Python that enables the cache."""
    if settings.form == "python":
        return _read_python(settings, asked)
    tree = plain(settings)
    gathered = _Gathered()
    parts = {name: tree[name] for name in PARTS if tree.get(name) is not None}
    flat = {name: value for name, value in tree.items() if name in OPTIONS or name in ALIASES}
    for name in (one for one in tree if one not in flat and one not in PARTS):
        near = nearest(str(name), (*PARTS, *OPTIONS)) or nearest(str(name), ALIASES)
        hint = f"did you mean `{near}`?" if near else "leave it out; cache-dit drops it in silence"
        gathered.notes.append(Note(BAD_OPTION, (name,), f"{name}: cache-dit has no such key at the top", hint))
    gathered.notes += _typed(tree, parts)
    if "cache_config" in parts:
        for name in flat:
            message = f"{name}: it stands beside `cache_config`, and cache-dit drops it"
            gathered.notes.append(Note(BAD_OPTION, (name,), message, "move it into `cache_config`"))
        if isinstance(parts["cache_config"], Mapping):
            gathered.add(parts["cache_config"], ("cache_config",))
        else:
            message = f"cache_config: expected a mapping of options, got {parts['cache_config']!r}"
            gathered.notes.append(Note(BAD_OPTION, ("cache_config",), message))
    else:
        beside = [name for name in PARTS if name in parts]
        for name in flat if beside else ():
            message = f"{name}: beside `{beside[0]}` cache-dit drops options that are not in `cache_config`"
            gathered.notes.append(Note(DIFFERS, (name,), message, "it is read as if it were in `cache_config`"))
        gathered.add(flat, ())
        if isinstance(flat.get("steps_computation_mask"), str):
            message = "steps_computation_mask: in a flat file cache-dit leaves the preset a text, and reads its letters"
            hint = "there, write the file with `cache_config`"
            gathered.notes.append(Note(DIFFERS, ("steps_computation_mask",), message, hint))
    return _converted(gathered, parts, asked, caches="cache_config" in parts or bool(flat))


TYPED = "cache-dit 1.5.3 reads the type from a file as a text, at which its `enable_cache` stops"


def _typed(tree: Mapping[str, Any], parts: Mapping[str, Any]) -> list[Note]:
    """Say that cache-dit itself cannot run a file that names the type."""
    inner = parts.get("cache_config")
    for given, path in ((tree, ()), (inner if isinstance(inner, Mapping) else {}, ("cache_config",))):
        if given.get("cache_type") is not None:
            hint = "there, set `cache_type` of the config to `CacheType.DBPrune` or `DBCache`"
            return [Note(DIFFERS, (*path, "cache_type"), f"cache_type: {TYPED}", hint)]
    return []


def _converted(
    gathered: _Gathered,
    parts: Mapping[str, Any],
    asked: Asked,
    *,
    caches: bool,
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
) -> Converted:
    found = policy_from_options(gathered.options, steps=asked.steps, overrides=overrides)
    tree = dict(found.tree) if caches else {"version": 1, **OFF}
    notes = [*gathered.notes, *(gathered.placed(note) for note in found.notes)]
    if not caches:
        message = "there is no cache part, so that cache-dit computes every step; `threshold: 0` does"
        notes.append(Note(DIFFERS, (), message))
    runtime: Tree = {}
    for key, name, reader in (
        ("quantize", "quantize_config", quantize_of),
        ("parallel", "parallelism_config", parallel_of),
    ):
        if parts.get(name) is not None:
            part, more = reader(parts[name], (name,))
            notes += more
            runtime |= {key: part} if part else {}
    if runtime:
        tree["runtime"] = runtime
    if parts.get("attention_backend") is not None:
        message = "attention_backend: which kernel computes attention is no matter of a policy"
        hint = "call the model's `set_attention_backend`"
        notes.append(Note(NOT_CARRIED, ("attention_backend",), message, hint, "warning"))
    return Converted(tree, tuple(notes), found.steps)


def _call(settings: Settings) -> Node | None:
    """Return the first call that enables the cache, else the first config that is made."""
    for wanted in (CALLS, (*CACHES, *CALIBRATORS)):
        for call in settings.calls:
            if call_name(call) in wanted and _may_be_own(call):
                return call
    return None


OTHERS = ("use_double_fb_cache", "residual_diff_threshold_multi", "residual_diff_threshold_single")
"""Arguments of functions of the same names in other packages."""


def _may_be_own(call: Node) -> bool:
    first = call.mapping.get("0")
    given = "" if first is None else call_name(first)
    strange = given.endswith("Config") and given not in (*CACHES, *CALIBRATORS)  # `model.enable_cache(OtherConfig())`
    return not strange and not set(OTHERS) & set(call.mapping)


def _read_python(settings: Settings, asked: Asked) -> Converted:
    call = _call(settings)
    assert call is not None
    tree = _plain(call)
    gathered = _Gathered()
    parts: Tree = {}
    blocks: list[str] = []
    modifiers: Any = None
    where: Path = ("params_modifiers",)
    if call_name(call) in CALLS:
        for key, value in tree.items():
            name = _named(key, POSITIONS if call_name(call) == "enable_cache" else ())
            if name in ("cache_config", "calibrator_config"):
                _config(gathered, value, (key,))
            elif name in ("parallelism_config", "quantize_config", "attention_backend"):
                parts[name] = {key: one for key, one in value.items() if key != CALL} if _is(value) else value
            elif name == "params_modifiers" and value is not None:
                modifiers, where = value, (key,)
            elif name == "0" and _is(value):
                blocks = _block_names(value)
                if modifiers is None and "params_modifiers" in value:
                    modifiers, where = value["params_modifiers"], ("0", "params_modifiers")
            elif name not in (CALL, "0", "pipe", "pipe_or_adapter"):
                gathered.add({name: value}, ())
    else:
        _config(gathered, tree, ())
    _masks(gathered)
    gathered.options = {name: as_written(value) for name, value in gathered.options.items()}
    overrides = _overrides(gathered, modifiers, where, blocks, asked)
    return _converted(gathered, parts, asked, caches=True, overrides=overrides)


POSITIONS = (
    "0",
    "cache_config",
    "calibrator_config",
    "params_modifiers",
    "parallelism_config",
    "attention_backend",
    "quantize_config",
)
"""What the arguments of `enable_cache` are that are given without a keyword."""


def _named(key: str, positions: tuple[str, ...]) -> str:
    return positions[int(key)] if key.isdecimal() and int(key) < len(positions) else key


def _plain(node: Node) -> Tree:
    found = node.plain()
    return found if isinstance(found, dict) else {}


def _is(value: Any) -> bool:
    return isinstance(value, dict) and CALL in value


def _config(gathered: _Gathered, value: Any, path: Path) -> None:
    """Take the options of a config object."""
    if not _is(value):
        if value is not None:
            message = f"{path[-1] if path else 'the call'}: it cannot be read without running it: {value}"
            gathered.notes.append(Note(BAD_OPTION, path, message, "write the config out in the call"))
        return
    kind, options = value[CALL], {name: one for name, one in value.items() if name != CALL}
    if kind in CALIBRATORS:
        made = {"enable_calibrator": True, "enable_encoder_calibrator": True, "calibrator_type": CALIBRATORS[kind]}
        for name, one in made.items():
            gathered.options.setdefault(name, one)
        gathered.add(options, path)
        gathered.paths.setdefault("calibrator_type", path)
    elif kind in CACHES:
        if CACHES[kind] == "DBPrune":
            gathered.options["cache_type"] = "DBPrune"
            gathered.paths["cache_type"] = path
        gathered.add(options, path)
    else:
        message = f"`{kind}` is no config of cache-dit that is known here"
        gathered.notes.append(Note(BAD_OPTION, path, message, f"one of {', '.join((*CACHES, *CALIBRATORS))}"))


def _masks(gathered: _Gathered) -> None:
    """Replace calls and enumerations by what they mean."""
    mask = gathered.options.get("steps_computation_mask")
    if isinstance(mask, dict) and CALL in mask:
        steps: Any = mask.get("total_steps", mask.get("2"))
        bins = mask.get("compute_bins", mask.get("0")), mask.get("cache_bins", mask.get("1"))
        try:
            if bins[0] is not None and bins[1] is not None:
                bits = bins_mask(bins[0], bins[1], steps)
            else:
                bits = steps_mask(str(mask.get("mask_policy", mask.get("3", "medium"))), steps)
        except (TypeError, ValueError) as error:
            path = gathered.paths["steps_computation_mask"]
            gathered.notes.append(Note(BAD_OPTION, path, f"steps_computation_mask: {error}"))
            del gathered.options["steps_computation_mask"]
        else:
            gathered.options["steps_computation_mask"] = [int(bit) for bit in bits]
            if isinstance(steps, int) and gathered.options.get("num_inference_steps") is None:
                gathered.options["num_inference_steps"] = steps
    kind = gathered.options.get("cache_type")
    if isinstance(kind, Expression):
        gathered.options["cache_type"] = str(kind).rpartition(".")[2]


def _block_names(adapter: Mapping[str, Any]) -> list[str]:
    """Return the names of the block lists of a `BlockAdapter`, as far as they can be told."""
    blocks = adapter.get("blocks")
    listed = blocks if isinstance(blocks, list) else [blocks]
    flat = [one for item in listed for one in (item if isinstance(item, list) else [item])]
    return [str(one).rpartition(".")[2] for one in flat if isinstance(one, Expression)]


def _overrides(gathered: _Gathered, modifiers: Any, path: Path, blocks: list[str], asked: Asked) -> dict[str, Tree]:
    """Return the options of each block list that has a modifier of its own."""
    if modifiers is None:
        return {}
    listed = modifiers if isinstance(modifiers, list) else [modifiers]
    flat = [one for item in listed for one in (item if isinstance(item, list) else [item])]
    if not blocks and asked.model is not None:
        try:
            blocks = [stack.name for stack in shape_called(asked.model).stacks]
        except UnsupportedModel as error:
            gathered.notes.append(Note(BAD_OPTION, path, f"params_modifiers: {error}"))
            return {}
    if len(blocks) < len(flat):
        message = f"params_modifiers: which block lists the {len(flat)} modifiers are for cannot be told"
        gathered.notes.append(Note(NOT_CARRIED, path, message, "name the model, or `blocks` in a BlockAdapter"))
        return {}
    found: dict[str, Tree] = {}
    for index, (name, one) in enumerate(zip(blocks, flat, strict=False)):
        inner = _Gathered()
        at: Path = (*path, index) if isinstance(modifiers, list) else path
        if _is(one):
            for key, value in one.items():
                if _named(key, POSITIONS[1:3]) in ("cache_config", "calibrator_config"):
                    _config(inner, value, (*at, key))
                elif key != CALL:
                    inner.add({key: value}, at)
        gathered.notes += inner.notes
        gathered.of_stacks[name] = inner.paths
        if inner.options:
            found[name] = inner.options
    return found


class _Dumper(yaml.SafeDumper):
    """Writes short lists in one line."""


_Dumper.add_representer(list, lambda dumper, data: dumper.represent_sequence("tag:yaml.org,2002:seq", data, True))


def to_yaml(tree: Mapping[str, Any]) -> str:
    """Return a tree as YAML that reads the same by YAML 1.1 and 1.2."""
    text: str = yaml.dump(_spelt(tree), Dumper=_Dumper, sort_keys=False, width=100)
    return text


def _spelt(tree: Any) -> Any:
    if isinstance(tree, Mapping):
        return {key: _spelt(value) for key, value in tree.items()}
    return [_spelt(one) for one in tree] if isinstance(tree, (list, tuple)) else tree


def write(policy: Policy, asked: Asked) -> Written:
    """Return a file for `cache_dit.load_configs`."""
    exported = options_from_policy(policy, steps=asked.steps)
    notes = list(exported.notes)
    for name in exported.stacks:
        message = f"stacks.{name}: files have one setting for all block lists"
        hint = "pass `params_modifiers` in Python"
        notes.append(Note(NOT_CARRIED, ("stacks", name), message, hint))
    if "cache_type" in exported.options:
        hint = "set `cache_type` of the loaded config to `CacheType.DBPrune`"
        notes.append(Note(DIFFERS, ("prune",), f"prune: {TYPED}", hint))
    runtime, more = options_of(policy)
    return Written(to_yaml({"cache_config": exported.options, **runtime}), (*notes, *more))


ENGINE = Engine(
    "cache-dit",
    "cache-dit 1.5.3, and calls of older releases",
    "YAML, nested and flat; Python",
    knows,
    read,
    write,
    root=lambda settings: _call(settings) if settings.form == "python" else settings.root,
    shared=True,
    refused=(
        "`attention_backend`, `params_modifiers` without block lists or a model",
        "sizes that are `auto`, SVDQuant, nvfp4, `precision_plan`",
        "of a policy: `F0`, `span: joined`, signals, `repay`, `horizon`, sums that begin anew",
    ),
)
