"""vLLM-Omni: `cache_backend` and `cache_config`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cachedsl.convert.cache_dit.files import to_yaml
from cachedsl.convert.dbcache import FIXED, SERVED, SERVING, SPELT, from_options, preset_of, to_options
from cachedsl.convert.engine import Asked, Engine, Written, names, plain
from cachedsl.convert.exporting import ratios_of, stack_notes, whole_notes
from cachedsl.convert.forms import Settings
from cachedsl.convert.notes import BAD_OPTION, DIFFERS, NOT_CARRIED, Converted, Note
from cachedsl.convert.options import Option, Options, read_options
from cachedsl.convert.whole_steps import OFF, magcache, polynomial_of, retained, sea_cache, teacache
from cachedsl.language.kinds import Either, Flag, ListOf, Number, Text, Whole
from cachedsl.language.policy import Policy
from cachedsl.text.document import parse_document

NAME = "vLLM-Omni"
_COEFFICIENTS = Either("a list of coefficients, or a model", (ListOf("a list", Number(), least=1), Text("a model")))
TEA_CACHE = {"rel_l1_thresh": Option(Number(least=0), 0.2), "coefficients": Option(_COEFFICIENTS)}
MAG_CACHE = {
    "mag_threshold": Option(Number(least=0), 0.24),
    "mag_max_skip_steps": Option(Whole(), 5),
    "mag_retention_ratio": Option(Number(least=0, most=1), 0.1),
    "mag_ratios": Option(ListOf("a list of ratios, one a step", Number(above=0), least=1)),
    "mag_calibrate": Option(Flag(), False),
    "num_inference_steps": Option(Whole(least=1)),
}
SEA_CACHE = {
    "sea_threshold": Option(Number(least=0), 0.25),
    "sea_residual_order": Option(Whole(most=1), 1),
    "sea_max_consecutive_cached": Option(Whole(), 2),
    "sea_power_exp": Option(Number(above=0, most=8), 3.0),
}


def knows(settings: Settings) -> bool:
    """Tell whether settings are vLLM-Omni's."""
    found, given = names(settings), plain(settings)
    inner = given.get("cache_config")
    backend = given.get("cache_backend", given.get("--cache-backend"))
    nested = inner.get("cache_backend") if isinstance(inner, Mapping) else None
    return nested is None and (_known(backend) or "--cache-backend" in found)


def _known(backend: Any) -> bool:
    return isinstance(backend, str) and backend in BACKENDS


def read(settings: Settings, asked: Asked) -> Converted:
    """Return the policy of a configuration, or of the options of a command."""
    given = plain(settings)
    backend = given.get("cache_backend", given.get("--cache-backend", "none"))
    key = "cache_backend" if "cache_backend" in given else "--cache-backend"
    config: Any = given.get("cache_config", given.get("--cache-config")) or {}
    if isinstance(config, str):
        root = parse_document(config, settings.file).root
        config = {} if root is None else root.plain()
    if backend in (None, "none"):
        return Converted({"version": 1, **OFF}, (Note(DIFFERS, (key,), f"{key}: nothing is cached"),))
    if not _known(backend):
        message = f"{key}: `{backend}` is not known"
        return Converted({}, (Note(BAD_OPTION, (key,), message, f"one of {', '.join(BACKENDS)}"),))
    if backend == "step_cache":
        message = f"{key}: step_cache goes by the likeness of velocities, which is no signal here"
        return Converted({}, (Note(NOT_CARRIED, (key,), message, "use another cache"),))
    table, make = BACKENDS[backend]
    found = read_options(config, table, NAME, ("cache_config",))
    return make(found, asked)


def _cache_dit(read: Options, asked: Asked) -> Converted:
    options = {SPELT[name]: value for name, value in read.values.items()}
    where = {SPELT[name]: (*read.path, name) for name in read.values}
    if options.get("enable_taylorseer"):
        options["enable_encoder_taylorseer"] = True
    found = from_options({**SERVING, **options}, where, asked)
    return Converted(found.tree, (*read.notes, *found.notes), found.steps)


def _tea_cache(read: Options, asked: Asked) -> Converted:
    polynomial = polynomial_of(read, asked)
    if polynomial is None:
        return Converted({}, tuple(read.notes), asked.steps)
    tree = teacache(read["rel_l1_thresh"], polynomial)
    return Converted({"version": 1, **tree}, tuple(read.notes), asked.steps)


def _mag_cache(read: Options, asked: Asked) -> Converted:
    steps = read["num_inference_steps"] or asked.steps
    ratios = read["mag_ratios"]
    if read["mag_calibrate"]:
        read.note(NOT_CARRIED, "mag_calibrate", "a policy does not calibrate", "run `cachedsl calibrate magnitude`")
    if ratios is None:
        read.note(NOT_CARRIED, "mag_ratios", "MagCache needs the ratios of the model", "write them, one a step")
        return Converted({}, tuple(read.notes), steps)
    head = retained(read["mag_retention_ratio"], steps)
    tree = magcache(read["mag_threshold"], list(ratios), read["mag_max_skip_steps"], head)
    return Converted({"version": 1, **tree}, tuple(read.notes), steps)


def _sea_cache(read: Options, asked: Asked) -> Converted:
    threshold, order, longest, power = (read[name] for name in SEA_CACHE)
    tree = sea_cache(threshold, order, longest, power)
    return Converted({"version": 1, **tree}, tuple(read.notes), asked.steps)


Maker = Callable[[Options, Asked], Converted]
BACKENDS: dict[str, tuple[Mapping[str, Option], Maker]] = {
    "cache_dit": (SERVED, _cache_dit),
    "tea_cache": (TEA_CACHE, _tea_cache),
    "mag_cache": (MAG_CACHE, _mag_cache),
    "sea_cache": (SEA_CACHE, _sea_cache),
    "step_cache": ({}, _tea_cache),
}


def write(policy: Policy, asked: Asked) -> Written:
    """Return `cache_backend` and `cache_config` as YAML."""
    signal = policy.signal
    if signal is not None and policy.prune is None and signal.tap in WRITERS:
        return WRITERS[signal.tap](policy, asked)
    options, exported = to_options(policy, asked, NAME, {option: name for name, option in SPELT.items()}, FIXED)
    notes = [*exported.notes, *stack_notes(exported.stacks, NAME)]
    mask = options.pop("scm_steps_mask_policy", None)
    if mask is not None:
        named = preset_of(mask)
        if named is None:
            notes.append(
                Note(NOT_CARRIED, ("steps",), f"steps: {NAME} takes presets only, and this mask is none of them")
            )
        else:
            options |= {"scm_steps_mask_policy": named, "num_inference_steps": len(mask)}
    options.setdefault("max_continuous_cached_steps", -1)
    return Written(to_yaml({"cache_backend": "cache_dit", "cache_config": options}), tuple(notes))


def _write_tea(policy: Policy, asked: Asked) -> Written:
    signal = policy.reuse.signal
    notes = whole_notes(policy, NAME, 1, 1)
    if signal.rescale is None:
        notes.append(
            Note(NOT_CARRIED, ("reuse", "signal"), "reuse.signal: TeaCache has a polynomial", "write `rescale`")
        )
    config = {"rel_l1_thresh": policy.reuse.threshold, "coefficients": list(signal.rescale or ())}
    return Written(to_yaml({"cache_backend": "tea_cache", "cache_config": config}), tuple(notes))


def _write_mag(policy: Policy, asked: Asked) -> Written:
    ratios = ratios_of(policy)
    warmup = policy.warmup.steps
    notes = whole_notes(policy, NAME, warmup if isinstance(warmup, int) else 0, 0, longest=True)
    config: dict[str, Any] = {"mag_threshold": policy.reuse.threshold}
    if policy.reuse.max_continuous is None:
        notes.append(Note(NOT_CARRIED, ("reuse",), "reuse.max_continuous: MagCache has a limit", "write one"))
    else:
        config["mag_max_skip_steps"] = policy.reuse.max_continuous
    if isinstance(warmup, str):
        config["mag_retention_ratio"] = int(warmup.removesuffix("%")) / 100
    elif asked.steps is not None:
        config["mag_retention_ratio"] = round(min(warmup / asked.steps, 1), 6)
        config["num_inference_steps"] = asked.steps
    else:
        notes.append(Note(NOT_CARRIED, ("warmup",), "warmup: it is a share of the run there", "say --steps"))
    if not isinstance(ratios, list):
        message = "reuse.signal.ratios: one list for all branches is what it takes"
        notes.append(Note(NOT_CARRIED, ("reuse", "signal"), message))
        ratios = []
    config["mag_ratios"] = ratios
    return Written(to_yaml({"cache_backend": "mag_cache", "cache_config": config}), tuple(notes))


WRITERS: dict[str, Callable[[Policy, Asked], Written]] = {"modulated_input": _write_tea, "magnitude": _write_mag}

ENGINE = Engine(
    "vllm-omni",
    "vLLM-Omni",
    "YAML or JSON with `cache_backend` and `cache_config`; the options of a command",
    knows,
    read,
    write,
    refused=("`step_cache`", "TeaCache and MagCache without coefficients or ratios"),
)
