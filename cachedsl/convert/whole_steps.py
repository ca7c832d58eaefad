"""Caches that skip all blocks of a step, which many engines have: TeaCache, MagCache, EasyCache, First Block Cache."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from cachedsl.convert.engine import Asked
from cachedsl.convert.notes import NOT_CARRIED
from cachedsl.convert.options import Options
from cachedsl.language.published import COEFFICIENTS

Tree = dict[str, Any]

_SPELT = {
    "flux": r"flux(\.?1)?([._-]?dev)?",
    "flux-kontext": r"flux(\.?1)?[._-]?kontext([._-]?dev)?",
    "hunyuan-video": r"hunyuan[._-]?video",
    "wan2.1-t2v-1.3b": r"wan(2\.?1)?[._-]?t2v[._-]?1\.?3b([._-]?diffusers)?",
    "wan2.1-t2v-14b": r"wan(2\.?1)?[._-]?t2v[._-]?14b([._-]?diffusers)?",
    "cogvideox1.5": r"cogvideox[._-]?1\.5([._-]?5b)?",
    "ltx-video": r"ltx[._-]?video",
    "lumina2": r"lumina[._-]?(image[._-]?)?2(\.0)?",
    "hidream-i1": r"hidream[._-]?i1([._-]?(full|dev|fast))?",
}


def coefficients_of(model: str, retained: bool = False) -> tuple[float, ...] | None:
    """Return TeaCache's polynomial for a model, by any usual spelling of its name; None where there is none."""
    name = model.rpartition("/")[2].strip().lower().replace("_", "-")
    for known, pattern in _SPELT.items():
        if re.fullmatch(pattern, name):
            special = f"{known}-retained"
            return COEFFICIENTS[special] if retained and special in COEFFICIENTS else COEFFICIENTS[known]
    return None


def models_with_coefficients() -> str:
    """Return the names of the models that have a polynomial, for messages."""
    return ", ".join(_SPELT)


def whole(threshold: float, signal: Any, *, head: Any = 1, tail: Any = 0, **reuse: Any) -> Tree:
    """Return a policy that decides over whole steps, by a signal that is known before any block runs."""
    limits = {key: value for key, value in reuse.items() if value is not None}
    tree: Tree = {"compute": "F0B0", "span": "joined", "warmup": head}
    if tail:
        tree["tail"] = tail
    if threshold == 0:
        return {**tree, "reuse": {"threshold": 0}}
    return {**tree, "reuse": {"threshold": threshold, **limits, "signal": signal}}


def teacache(threshold: float, polynomial: Sequence[float], *, head: Any = 1, tail: Any = 1) -> Tree:
    """Return TeaCache (arXiv 2411.19108)."""
    return whole(threshold, {"tap": "modulated_input", "rescale": list(polynomial)}, head=head, tail=tail)


def magcache(threshold: float, ratios: Any, longest: int, head: Any) -> Tree:
    """Return MagCache (arXiv 2506.09045)."""
    return whole(threshold, {"tap": "magnitude", "ratios": ratios}, head=head, max_continuous=longest)


def easycache(threshold: float, head: Any, tail: Any) -> Tree:
    """Return EasyCache (arXiv 2507.02860)."""
    return whole(threshold, "transform_rate", head=head, tail=tail)


def first_block(threshold: float, front: int = 1, back: int = 0, signal: Any = None) -> Tree:
    """Return First Block Cache: what the first blocks of the whole transformer add decides over all others."""
    reuse: Tree = {"threshold": threshold}
    if signal is not None and threshold:
        reuse["signal"] = signal
    return {"compute": f"F{front}B{back}", "span": "joined", "warmup": 1, "reuse": reuse}


def retained(ratio: float, steps: int | None) -> Any:
    """Return the head of a share of the run, in steps, rounded half up; without a step count as a share."""
    if steps is not None:
        return max(int(ratio * steps + 0.5), 1)
    return f"{round(ratio * 100)}%"


def sea_cache(threshold: float, order: int, longest: int, power: float, *, head: int = 1, tail: int = 1) -> Tree:
    """Return SeaCache (arXiv 2602.18993) with its residual extrapolated."""
    signal = "filtered_latent" if power == 2 else {"tap": "filtered_latent", "exponent": power}
    tree = whole(threshold, signal, head=head, tail=tail, max_continuous=longest or None)
    return {**tree, "predict": "taylor"} if order else tree


OFF: Tree = {"reuse": {"threshold": 0}}
"""Every step is computed, as where an engine's cache is off."""


def polynomial_of(read: Options, asked: Asked, retained: bool = False) -> Any:
    """Return the coefficients that settings say or name, else those of the model; None, with a note, without any."""
    said = read["coefficients"]
    if said is not None and not isinstance(said, str):
        return list(said)
    model = said or asked.model
    found = None if model is None else coefficients_of(str(model), retained)
    if found is None:
        message = f"there are no coefficients of `{model}` here" if model else "the engine takes those of its model"
        hint = f"write them, or name one of {models_with_coefficients()}"
        read.note(NOT_CARRIED, "coefficients", message, hint)
    return found
