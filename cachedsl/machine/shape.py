"""The shape of a model, as far as a plan needs it."""

from __future__ import annotations

from attrs import field, frozen


@frozen
class StackShape:
    """One block list: `transformer` is the pipeline's component name, `name` the attribute path of the list."""

    name: str
    blocks: int
    transformer: str = "transformer"

    @property
    def qualified(self) -> str:
        return f"{self.transformer}.{self.name}"


@frozen
class ModelShape:
    """All stacks, in execution order; `label` is what reports call the model."""

    stacks: tuple[StackShape, ...] = field(converter=tuple[StackShape, ...])
    label: str = "model"
