"""diffusers' own caches, `FirstBlockCacheConfig` and its like: in Python, or as a mapping by class name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from cachedsl.convert.engine import Asked, Engine, Written, names, plain
from cachedsl.convert.exporting import ratios_of, whole_notes
from cachedsl.convert.forms import CALL, Settings, call_name
from cachedsl.convert.notes import BAD_OPTION, DIFFERS, NOT_CARRIED, Converted, Note
from cachedsl.convert.options import ANY, Option, Options, read_options
from cachedsl.convert.whole_steps import first_block, magcache, retained, sea_cache
from cachedsl.language.kinds import Flag, Kind, ListOf, Number, Whole
from cachedsl.language.misfit import Misfit, Path
from cachedsl.language.parts import Compute, Signal
from cachedsl.language.policy import Policy
from cachedsl.language.published import FLUX_RATIOS
from cachedsl.language.schedule import MaskMismatch, resolve_mask, resolve_steps
from cachedsl.text.tree import Node

NAME = "diffusers"


class RatiosOption(Kind):
    """A list of ratios, `torch.tensor` of one, or `FLUX_MAG_RATIOS`."""

    def read(self, value: Any) -> tuple[float, ...]:
        if isinstance(value, Mapping) and value.get(CALL) == "tensor":
            value = value.get("0")
        if isinstance(value, str) and value.rpartition(".")[2] == "FLUX_MAG_RATIOS":
            return FLUX_RATIOS
        try:
            found: tuple[float, ...] = ListOf(self.title, Number(above=0), least=1).read(value)
        except Misfit:
            raise Misfit(self.title, value) from None
        return found


Table = Mapping[str, Option]
FIRST_BLOCK: Table = {"threshold": Option(Number(least=0), 0.05)}
TAYLORSEER: Table = {
    "cache_interval": Option(Whole(least=1), 5),
    "disable_cache_before_step": Option(Whole(least=1), 3),
    "disable_cache_after_step": Option(Whole()),
    "max_order": Option(Whole(most=10), 1),
    "taylor_factors_dtype": ANY,
    "skip_predict_identifiers": ANY,
    "cache_identifiers": ANY,
    "use_lite_mode": Option(Flag(), False),
}
MAG: Table = {
    "threshold": Option(Number(least=0), 0.06),
    "max_skip_steps": Option(Whole(), 3),
    "retention_ratio": Option(Number(least=0, most=1), 0.2),
    "num_inference_steps": Option(Whole(least=1), 28),
    "mag_ratios": Option(RatiosOption("a list of ratios, one a step")),
    "calibrate": Option(Flag(), False),
}
SEA: Table = {
    "threshold": Option(Number(least=0), 0.25),
    "residual_order": Option(Whole(most=1), 1),
    "retention_steps": Option(Whole(), 1),
    "cache_end_steps": Option(Whole(), 1),
    "max_consecutive_cached": Option(Whole(), 2),
    "power_exp": Option(Number(above=0, most=8), 3.0),
    "raw_vision_callback": ANY,
}
UNKNOWN = ("PyramidAttentionBroadcastConfig", "FasterCacheConfig", "TextKVCacheConfig")


def knows(settings: Settings) -> bool:
    """Tell whether settings are of diffusers' own caches."""
    return _found(settings) is not None


def _root(settings: Settings) -> Node | None:
    """Return the call that makes a config, or has one for an argument."""
    for call in settings.calls:
        if any(call_name(one) in {*CONFIGS, *UNKNOWN} for one in (call, *call.mapping.values())):
            return call
    return settings.root


def _found(settings: Settings) -> tuple[str, Any, Path] | None:
    """Return the class, its arguments, and the path to them."""
    every = {*CONFIGS, *UNKNOWN}
    if settings.form == "python":
        for call in settings.calls:
            for node, path in ((call, ()), *((one, (name,)) for name, one in call.mapping.items())):
                if call_name(node) in every:
                    tree = node.plain()
                    return call_name(node), {key: one for key, one in tree.items() if key != CALL}, path
        return None
    for name in names(settings) & every:
        return name, plain(settings)[name] or {}, (name,)
    return None


def read(settings: Settings, asked: Asked) -> Converted:
    """Return the policy of one config."""
    found = _found(settings)
    if found is None:
        message = f"the file has none of diffusers' configs: {', '.join(CONFIGS)}"
        return Converted({}, (Note(BAD_OPTION, (), message),))
    name, given, path = found
    if name in UNKNOWN:
        message = f"{name}: it caches attention inside the blocks, which has no counterpart here"
        return Converted({}, (Note(NOT_CARRIED, path, message, "use another cache"),))
    table, make = CONFIGS[name]
    positional = {key: value for key, value in given.items() if key.isdecimal()} if isinstance(given, Mapping) else {}
    if positional:
        order = list(table)
        given = {
            (order[int(key)] if key in positional and int(key) < len(order) else key): v for key, v in given.items()
        }
    options = read_options(given, table, NAME, path)
    tree = make(options, asked)
    steps = options["num_inference_steps"] if name == "MagCacheConfig" else asked.steps
    return Converted({"version": 1, **tree} if tree else {}, tuple(options.notes), steps)


def _first_block(read: Options, asked: Asked) -> dict[str, Any]:
    return first_block(read["threshold"])


def _taylorseer(read: Options, asked: Asked) -> dict[str, Any]:
    for name in ("taylor_factors_dtype", "skip_predict_identifiers", "cache_identifiers"):
        if name in read.values:
            read.note(
                NOT_CARRIED, name, "whole block lists are skipped and extrapolated here", "leave it out", "warning"
            )
    if read["use_lite_mode"]:
        read.note(DIFFERS, "use_lite_mode", "it skips other modules than a policy, on the same steps")
    name = "cache_interval" if "cache_interval" in read.values else next(iter(read.values), "cache_interval")
    message = "there every attention is extrapolated in its block, here each block list as a whole, on the same steps"
    read.note(DIFFERS, name, message)
    if asked.steps is None:
        hint = "say how many steps a run has: --steps"
        read.note(BAD_OPTION, name, "the steps that it computes are written as bits", hint)
        return {}
    interval, before = read["cache_interval"], read["disable_cache_before_step"]
    bits = schedule(asked.steps, interval, before, read["disable_cache_after_step"])
    order = read["max_order"]
    predict: Any = None if order == 0 else "taylor" if order == 1 else {"method": "taylor", "order": order}
    if order > 1:
        predict["form"] = "published"
    tree: dict[str, Any] = {"compute": "F0B0", "warmup": min(before, asked.steps)}
    tree |= {"reuse": {"threshold": "always"}, "steps": {"bits": bits, "otherwise": "static"}}
    return {**tree, "predict": predict} if predict else tree


def schedule(steps: int, interval: int, before: int, after: int | None) -> str:
    """Return the steps that diffusers' TaylorSeer computes, as bits: a head, one reused, then every `interval`-th."""

    def computed(step: int) -> bool:
        return step < before or (step - before - 1) % interval == 0 or (after is not None and step >= after)

    return "".join("1" if computed(step) else "0" for step in range(steps))


def _mag(read: Options, asked: Asked) -> dict[str, Any]:
    steps = read["num_inference_steps"]
    if read["calibrate"]:
        read.note(NOT_CARRIED, "calibrate", "a policy does not calibrate", "run `cachedsl calibrate magnitude`")
        return {}
    if read["mag_ratios"] is None:
        read.note(NOT_CARRIED, "mag_ratios", "MagCache needs the ratios of the model", "write them, one a step")
        return {}
    head = retained(read["retention_ratio"], steps)
    return magcache(read["threshold"], list(read["mag_ratios"]), read["max_skip_steps"], head)


def _sea(read: Options, asked: Asked) -> dict[str, Any]:
    if "raw_vision_callback" in read.values:
        message = "which of the inputs are latents is said by the model's adapter here"
        read.note(NOT_CARRIED, "raw_vision_callback", message, "leave it out", "warning")
    threshold, order, longest, power = (read[name] for name in SEA_ORDER)
    return sea_cache(threshold, order, longest, power, head=read["retention_steps"], tail=read["cache_end_steps"])


SEA_ORDER = ("threshold", "residual_order", "max_consecutive_cached", "power_exp")
CONFIGS: dict[str, tuple[Table, Callable[[Options, Asked], dict[str, Any]]]] = {
    "FirstBlockCacheConfig": (FIRST_BLOCK, _first_block),
    "TaylorSeerCacheConfig": (TAYLORSEER, _taylorseer),
    "MagCacheConfig": (MAG, _mag),
    "SeaCacheConfig": (SEA, _sea),
}


def write(policy: Policy, asked: Asked) -> Written:
    """Return Python that makes the config."""
    signal = policy.signal
    tap = None if signal is None else signal.tap
    if policy.prune is None and tap in WRITERS:
        name, options, notes = WRITERS[tap](policy, asked)
    elif tap is None and policy.steps is not None:
        name, options, notes = _write_taylorseer(policy, asked)
    else:
        what = "pruning" if policy.prune is not None else f"`{tap}`" if tap else "reuse without a mask or a measurement"
        path: Path = ("prune",) if policy.prune is not None else ("reuse",)
        message = f"{path[0]}: {NAME} has no cache that goes by {what}"
        return Written("", (Note(NOT_CARRIED, path, message),))
    if policy.runtime.asked():
        notes.append(Note(NOT_CARRIED, ("runtime",), f"runtime: {NAME} is told of it elsewhere", None, "warning"))
    said = ", ".join(f"{key}={value!r}" for key, value in options.items())
    text = f"from diffusers.hooks import {name}\n\nconfig = {name}({said})\n# pipe.transformer.enable_cache(config)\n"
    return Written(text, tuple(notes))


Parts = tuple[str, dict[str, Any], list[Note]]


def _write_first_block(policy: Policy, asked: Asked) -> Parts:
    notes = whole_notes(policy, NAME, 1, 0)
    notes = [note for note in notes if note.path not in (("compute",), ("warmup",))]
    if policy.compute != Compute(1, 0):
        notes.append(Note(NOT_CARRIED, ("compute",), "compute: First Block Cache has one front block", "write `F1B0`"))
    if policy.warmup.steps not in (0, 1):
        notes.append(Note(NOT_CARRIED, ("warmup",), "warmup: First Block Cache has none", "write `warmup: 1`"))
    if policy.reuse.signal != Signal():
        notes.append(Note(NOT_CARRIED, ("reuse", "signal"), "reuse.signal: it compares all channels and tokens there"))
    return "FirstBlockCacheConfig", {"threshold": policy.reuse.threshold}, notes


def _write_mag(policy: Policy, asked: Asked) -> Parts:
    warmup, steps = policy.warmup.steps, asked.steps
    head = warmup if isinstance(warmup, int) else 0
    notes = whole_notes(policy, NAME, head, 0, longest=True)
    notes = [note for note in notes if note.path != ("warmup",)]
    if steps is None:
        notes.append(Note(NOT_CARRIED, (), "MagCacheConfig needs the step count", "say --steps"))
        steps = 28
    ratios = ratios_of(policy)
    if not isinstance(ratios, list):
        notes.append(Note(NOT_CARRIED, ("reuse", "signal"), "reuse.signal.ratios: one list for all branches"))
        ratios = []
    longest = policy.reuse.max_continuous
    options = {"threshold": policy.reuse.threshold, "max_skip_steps": steps if longest is None else longest}
    options |= {"retention_ratio": round(min(resolve_steps(warmup, steps) / steps, 1), 6), "num_inference_steps": steps}
    return "MagCacheConfig", {**options, "mag_ratios": ratios}, notes


def _write_sea(policy: Policy, asked: Asked) -> Parts:
    head, tail = policy.warmup.steps, policy.tail
    if not (isinstance(head, int) and isinstance(tail, int)):
        head, tail = (resolve_steps(one, asked.steps or 28) for one in (head, tail))
    notes = [note for note in whole_notes(policy, NAME, head, tail, longest=True) if note.path != ("predict",)]
    predict = policy.predict
    order = {"copy": 0, "taylor": 1}.get(predict.method)
    if order is None or (order and (predict.order != 1 or predict.said().keys() - {"method"})):
        notes.append(Note(NOT_CARRIED, ("predict",), "predict: SeaCache copies, or extrapolates by order 1"))
    options = {"threshold": policy.reuse.threshold, "residual_order": order or 0, "retention_steps": head}
    options |= {"cache_end_steps": tail, "max_consecutive_cached": policy.reuse.max_continuous or 0}
    return "SeaCacheConfig", {**options, "power_exp": policy.reuse.signal.exponent}, notes


def _write_taylorseer(policy: Policy, asked: Asked) -> Parts:
    notes: list[Note] = []
    predict = policy.predict
    order = {"copy": 0, "taylor": predict.order}.get(predict.method)
    if order is None or (order > 1 and predict.form != "published"):
        message = "predict: TaylorSeer extrapolates as it was published, or copies"
        notes.append(Note(NOT_CARRIED, ("predict",), message, "write `method: taylor`, `form: published`"))
    expected = Policy(compute=Compute(0, 0))
    for name in ("compute", "stacks", "refresh", "cfg"):
        if getattr(policy, name) != getattr(expected, name):
            notes.append(Note(NOT_CARRIED, (name,), f"{name}: TaylorSeer has no such setting"))
    bits = _bits(policy, asked, notes)
    found = next(_schedules(bits), None) if bits else None
    if bits and found is None:
        message = "steps: TaylorSeer computes a head, reuses one step, then computes every k-th; this is no such mask"
        notes.append(Note(NOT_CARRIED, ("steps",), message))
    interval, before, after = found or (5, 3, None)
    message = "predict: there every attention is extrapolated in its block, here each block list as a whole"
    notes.append(Note(DIFFERS, ("predict",), message))
    options: dict[str, Any] = {"cache_interval": interval, "disable_cache_before_step": before}
    if after is not None:
        options["disable_cache_after_step"] = after
    return "TaylorSeerCacheConfig", {**options, "max_order": order or 0}, notes


def _bits(policy: Policy, asked: Asked, notes: list[Note]) -> str:
    assert policy.steps is not None
    bits = getattr(policy.steps, "bits", None)
    if asked.steps is None and bits is None:
        notes.append(Note(NOT_CARRIED, ("steps",), "steps: it is written out there", "say --steps"))
        return ""
    try:
        return resolve_mask(policy.steps, asked.steps or len(str(bits)))
    except MaskMismatch as error:
        notes.append(Note(NOT_CARRIED, ("steps",), f"steps: {error}"))
        return ""


def _schedules(bits: str) -> Iterator[tuple[int, int, int | None]]:
    """Yield every interval, head and tail that give these bits, the simplest first."""
    steps = len(bits)
    head = len(bits) - len(bits.lstrip("1"))
    for after in (None, *range(steps - 1, head, -1)):
        for interval in range(1, steps + 1):
            if schedule(steps, interval, max(head, 1), after) == bits:
                yield interval, max(head, 1), after


WRITERS: dict[str | None, Callable[[Policy, Asked], Parts]] = {
    "residual": _write_first_block,
    "magnitude": _write_mag,
    "filtered_latent": _write_sea,
}

ENGINE = Engine(
    "diffusers",
    "diffusers 0.42.1's own caches",
    "Python; YAML or JSON by class name",
    knows,
    read,
    write,
    root=_root,
    refused=("`PyramidAttentionBroadcastConfig`, `FasterCacheConfig`, `TextKVCacheConfig`",),
)
