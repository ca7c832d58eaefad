"""The parts of a policy: every key once, with its type, default, bounds and words.

Everything else that depends on a key is made from here: JSON Schema, the key tables of docs/language.md, reading and
writing, completion, the strategies of the property tests.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from attrs import NOTHING, field, frozen

from cachedsl.language import methods
from cachedsl.language.kinds import Either, Flag, Key, ListOf, Number, Share, Text, Whole, Word, listed_all, word
from cachedsl.language.masks import AtMask, BitMask, BudgetMask, EveryMask, Mask, PresetMask, RunsMask
from cachedsl.language.part import Part, Short, differing, key, part_of, sets, tree_of
from cachedsl.language.ratios import Ratios
from cachedsl.language.signal import Signal
from cachedsl.plan.frozen import Frozen

Always = Literal["always"]
ClockName = Literal["step", "timestep", "sigma"]
CfgMode = Literal["auto", "fused", "separate"]
FNBM = r"^F[0-9]{1,4}B[0-9]{1,4}$"


def _front_and_back(text: str) -> dict[str, int]:
    front, _, back = text[1:].partition("B")
    return {"front": int(front), "back": int(back)}


def _fnbm(tree: Any) -> str | None:
    rest = [value for name, value in tree.items() if name not in ("front", "back")]
    front, back = tree.get("front"), tree.get("back")
    small = all(isinstance(n, int) and n <= 9999 for n in (front, back))
    return f"F{front}B{back}" if small and not any(value is not None for value in rest) else None


@frozen
class Compute:
    """How many blocks of every stack always run, at its front and at its back.

    With `back_blocks` only those of the back (indices from 0 within it) always run: on reused steps each other back
    block runs when its own input moved by at least `back_threshold` since it last ran, else it adds its last residual.
    """

    PART: ClassVar[Part] = Part(
        "compute",
        "`FnBm`, such as F8B0, or a mapping with front and back",
        "How many blocks of every stack always run, at its front and at its back.",
        (Short(Text("`FnBm`, such as F8B0", FNBM), _front_and_back, _fnbm),),
    )
    front: int = key(8, Whole(), "How many blocks at the front always run.")
    back: int = key(
        0, Whole(), "How many blocks at the back always run. On reused steps they refine the approximation."
    )
    back_blocks: tuple[int, ...] | None = key(
        None,
        ListOf("a list of indices within the back", Whole("an index of at least 0 within the back"), ordered=False),
        "Which back blocks always run, counted from 0 within the back. The others decide for themselves.",
        shown="all",
    )
    back_threshold: float | None = key(
        None,
        Number(least=0),
        "The threshold of the other back blocks. On a reused step, each runs where its own input has moved by at least "
        "this since it last ran; else it adds its last residual.",
        shown="with `back_blocks`",
    )


STEPS = Either("a whole number of at least 0, or a share such as `20%`", (Whole(), Share()))
"""A count of steps, or a share of the run's, rounded half up."""


@frozen
class Warmup:
    """Steps at the head of the run that are computed in full; with `interval` k, only every k-th of them."""

    PART: ClassVar[Part] = Part(
        "warmup",
        "a whole number of at least 0, a share such as `20%`, or a mapping with steps and interval",
        "The first steps of a run, which are computed in full. They are counted from the last refresh.",
        (sets("steps", STEPS),),
    )
    steps: int | str = key(
        8,
        STEPS,
        "How many steps, or which share of the run. With a mask, no more than the 1s that it begins with.",
        examples=(8, "20%"),
    )
    interval: int = key(1, Whole(least=1), "Only every k-th step of the warmup is forced, beginning with the first.")


@frozen
class Accumulated:
    """A bound on the sum of measured values; `never` makes it a budget for the whole run."""

    PART: ClassVar[Part] = Part(
        "reuse.max_accumulated",
        "a number of at least 0, or a mapping with limit and reset",
        "A step is computed once the sum of measured values reaches it.",
        (sets("limit", Number(least=0)),),
    )
    limit: float = key(NOTHING, Number(least=0), "The sum at which a step is computed.")
    reset: Literal["on_compute", "never"] = key(
        "on_compute",
        word("on_compute", "never"),
        "`on_compute`: the sum begins anew at each computed step. `never`: it is a budget for the whole run.",
    )


@frozen
class Reuse:
    """When a step may be reused. `threshold` `always` measures nothing; 0 computes every step."""

    PART: ClassVar[Part] = Part("reuse", "a mapping with threshold, signal and limits", "When a step may be reused.")
    threshold: float | Always = key(
        0.08,
        Either("a finite number of at least 0, or `always`", (word("always"), Number(least=0))),
        "A step is reused when the signal is below it. `always` measures nothing and reuses whenever the guards allow. "
        "`0` computes every step.",
        examples=(0.08, "always"),
    )
    signal: Signal = key(Signal(), part_of(Signal), "What is measured to decide about a step.", shown="`residual`")
    max_total: int | None = key(None, Whole(), "How many steps may be reused in a run, for each branch.")
    max_continuous: int | None = key(None, Whole(), "How many steps may be reused in a row.")
    max_accumulated: Accumulated | None = key(
        None, part_of(Accumulated), "A step is computed once the sum of measured values reaches it."
    )


METHOD = Word(choices=methods.METHODS)


@frozen
class Predict:
    """How a reused result is approximated; the method's spec says which parameters it reads.

    Attributes:
        own: parameters that only this method has; for methods of other packages.
    """

    PART: ClassVar[Part] = Part(
        "predict",
        lambda: f"{listed_all(methods.METHODS)}, or a mapping with method and its parameters",
        "How a reused result is approximated.",
        (sets("method", METHOD),),
    )
    method: str = key(methods.DEFAULT, METHOD, "The predictor.")
    order: int = key(1, Whole(least=1, most=10), "The order of the polynomial.")
    form: Literal["exact", "published"] = key(
        "exact", word("exact", "published"), "Of `taylor`: exact on polynomials of its order, or as it was published."
    )
    scale: float = key(0.5, Number(above=0, most=1), "Of `hermite`: the contraction of its basis.")
    history: int = key(6, Whole(least=4, most=64), "Of `dmd`: how many computed steps it fits.")
    rank: int = key(0, Whole(most=64), "Of `dmd`: how many modes it keeps; 0 is as many as the computed steps show.")
    ridge: float = key(
        1e-8, Number(least=0, most=1), "Of `dmd`: its regularisation, relative to the largest singular value."
    )
    clip: tuple[float, float] = key(
        (1.0, 1.5),
        ListOf("a list of two numbers, the lower bound first", Number(least=0), least=2, most=2),
        "Of `probe_gain`: the bounds of the gain.",
    )
    target: Literal["residual", "hidden_states"] = key(
        "residual",
        word("residual", "hidden_states"),
        "What is extrapolated: what the skipped blocks add, or what they return.",
    )
    streams: tuple[Literal["hidden", "encoder"], ...] | None = key(
        None,
        ListOf("a list of `hidden` and `encoder`", word("hidden", "encoder"), least=1, unique=True),
        "Which streams are extrapolated; the others are copied.",
        shown="all",
    )
    clock: ClockName = key(
        "step",
        word("step", "timestep", "sigma"),
        "What the distance between steps is measured in. `timestep` and `sigma` need a scheduler that has them.",
    )
    repay: float = key(
        0.0,
        Number(least=0, most=1),
        "How much of the last gap's error each reused step takes back.",
    )
    horizon: int | None = key(
        None, Whole(least=1), "The predictor copies on steps that are further than this from the last computed one."
    )
    own: Frozen = field(default=Frozen(), converter=Frozen)

    @staticmethod
    def brought() -> dict[str, Key]:
        """Return the parameters that methods of other packages bring."""
        return {name: one for method in methods.METHODS.values() for name, one in method.own.items()}

    @property
    def spec(self) -> methods.Method:
        """What the method is."""
        return methods.METHODS[self.method]

    def said(self) -> dict[str, Any]:
        """Return the method, and what it reads and differs from what its name stands for."""
        differs = differing(tree_of(self), tree_of(Predict(self.method)))
        return {"method": self.method} | {name: differs[name] for name in self.spec.parameters if name in differs}

    def written(self) -> Any:
        """Return the method, and every parameter that it reads."""
        tree = tree_of(self)
        return {name: tree[name] for name in tree if name in ("method", *self.spec.parameters)}

    @property
    def parameters(self) -> dict[str, Any]:
        """Every parameter that the method reads."""
        brought = {name: one.default for name, one in self.spec.own.items()}
        return {name: getattr(self, name) for name in self.spec.reads} | brought | dict(self.own)


@frozen
class Features:
    """How the results that are kept between steps are held."""

    PART: ClassVar[Part] = Part(
        "features",
        "a mapping with dtype and device",
        "How the results that are kept between steps are held. It changes no decision.",
    )
    dtype: Literal["float32", "bfloat16", "float16"] | None = key(
        None,
        word("float32", "bfloat16", "float16"),
        "In which precision they are held. What is predicted from them is returned in the block's own.",
        shown="the block's",
    )
    device: Literal["cpu"] | None = key(
        None,
        word("cpu"),
        "Where they are held. With `cpu`, predictors calculate on the CPU, and their results go to the block's device.",
        shown="the block's",
    )


@frozen
class Dynamic:
    """A threshold that grows with the step: `relax` times the mean of what was measured, up to `max` (2 thresholds)."""

    PART: ClassVar[Part] = Part(
        "prune.dynamic",
        "a mapping with relax and max, or {}",
        "Where it is present, even as `{}`, the threshold adapts to what was measured in the step.",
    )
    relax: float = key(
        1.25, Number(above=0), "The factor on the mean of the positive values among the first five of the step."
    )
    max: float | None = key(
        None,
        Number(least=0),
        "The adapted threshold holds where it lies between the threshold and this.",
        shown="2 × threshold",
    )


@frozen
class Prune:
    """Every block decides for itself (Dynamic Block Prune)."""

    PART: ClassVar[Part] = Part(
        "prune",
        "a mapping with keep, dynamic and update_interval, or {}",
        "Where it is present, even as `{}`, every block decides for itself (Dynamic Block Prune).",
    )
    keep: tuple[int, ...] = key(
        (),
        ListOf("a list of block indices", Whole("a block index of at least 0"), ordered=False),
        "Blocks that are never pruned, besides front and back.",
    )
    dynamic: Dynamic | None = key(None, part_of(Dynamic), "The threshold adapts to what was measured in the step.")
    update_interval: int = key(
        1, Whole(least=1), "On every k-th step only, a computed block replaces what it is reused with."
    )


AT = Whole("a step index of at least 1", least=1)


@frozen
class Refresh:
    """Drop all history before step `at` (0-based), or before every multiple of `at` when `repeat`."""

    PART: ClassVar[Part] = Part(
        "refresh",
        "a step index of at least 1, or a mapping with at and repeat",
        "Drop all history before that step and start a new warmup with fresh budgets.",
        (sets("at", AT),),
        whole=True,
    )
    at: int = key(NOTHING, AT, "The step, counted among those that this branch of the transformer has seen.")
    repeat: bool = key(False, Flag(), "Whether this happens before every multiple of `at`.")


@frozen
class Cfg:
    """How classifier-free guidance reaches the transformer, and whether its branches decide together."""

    PART: ClassVar[Part] = Part(
        "cfg",
        "`auto`, `fused`, `separate`, or a mapping with mode, order and decision",
        "How classifier-free guidance reaches the transformer.",
        (sets("mode", word("auto", "fused", "separate")),),
    )
    mode: CfgMode = key(
        "auto",
        word("auto", "fused", "separate"),
        "`fused`: one call for all branches. `separate`: one call each. `auto`: as the pipeline says, else as the "
        "adapter says. Calls are counted as they are made.",
    )
    order: Literal["cond_first", "uncond_first"] = key(
        "cond_first",
        word("cond_first", "uncond_first"),
        "The order of the calls, where the pipeline does not name them.",
    )
    decision: Literal["per_branch", "follow_first"] = key(
        "per_branch",
        word("per_branch", "follow_first"),
        "`follow_first`: later branches of a step do as the first did, unless their own guards force a compute.",
    )


__all__ = [
    "Accumulated",
    "AtMask",
    "BitMask",
    "BudgetMask",
    "Cfg",
    "Compute",
    "Dynamic",
    "EveryMask",
    "Features",
    "Mask",
    "Predict",
    "PresetMask",
    "Prune",
    "Ratios",
    "Refresh",
    "Reuse",
    "RunsMask",
    "Signal",
    "Warmup",
]
