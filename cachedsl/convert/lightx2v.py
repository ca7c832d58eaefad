"""LightX2V: `feature_caching` and what goes with it, among the keys of a model's JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cachedsl.convert.engine import Asked, Engine, names, plain
from cachedsl.convert.flags import misspelt, own
from cachedsl.convert.forms import Settings
from cachedsl.convert.notes import BAD_OPTION, DIFFERS, IDLE_OPTION, NOT_CARRIED, Converted, Note
from cachedsl.convert.options import Option, Options, read_options
from cachedsl.convert.whole_steps import (
    OFF,
    coefficients_of,
    first_block,
    magcache,
    models_with_coefficients,
    teacache,
)
from cachedsl.language.kinds import Either, Flag, ListOf, Number, Text, Whole, word

NAME = "LightX2V"
KINDS = ("NoCaching", "Tea", "TaylorSeer", "Ada", "Custom", "FirstBlock", "DualBlock", "DynamicBlock", "Mag")
_LISTS = ListOf("two lists of coefficients", ListOf("a list of coefficients", Number(), least=1), least=2, most=2)
_RATIOS = ListOf("one list of ratios a branch", ListOf("a list of ratios", Number(above=0), least=1), least=1, most=2)


TABLE: dict[str, Option] = {
    "feature_caching": Option(word(*KINDS), "NoCaching"),
    "infer_steps": Option(Whole(least=1)),
    "teacache_thresh": Option(Number(least=0), 0.26),
    "coefficients": Option(Either("two lists of coefficients, or a model", (_LISTS, Text("a model")))),
    "use_ret_steps": Option(Flag(), False),
    "residual_diff_threshold": Option(Number(least=0)),
    "downsample_factor": Option(Whole(least=1), 1),
    "magcache_thresh": Option(Number(least=0)),
    "magcache_K": Option(Whole()),
    "magcache_retention_ratio": Option(Number(least=0, most=1)),
    "magcache_ratios": Option(_RATIOS),
    "magcache_calibration": Option(Flag(), False),
}


def knows(settings: Settings) -> bool:
    """Tell whether settings are LightX2V's."""
    return settings.form == "yaml" and "feature_caching" in names(settings)


def read(settings: Settings, asked: Asked) -> Converted:
    """Return the policy of a configuration."""
    given = plain(settings)
    read = read_options(own(given, TABLE), TABLE, NAME)
    read.notes += misspelt(given, TABLE, NAME)
    steps = read["infer_steps"] or asked.steps
    model = asked.model or given.get("model_cls")
    kind = read["feature_caching"] if "feature_caching" in read.values or "feature_caching" not in given else None
    tree: dict[str, Any] = {}
    if "feature_caching" in given and given["feature_caching"] is None:
        read.note(BAD_OPTION, "feature_caching", "it is null", f"one of {', '.join(KINDS)}")
    if kind == "NoCaching":
        tree = dict(OFF)
    elif kind in MAKERS:
        tree = MAKERS[kind](read, Asked(steps, model if isinstance(model, str) else None))
    elif kind is not None:
        read.note(NOT_CARRIED, "feature_caching", f"`{kind}` {REFUSED[kind]}", "use another kind")
    if kind is not None:
        for name in read.values:
            if name not in (*ALWAYS, *READ.get(kind, ())) and (kind not in REFUSED):
                read.note(IDLE_OPTION, name, f"`{kind}` does not read it")
    return Converted({"version": 1, **tree} if tree else {}, tuple(read.notes), steps)


ALWAYS = ("feature_caching", "infer_steps")
_BLOCKS = ("residual_diff_threshold", "downsample_factor")
READ: dict[str, tuple[str, ...]] = {
    "Tea": ("teacache_thresh", "coefficients", "use_ret_steps"),
    "FirstBlock": _BLOCKS,
    "DualBlock": _BLOCKS,
    "DynamicBlock": _BLOCKS,
    "Mag": tuple(name for name in TABLE if name.startswith("magcache_")),
}
"""What each kind reads."""

REFUSED = {
    "TaylorSeer": "extrapolates inside the blocks on a schedule that is fixed in its code",
    "Ada": "has tables of its own from a distance to steps, which are no policy's",
    "Custom": "decides as TeaCache and extrapolates from the measured steps; write TeaCache and `predict: taylor`",
}


def _tea(read: Options, asked: Asked) -> dict[str, Any]:
    retained = read["use_ret_steps"]
    said = read["coefficients"]
    if isinstance(said, (list, tuple)):
        polynomial: Any = said[0 if retained else 1]
    else:
        model = said or asked.model
        polynomial = None if model is None else coefficients_of(str(model), retained)
    if polynomial is None:
        named = (
            f"there are no coefficients of `{said}` here" if said else "TeaCache needs the coefficients of the model"
        )
        read.note(NOT_CARRIED, "coefficients", named, f"write them, or name one of {models_with_coefficients()}")
        return {}
    if not retained:
        message = "without retained steps it measures the timestep embedding before its projection, here after it"
        read.note(DIFFERS, "use_ret_steps", message, "use retained steps and their coefficients")
    return teacache(read["teacache_thresh"], polynomial, head=5 if retained else 1, tail=0 if retained else 1)


def _needed(read: Options, *keys: str) -> bool:
    missing = [name for name in keys if name not in read.values]
    for name in missing:
        if not any(note.path == (name,) for note in read.notes):
            message = f"`{read['feature_caching']}` needs `{name}`"
            read.notes.append(Note(BAD_OPTION, ("feature_caching",), f"feature_caching: {message}"))
    return not missing


def _blocks(front: int, back: int) -> Callable[[Options, Asked], dict[str, Any]]:
    def make(read: Options, asked: Asked) -> dict[str, Any]:
        if not _needed(read, "residual_diff_threshold"):
            return {}
        signal: dict[str, Any] = {"tap": "residual", "reference": "previous_step"}
        if read["downsample_factor"] > 1:
            signal["stride"] = read["downsample_factor"]
        return first_block(read["residual_diff_threshold"], front, back, signal)

    return make


def _dynamic(read: Options, asked: Asked) -> dict[str, Any]:
    if not _needed(read, "residual_diff_threshold"):
        return {}
    if read["downsample_factor"] > 1:
        message = "a pruned block compares all channels of its own input here"
        read.note(NOT_CARRIED, "downsample_factor", message, "leave it out; nearly the same is measured", "warning")
    message = "there a block is compared with the step before, here with the step on which it last ran"
    read.note(DIFFERS, "residual_diff_threshold", message)
    return {"compute": "F0B0", "warmup": 1, "reuse": {"threshold": read["residual_diff_threshold"]}, "prune": {}}


def _mag(read: Options, asked: Asked) -> dict[str, Any]:
    needed = ("magcache_thresh", "magcache_K", "magcache_retention_ratio", "magcache_ratios")
    if not _needed(read, *needed):
        return {}
    if read["magcache_calibration"]:
        read.note(NOT_CARRIED, "magcache_calibration", "a policy does not calibrate", "cachedsl calibrate magnitude")
    rows = [list(row) for row in read["magcache_ratios"]]
    ratios: Any = rows[0] if len(rows) == 1 else {"cond": rows[0], "uncond": rows[1]}
    ratio = read["magcache_retention_ratio"]
    if asked.steps is None:
        read.note(BAD_OPTION, "magcache_retention_ratio", "it is a share of the run", "say `infer_steps`, or --steps")
        return {}
    head = max(int(asked.steps * ratio), 1)
    return magcache(read["magcache_thresh"], ratios, read["magcache_K"], head)


MAKERS: dict[str, Callable[[Options, Asked], dict[str, Any]]] = {
    "Tea": _tea,
    "FirstBlock": _blocks(1, 0),
    "DualBlock": _blocks(5, 5),
    "DynamicBlock": _dynamic,
    "Mag": _mag,
}

ENGINE = Engine(
    "lightx2v",
    "LightX2V",
    "a model's JSON",
    knows,
    read,
    refused=("`TaylorSeer`, `Ada` and `Custom`", "`Tea` without coefficients, or a model that has them"),
)
