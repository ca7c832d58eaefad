"""The `runtime` section: what is done to the models before they are driven. It never changes what is cached.

Each key of `Runtime` is one engine, `cachedsl/engines/<key>.py`, and they are engaged in the order of the keys.
"""

from __future__ import annotations

from typing import Any, ClassVar

from attrs import NOTHING, frozen

from cachedsl.language.by_name import PartsByName
from cachedsl.language.kinds import Flag, ListOf, Text, Whole, Word, listed_all
from cachedsl.language.part import Part, key, keys_of, part_of, sets
from cachedsl.language.plugins import Registry


@frozen
class Quantization:
    """One kind of quantised weights.

    Attributes:
        name: as policies spell it.
        words: what becomes of weights and activations.
    """

    name: str
    words: str


QUANTIZATIONS: Registry[Quantization] = Registry(
    "cachedsl.quantizations",
    Quantization,
    (
        Quantization("int8_weight_only", "weights in int8, one scale an output channel; activations as they are"),
        Quantization("int8_dynamic", "weights in int8, activations in int8 with a scale that is measured in each call"),
        Quantization("float8_weight_only", "weights in float8 (e4m3); activations as they are"),
        Quantization("float8_dynamic", "weights in float8 (e4m3), activations in float8 with a measured scale"),
        Quantization("int4_weight_only", "weights in int4, one scale a group of inputs; activations as they are"),
    ),
)
"""Every kind by name, those of other packages among them; the engine says what a machine can do."""

KIND = Word(choices=QUANTIZATIONS)


@frozen
class Quantize:
    """How the linear layers of one component are quantised."""

    PART: ClassVar[Part] = Part(
        "runtime.quantize",
        lambda: f"{listed_all(QUANTIZATIONS)}, or a mapping with kind and exclude",
        "How the linear layers of one component are quantised.",
        (sets("kind", KIND),),
    )
    kind: str = key(NOTHING, KIND, "What becomes of weights and activations.")
    exclude: tuple[str, ...] = key(
        (),
        ListOf("a list of layer names or globs", Text("a layer's name or a glob", least=1)),
        "Layers that stay as they are, by their dotted name in the component, one of its parts (`proj_out`) or a glob.",
    )


@frozen
class Parallel:
    """How one run is split over the processes that `torchrun` started."""

    PART: ClassVar[Part] = Part(
        "runtime.parallel",
        "a mapping with ulysses, ring, tensor, uneven and verify",
        "How one run is split over the processes of `torchrun`, see docs/parallel.md.",
    )
    ulysses: int = key(
        1, Whole(least=1), "Context parallelism: processes that share tokens, and heads inside the attention."
    )
    ring: int = key(1, Whole(least=1), "Context parallelism: processes that share tokens, and pass keys and values on.")
    tensor: int = key(1, Whole(least=1), "Tensor parallelism: processes that share the weights of each layer.")
    uneven: bool = key(False, Flag(), "Whether token counts are taken that `ulysses` or `ring` does not divide.")
    verify: bool = key(
        False, Flag(), "Whether the processes compare their verdicts at each step, and all raise where they differ."
    )

    @property
    def asked(self) -> bool:
        """Whether anything is to be split."""
        return self.ulysses * self.ring * self.tensor > 1


COMPONENT = Text("the name of a pipeline's component", "^[A-Za-z_][A-Za-z0-9_]*$")


@frozen
class Runtime:
    """What is done to the models of a pipeline before they are driven."""

    PART: ClassVar[Part] = Part(
        "runtime",
        "a mapping with quantize and parallel",
        "What is done to the models before they run. It never changes what is cached.",
    )
    quantize: tuple[tuple[str, Quantize], ...] = key(
        (),
        PartsByName("a mapping of components to kinds of quantisation", Quantize, COMPONENT, "COMPONENT"),
        "The components whose linear layers are quantised. A bare transformer is called `transformer`.",
        shown="`{}`",
    )
    parallel: Parallel = key(Parallel(), part_of(Parallel), Parallel.PART.words, shown="one process")

    def asked(self) -> dict[str, Any]:
        """Return what is asked of each engine, by its key; nothing for one that has nothing to do."""
        parts = {name: getattr(self, one.name) for name, one in keys_of(Runtime).items()}
        return {name: part for name, part in parts.items() if part != getattr(Runtime(), name)}
