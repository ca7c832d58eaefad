"""TensorRT-LLM's visual generation: `cache_config` with `cache_backend: cache_dit` or `teacache`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import evolve

from cachedsl.convert.cache_dit.files import to_yaml
from cachedsl.convert.dbcache import FIXED, SERVED, SERVING, from_options, preset_of, to_options
from cachedsl.convert.dbcache import SPELT as SHARED
from cachedsl.convert.engine import Asked, Engine, Written, names, plain
from cachedsl.convert.exporting import stack_notes, whole_notes
from cachedsl.convert.forms import Settings
from cachedsl.convert.notes import BAD_OPTION, NOT_CARRIED, Converted, Note
from cachedsl.convert.options import Option, read_options
from cachedsl.convert.whole_steps import OFF, coefficients_of, polynomial_of, teacache
from cachedsl.language.kinds import Either, Flag, ListOf, Number, Text, Whole, word
from cachedsl.language.policy import Policy

NAME = "TensorRT-LLM"
_POLYNOMIAL = Either("a list of coefficients, or a model", (ListOf("a list", Number(), least=1), Text("a model")))
_BACKEND = {"cache_backend": Option(word("cache_dit", "teacache"))}
OWN: dict[str, Option] = {
    **_BACKEND,
    **{name: option for name, option in SERVED.items() if name != "num_inference_steps"},
    "enable_separate_cfg": Option(Flag()),
    "taylorseer_order": Option(Whole(least=1, most=4)),
}
TEACACHE: dict[str, Option] = {
    **_BACKEND,
    "teacache_thresh": Option(Number(above=0), 0.2),
    "use_ret_steps": Option(Flag(), False),
    "coefficients": Option(_POLYNOMIAL),
    "coefficients_2": Option(_POLYNOMIAL),
}
SPELT = {name: SHARED.get(name, name) for name in OWN if name != "cache_backend"}


def _config(settings: Settings) -> Any:
    found = plain(settings).get("cache_config")
    return found if isinstance(found, Mapping) else None


def knows(settings: Settings) -> bool:
    """Tell whether settings are TensorRT-LLM's."""
    config = _config(settings)
    return config is not None and "cache_backend" in config and "cache_backend" not in names(settings)


def read(settings: Settings, asked: Asked) -> Converted:
    """Return the policy of a configuration."""
    config = _config(settings)
    path = ("cache_config",)
    if config is None:
        return Converted({"version": 1, **OFF}, ())
    backend = config.get("cache_backend")
    if backend == "cache_dit":
        read = read_options(config, OWN, NAME, path)
        options = {SPELT[name]: value for name, value in read.values.items() if name in SPELT}
        where = {SPELT[name]: (*path, name) for name in read.values if name in SPELT}
        if options.get("enable_taylorseer"):
            options["enable_encoder_taylorseer"] = True
        found = from_options({**SERVING, **options}, where, asked)
        return Converted(found.tree, (*read.notes, *found.notes), found.steps)
    read = read_options(config, TEACACHE, NAME, path)
    if backend != "teacache":
        if "cache_backend" not in read.values:
            message = "cache_backend: it must say `cache_dit` or `teacache`"
            read.notes.append(Note(BAD_OPTION, path, message))
        return Converted({}, tuple(dict.fromkeys(read.notes)))
    retained = read["use_ret_steps"]
    model = asked.model or plain(settings).get("model")
    named = Asked(asked.steps, model if isinstance(model, str) else None)
    polynomial = polynomial_of(read, named, retained)
    if polynomial is None:
        return Converted({}, tuple(read.notes), asked.steps)
    tree = teacache(read["teacache_thresh"], polynomial, head=5 if retained else 1, tail=0 if retained else 1)
    second = read["coefficients_2"]
    if isinstance(second, str):
        second = coefficients_of(second, retained)
        if second is None:
            read.note(NOT_CARRIED, "coefficients_2", "there are no coefficients of that model here", "write them")
    if second is not None:
        signal = {"tap": "modulated_input", "rescale": list(second)}
        tree["stacks"] = {"transformer_2.*": {"reuse": {"signal": signal}}}
    return Converted({"version": 1, **tree}, tuple(read.notes), asked.steps)


def write(policy: Policy, asked: Asked) -> Written:
    """Return `cache_config` as YAML."""
    signal = policy.signal
    if signal is not None and policy.prune is None and signal.tap == "modulated_input":
        return _write_teacache(policy)
    options, exported = to_options(policy, asked, NAME, {option: name for name, option in SPELT.items()}, FIXED)
    options.pop("num_inference_steps", None)
    notes = [note for note in exported.notes if "num_inference_steps" not in note.message]
    notes += stack_notes(exported.stacks, NAME)
    mask = options.pop("scm_steps_mask_policy", None)
    if mask is not None:
        named = preset_of(mask)
        if named is None:
            message = f"steps: {NAME} takes presets only, and this mask is none of them"
            notes.append(Note(NOT_CARRIED, ("steps",), message))
        else:
            options["scm_steps_mask_policy"] = named
    if options.get("taylorseer_order", 1) not in range(1, 5):
        notes.append(Note(NOT_CARRIED, ("predict", "order"), f"predict.order: {NAME} has orders 1 to 4"))
    options.setdefault("max_continuous_cached_steps", -1)
    return Written(to_yaml({"cache_config": {"cache_backend": "cache_dit", **options}}), tuple(notes))


def _write_teacache(policy: Policy) -> Written:
    retained = policy.warmup.steps == 5 and policy.tail == 0
    second = None
    notes = whole_notes(policy, NAME, 5 if retained else 1, 0 if retained else 1)
    if [name for name, _ in policy.stacks] == ["transformer_2.*"]:
        other = policy.for_stack("transformer_2", "blocks")
        if other.reuse.signal.rescale and evolve(other.reuse, signal=policy.reuse.signal) == policy.reuse:
            second = list(other.reuse.signal.rescale)
            notes = [note for note in notes if note.path != ("stacks",)]
    config: dict[str, Any] = {"cache_backend": "teacache", "teacache_thresh": policy.reuse.threshold}
    config |= {"use_ret_steps": retained, "coefficients": list(policy.reuse.signal.rescale or ())}
    if second:
        config["coefficients_2"] = second
    if policy.reuse.signal.rescale is None:
        notes.append(
            Note(NOT_CARRIED, ("reuse", "signal"), "reuse.signal: TeaCache has a polynomial", "write `rescale`")
        )
    if policy.reuse.threshold in ("always", 0):
        notes.append(Note(NOT_CARRIED, ("reuse", "threshold"), "reuse.threshold: it is a number above 0 there"))
    return Written(to_yaml({"cache_config": config}), tuple(notes))


ENGINE = Engine(
    "tensorrt-llm",
    "TensorRT-LLM",
    "YAML with `cache_config`",
    knows,
    read,
    write,
    refused=("TeaCache without coefficients, or a model that has them",),
)
