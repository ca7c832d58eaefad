"""nunchaku: `apply_cache_on_pipe(pipe, use_double_fb_cache=…, residual_diff_threshold=…)`."""

from __future__ import annotations

from typing import Any

from cachedsl.convert.engine import Asked, Engine, names, plain
from cachedsl.convert.forms import CALL, Settings, call_name
from cachedsl.convert.notes import IDLE_OPTION, NOT_CARRIED, Converted
from cachedsl.convert.options import ANY, Option, read_options
from cachedsl.convert.whole_steps import coefficients_of, first_block, models_with_coefficients
from cachedsl.language.kinds import Flag, Number, Text, Whole
from cachedsl.text.tree import Node

NAME = "nunchaku"


TABLE: dict[str, Option] = {
    "0": ANY,
    "pipe": ANY,
    "verbose": ANY,
    "use_double_fb_cache": Option(Flag(), False),
    "residual_diff_threshold": Option(Number(least=0), 0.12),
    "residual_diff_threshold_multi": Option(Number(least=0)),
    "residual_diff_threshold_single": Option(Number(least=0)),
}
TEACACHE: dict[str, Option] = {
    "0": ANY,
    "model": ANY,
    "num_steps": Option(Whole(least=1), 50),
    "rel_l1_thresh": Option(Number(least=0), 0.6),
    "skip_steps": Option(Whole(), 0),
    "enabled": Option(Flag(), True),
    "model_name": Option(Text("a model"), "flux"),
}
DOUBLE = ("use_double_fb_cache", "residual_diff_threshold_multi", "residual_diff_threshold_single")
CALLS = ("apply_cache_on_pipe", "apply_cache_on_transformer")


def _call(settings: Settings) -> Node | None:
    """Return the call that enables a cache."""
    for call in settings.calls:
        own = call_name(call) in CALLS and set(call.mapping) <= {CALL, *TABLE}
        if own or call_name(call) == "TeaCache":
            return call
    return None


def knows(settings: Settings) -> bool:
    """Tell whether settings are nunchaku's."""
    if settings.form == "python":
        return _call(settings) is not None
    return bool(names(settings) & set(DOUBLE))


def read(settings: Settings, asked: Asked) -> Converted:
    """Return the policy of a call, or of its arguments in a file."""
    given = plain(settings)
    kind = given.pop(CALL, None)
    if kind == "TeaCache":
        return _teacache(given, asked)
    read = read_options(given, TABLE, NAME)
    threshold = read["residual_diff_threshold"]
    multi = read["residual_diff_threshold_multi"]
    multi = threshold if multi is None else multi
    if not read["use_double_fb_cache"]:
        if "residual_diff_threshold_single" in read.values:
            read.note(IDLE_OPTION, "residual_diff_threshold_single", "only `use_double_fb_cache` reads it")
        return Converted({"version": 1, **first_block(multi)}, tuple(read.notes), asked.steps)
    single = read["residual_diff_threshold_single"]
    if single is None:
        message = "without `residual_diff_threshold_single` releases differ: some compute the single blocks always"
        read.note(NOT_CARRIED, "use_double_fb_cache", message, "write `residual_diff_threshold_single`")
        return Converted({}, tuple(read.notes), asked.steps)
    tree: dict[str, Any] = {"compute": "F1B0", "warmup": 1, "reuse": {"threshold": multi}}
    tree["stacks"] = {"single_transformer_blocks": {"reuse": {"threshold": single}}}
    return Converted({"version": 1, **tree}, tuple(read.notes), asked.steps)


def _teacache(given: dict[str, Any], asked: Asked) -> Converted:
    read = read_options(given, TEACACHE, NAME)
    polynomial = coefficients_of(read["model_name"])
    if polynomial is None:
        message = f"there are no coefficients of `{read['model_name']}` here"
        read.note(NOT_CARRIED, "model_name", message, f"name one of {models_with_coefficients()}")
        return Converted({}, tuple(read.notes), asked.steps)
    message = "it takes the absolute value of the polynomial, which is not clamped here"
    name = "rel_l1_thresh" if "rel_l1_thresh" in read.values else next(iter(given), "rel_l1_thresh")
    read.note(NOT_CARRIED, name, message, "use its First Block Cache")
    return Converted({}, tuple(read.notes), read["num_steps"])


ENGINE = Engine(
    "nunchaku",
    "nunchaku",
    "Python; its arguments in YAML or JSON",
    knows,
    read,
    root=lambda settings: _call(settings) if settings.form == "python" else settings.root,
    refused=("its TeaCache, which takes the absolute value of the polynomial",),
)
