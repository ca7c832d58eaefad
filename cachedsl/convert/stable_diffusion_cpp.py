"""stable-diffusion.cpp: `--cache-mode`, `--cache-option`, `--scm-mask`, `--scm-policy`."""

from __future__ import annotations

from typing import Any

from cachedsl.convert.dbcache import from_options, to_options
from cachedsl.convert.engine import Asked, Engine, Written, names, plain
from cachedsl.convert.exporting import stack_notes, whole_notes
from cachedsl.convert.flags import misspelt, own
from cachedsl.convert.forms import Settings
from cachedsl.convert.notes import BAD_OPTION, DIFFERS, IDLE_OPTION, NOT_CARRIED, Converted, Note
from cachedsl.convert.options import Option, read_options
from cachedsl.convert.whole_steps import OFF, easycache
from cachedsl.language.kinds import Number, Whole
from cachedsl.language.misfit import Path
from cachedsl.language.policy import Policy
from cachedsl.text.scalars import resolve_scalar

NAME = "stable-diffusion.cpp"
MODE, OPTION, MASK, POLICY, PRESET = "--cache-mode", "--cache-option", "--scm-mask", "--scm-policy", "--cache-preset"
FLAGS = (MODE, OPTION, MASK, POLICY, PRESET)
BLOCKS: dict[str, Option] = {
    "Fn": Option(Whole(least=1), 8),
    "Bn": Option(Whole(), 0),
    "threshold": Option(Number(least=0), 0.08),
    "warmup": Option(Whole(), 8),
}
WHOLE: dict[str, Option] = {
    "threshold": Option(Number(least=0), 0.2),
    "start": Option(Number(least=0, most=1), 0.15),
    "end": Option(Number(least=0, most=1), 0.95),
}
SPELT = {
    "Fn": "Fn_compute_blocks",
    "Bn": "Bn_compute_blocks",
    "threshold": "residual_diff_threshold",
    "warmup": "max_warmup_steps",
}
MODES = ("easycache", "ucache", "dbcache", "taylorseer", "cache-dit", "spectrum")


def knows(settings: Settings) -> bool:
    """Tell whether a command is stable-diffusion.cpp's."""
    return bool(names(settings) & set(FLAGS))


def read(settings: Settings, asked: Asked) -> Converted:
    """Return the policy of a command's options."""
    given = plain(settings)
    said = own(given, FLAGS)
    notes = [*misspelt(given, FLAGS, NAME)]
    mode = said.get(MODE)
    if mode not in MODES:
        if mode is not None:
            message = f"{MODE}: `{mode}` is no mode"
            notes.append(Note(BAD_OPTION, (MODE,), message, f"one of {', '.join(MODES)}"))
        else:
            idle = [flag for flag in FLAGS if flag in said]
            notes += [Note(IDLE_OPTION, (flag,), f"{flag}: without {MODE} nothing is cached") for flag in idle]
        return Converted({"version": 1, **OFF}, tuple(notes))
    if PRESET in said:
        message = f"{PRESET}: what the presets set differs between releases"
        notes.append(Note(NOT_CARRIED, (PRESET,), message, f"write {OPTION} and {MASK} out"))
    if mode in ("ucache", "spectrum"):
        what = "it is for U-Nets" if mode == "ucache" else "Spectrum's fit has no counterpart here"
        notes.append(Note(NOT_CARRIED, (MODE,), f"{MODE}: {what}", "use another mode"))
        return Converted({}, tuple(notes))
    options = read_options(
        _pairs(str(said.get(OPTION) or ""), notes), WHOLE if mode == "easycache" else BLOCKS, NAME, (OPTION,)
    )
    if mode == "easycache":
        for flag in (MASK, POLICY):
            if flag in said:
                notes.append(Note(IDLE_OPTION, (flag,), f"{flag}: {mode} does not read it"))
        head, tail = (f"{round(share * 100)}%" for share in (options["start"], 1 - options["end"]))
        tree = easycache(options["threshold"], head, tail)
        return Converted({"version": 1, **tree}, (*notes, *options.notes), asked.steps)
    flat: dict[str, Any] = {SPELT[name]: value for name, value in options.values.items()}
    where: dict[str, Path] = {SPELT[name]: (OPTION,) for name in options.values}
    _mask(said, flat, where, notes)
    if mode == "taylorseer":
        message = f"{MODE}: what its own schedule skips differs from DBCache's, as which it is read"
        notes.append(Note(DIFFERS, (MODE,), message, "cache-dit is the mode with both"))
    if mode in ("taylorseer", "cache-dit"):
        flat |= {"enable_taylorseer": True, "enable_encoder_taylorseer": True, "taylorseer_order": 1}
    found = from_options(flat, where, asked)
    return Converted(found.tree, (*notes, *options.notes, *found.notes), found.steps)


def _pairs(text: str, notes: list[Note]) -> dict[str, Any]:
    """Return what `k=v,k=v` says."""
    found: dict[str, Any] = {}
    for pair in filter(None, (one.strip() for one in text.split(","))):
        name, sign, value = pair.partition("=")
        if not sign:
            notes.append(Note(BAD_OPTION, (OPTION,), f"{OPTION}: expected name=value, got `{pair}`"))
            continue
        if name.strip() in found:
            notes.append(Note(BAD_OPTION, (OPTION,), f"{OPTION}: `{name.strip()}` is set twice", "keep one of the two"))
        found[name.strip()] = resolve_scalar(value.strip())
    return found


def _mask(said: dict[str, Any], flat: dict[str, Any], where: dict[str, Path], notes: list[Note]) -> None:
    if MASK in said:
        cells = [cell.strip() for cell in str(said[MASK]).split(",")]
        if all(cell in ("0", "1") for cell in cells):
            flat["steps_computation_mask"] = [int(cell) for cell in cells]
            where["steps_computation_mask"] = (MASK,)
        else:
            message = f"{MASK}: expected 0 and 1 with commas between, got `{said[MASK]}`"
            notes.append(Note(BAD_OPTION, (MASK,), message))
    if POLICY in said:
        if said[POLICY] in ("dynamic", "static"):
            flat["steps_computation_policy"] = said[POLICY]
            where["steps_computation_policy"] = (POLICY,)
        else:
            message = f"{POLICY}: expected `dynamic` or `static`, got `{said[POLICY]}`"
            notes.append(Note(BAD_OPTION, (POLICY,), message))


_FIXED: dict[str, Any] = {
    "max_cached_steps": -1,
    "max_continuous_cached_steps": -1,
    "warmup_interval": 1,
    "enable_taylorseer": True,
    "enable_encoder_taylorseer": True,
    "taylorseer_order": 1,
    "num_inference_steps": None,
}


def write(policy: Policy, asked: Asked) -> Written:
    """Return the options of a command."""
    signal = policy.signal
    if signal is not None and policy.prune is None and signal.tap == "transform_rate":
        return _write_easycache(policy, asked)
    spelt = {option: name for name, option in SPELT.items()}
    spelt |= {"steps_computation_mask": MASK, "steps_computation_policy": POLICY}
    options, exported = to_options(policy, asked, NAME, spelt, _FIXED)
    notes = [note for note in exported.notes if "num_inference_steps" not in note.message]
    notes += stack_notes(exported.stacks, NAME)
    flags = {MODE: "cache-dit" if exported.options.get("enable_taylorseer") else "dbcache"}
    pairs = {name: value for name, value in options.items() if name in SPELT}
    flags[OPTION] = ",".join(f"{name}={value}" for name, value in pairs.items())
    if MASK in options:
        flags[MASK] = ",".join(map(str, options[MASK]))
        flags[POLICY] = options.get(POLICY, "dynamic")
    return Written(" ".join(f"{flag} {value}" for flag, value in flags.items()) + "\n", tuple(notes))


def _write_easycache(policy: Policy, asked: Asked) -> Written:
    notes = [note for note in whole_notes(policy, NAME, 1, 0) if note.path not in (("warmup",), ("tail",))]
    shares = []
    for name, steps in (("warmup", policy.warmup.steps), ("tail", policy.tail)):
        if isinstance(steps, str):
            shares.append(int(steps.removesuffix("%")) / 100)
        elif asked.steps is None:
            notes.append(Note(NOT_CARRIED, (name,), f"{name}: it is a share of the run there", "say --steps"))
            shares.append(0.0)
        else:
            shares.append(round(steps / asked.steps, 6))
    if policy.warmup.interval != 1:
        notes.append(Note(NOT_CARRIED, ("warmup", "interval"), f"warmup.interval: {NAME} has none"))
    pairs = {"threshold": policy.reuse.threshold, "start": shares[0], "end": round(1 - shares[1], 6)}
    said = ",".join(f"{name}={value}" for name, value in pairs.items())
    return Written(f"{MODE} easycache {OPTION} {said}\n", tuple(notes))


ENGINE = Engine(
    "stable-diffusion.cpp",
    "stable-diffusion.cpp",
    "options of a command",
    knows,
    read,
    write,
    refused=("`ucache`, which is for U-Nets; `spectrum`; `--cache-preset`",),
)
