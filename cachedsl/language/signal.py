"""What is measured: a tap, and how its values become the number that is compared."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from attrs import Factory, field, frozen

from cachedsl.language import taps
from cachedsl.language.kinds import Key, ListOf, Number, Whole, Word, listed_all, word
from cachedsl.language.part import Part, differing, key, sets, tree_of
from cachedsl.language.ratios import Ratios, RatiosKind
from cachedsl.plan.frozen import Frozen


def _of_tap(name: str, default: Any) -> Any:
    return Factory(lambda signal: taps.TAPS[signal.tap].defaults.get(name, default), takes_self=True)


TAP = Word(choices=taps.TAPS)


@frozen
class Signal:
    """What is measured; the tap's spec says which parameters it reads, and their defaults.

    Attributes:
        own: parameters that only this tap has; for taps of other packages.
    """

    PART: ClassVar[Part] = Part(
        "reuse.signal",
        lambda: f"{listed_all(taps.TAPS)}, or a mapping with tap and its parameters",
        "What is measured.",
        (sets("tap", TAP),),
    )
    tap: str = key(taps.DEFAULT, TAP, "What is looked at.", shown="required", required=True)
    reference: Literal["last_computed", "previous_step"] = key(
        _of_tap("reference", "last_computed"),
        word("last_computed", "previous_step"),
        "What it is compared with: the tap at the last computed step, or at the step before.",
        shown="the tap's",
    )
    metric: Literal["relative_l1", "relative_l2", "cosine"] = key(
        "relative_l1", word("relative_l1", "relative_l2", "cosine"), "How the distance between both is measured."
    )
    rescale: tuple[float, ...] | None = key(
        None,
        ListOf("a list of coefficients, highest degree first", Number(), least=1, most=32),
        "Coefficients of a polynomial in the measured value, highest degree first; not clamped.",
    )
    accumulate: Literal["none", "until_compute", "lifetime"] = key(
        _of_tap("accumulate", "none"),
        word("none", "until_compute", "lifetime"),
        "The threshold bounds the value itself, its sum since the last computed step, or its sum over the run.",
        shown="the tap's",
    )
    stride: int = key(1, Whole(least=1), "Only every k-th channel is compared, and kept.")
    token_floor: float = key(
        0.0,
        Number(least=0),
        "Only tokens that moved by more than this by themselves (relative L1) count. Where there are none, all count.",
    )
    exponent: float = key(2.0, Number(least=0, most=8), "Of `filtered_latent`: the power law of the signal's spectrum.")
    ratios: Ratios | None = key(None, RatiosKind(), "Of `magnitude`: calibrated ratios, one a step.", shown="required")
    own: Frozen = field(default=Frozen(), converter=Frozen)

    @staticmethod
    def brought() -> dict[str, Key]:
        """Return the parameters that taps of other packages bring."""
        return {name: one for tap in taps.TAPS.values() for name, one in tap.own.items()}

    @property
    def spec(self) -> taps.Tap:
        """What the tap is."""
        return taps.TAPS[self.tap]

    @property
    def after_front(self) -> bool:
        """Whether it exists only after the front blocks; else it does before any block runs."""
        return self.spec.source == "front"

    @property
    def observes(self) -> bool:
        """Whether it is looked at on every step, for the next one is compared with it."""
        observes = self.spec.observes
        compared = "reference" in self.spec.reads and self.reference == "previous_step"
        return compared if observes is None else observes

    def said(self) -> dict[str, Any]:
        """Return the tap, and what it reads and differs from what its name stands for."""
        differs = differing(tree_of(self), tree_of(Signal(self.tap)))
        return {"tap": self.tap} | {name: differs[name] for name in self.spec.parameters if name in differs}

    def written(self) -> Any:
        """Return the tap's name alone where it says all."""
        said = self.said()
        return said if len(said) > 1 else self.tap

    @property
    def parameters(self) -> dict[str, Any]:
        """Every parameter that the tap reads."""
        brought = {name: one.default for name, one in self.spec.own.items()}
        return {name: getattr(self, name) for name in self.spec.reads} | brought | dict(self.own)
