"""What a signal looks at: one spec for each tap, from which everything else that depends on the tap is taken.

A new tap is one entry here, and the function or meter that `meter` names. Another package offers a `Tap` under the
entry point group `cachedsl.taps`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import evolve, field, frozen

from cachedsl.language.kinds import Key
from cachedsl.language.plugins import Registry
from cachedsl.plan.frozen import Frozen
from cachedsl.plan.rules import Holds, Source

COMPARED = ("reference", "metric", "rescale", "accumulate", "stride", "token_floor")
"""What every tap reads that is a tensor compared with itself at a reference."""


@frozen
class Tap:
    """One tap.

    Attributes:
        name: as policies spell it.
        words: what is looked at, or what the value is; `{front}` is the front blocks, parameters go by their names.
        source: where it is taken from; it tells when the signal is known.
        meter: `module:name` of what measures it: a function `(view, signal) -> tensor`, whose result is compared, or a
            class made with `(signal, setting)`; see `cachedsl.signals.base`.
        reads: the parameters of `reuse.signal` that it reads.
        defaults: of those, the defaults that differ from the language's.
        own: parameters that no other tap has, by name; for taps of other packages.
        requires: parameters that have no default for it.
        holds: what it keeps between steps.
        anchors: how many computed steps it needs before it can be measured.
        places: whether it must know where in the picture each part of the latent belongs.
        observes: whether it looks at every step; None is where it is compared with the step before.
        family: the methods that go by it, with their sources.
        idea: what these methods do, in a sentence or two, for the list of docs/language.md.
        published: the least and the greatest threshold that was published for it, with its default metric; None where
            it is not known.
    """

    name: str
    words: str
    source: Source
    meter: str
    reads: tuple[str, ...] = COMPARED
    defaults: Mapping[str, Any] = field(factory=Frozen, converter=Frozen)
    own: Mapping[str, Key] = field(factory=dict, hash=False)
    requires: tuple[str, ...] = ()
    holds: Holds = Holds("hidden", strided=True)
    anchors: int = 1
    places: bool = False
    observes: bool | None = None
    family: str = ""
    idea: str = ""
    published: tuple[float, float] | None = None

    @property
    def parameters(self) -> tuple[str, ...]:
        """Every parameter that it reads."""
        return (*self.reads, *self.own)


_HIDDEN_STATES = Tap(
    "hidden_states",
    "the output of {front}",
    source="front",
    meter="cachedsl.signals.hidden_states:hidden_states",
    family="a DBCache variant",
    idea="The same, but with the input in it: what the front blocks return is compared. Thresholds of `residual` do "
    "not carry over.",
)

BUNDLED = (
    Tap(
        "residual",
        "what {front} added to the input",
        source="front",
        meter="cachedsl.signals.residual:residual",
        family="First Block Cache, DBCache",
        idea="The first block runs on every step. While what it adds to its input has hardly changed, the others are "
        "reused. DBCache does so with any number of front blocks.",
        published=(0.05, 0.32),  # diffusers' default; the sweep of DBCache's table
    ),
    _HIDDEN_STATES,
    evolve(
        _HIDDEN_STATES,
        name="probe",
        defaults={"reference": "previous_step", "accumulate": "until_compute"},
        family="DiCache (arXiv 2508.17356)",
        idea="The first blocks are a probe of the whole model. What the probe moves from step to step is summed up "
        "until a step is computed.",
    ),
    Tap(
        "block_input",
        "what enters the blocks that may be skipped",
        source="unit_input",
        meter="cachedsl.signals.block_input:block_input",
        family="Dynamic Block Prune",
        idea="A block whose own input has hardly moved is skipped; `prune` decides so for each block. As a signal it "
        "decides for all skippable blocks together.",
    ),
    Tap(
        "modulated_input",
        "the first block's modulated input",
        source="modulated_input",
        meter="cachedsl.signals.modulated_input:modulated_input",
        defaults={"reference": "previous_step", "accumulate": "until_compute"},
        holds=Holds("modulated", strided=True),
        family="TeaCache (arXiv 2411.19108)",
        idea="The first block's norm scales and shifts its input by the timestep. That modulated input changes much "
        "as the model's output does, and costs one norm. Its changes, put through a polynomial that was fitted for "
        "the model, are summed up until a step is computed.",
        published=(0.03, 0.8),  # LTX-Video; FLUX.1-dev
    ),
    Tap(
        "magnitude",
        "the error of the calibrated ratios' running product",
        source="schedule",
        meter="cachedsl.signals.magnitude:MagnitudeMeter",
        reads=("rescale", "accumulate", "ratios"),
        defaults={"accumulate": "until_compute"},
        requires=("ratios",),
        holds=Holds(None),
        family="MagCache (arXiv 2506.09045)",
        idea="How the magnitude of the residual changes from step to step is measured once for a model, as ratios. A "
        "run multiplies the ratios since its last computed step, and sums up how far the product is from 1.",
        published=(0.06, 0.24),  # Qwen-Image; FLUX.1-dev
    ),
    Tap(
        "transform_rate",
        "the change of the model's output that the change of its input makes likely",
        source="model_input",
        meter="cachedsl.signals.transform_rate:TransformRateMeter",
        reads=("rescale", "accumulate"),
        defaults={"accumulate": "until_compute"},
        # the input before, input and output of the last computed step, and its rate
        holds=Holds("latent", tensors=3, numbers=1),
        anchors=2,
        observes=True,
        family="EasyCache (arXiv 2507.02860)",
        idea="Computed steps tell how much the model's output changes for a change of its input. With that rate, the "
        "change of the input alone says how much the output would have changed.",
        published=(0.025, 0.05),  # HunyuanVideo; Wan 2.1
    ),
    Tap(
        "filtered_latent",
        "the model's input behind a filter for spectra of power {exponent:g}",
        source="model_input",
        meter="cachedsl.signals.filtered_latent:filtered_latent",
        reads=("reference", "metric", "rescale", "accumulate", "stride", "exponent"),
        defaults={"reference": "previous_step", "accumulate": "until_compute"},
        holds=Holds("latent", strided=True, float32=True),
        places=True,
        family="SeaCache (arXiv 2602.18993)",
        idea="Two latents differ mostly in noise. A filter that lets the picture through and holds the noise back "
        "shows how far the picture itself has moved.",
    ),
)

TAPS: Registry[Tap] = Registry("cachedsl.taps", Tap, BUNDLED)
"""Every tap by name: those above, and those of other packages."""

DEFAULT, PRUNED = "residual", "block_input"
"""What is measured where a policy names no tap, and what pruned and back blocks measure."""
