"""The shape of a model, as far as a plan needs it."""

from __future__ import annotations

from itertools import groupby
from typing import Literal

from attrs import field, frozen

from cachedsl.plan.marks import BlockCount

Joins = Literal["as_is", "encoder_first", "hidden_first", "apart"]
"""What a list's hidden states are made of where it follows another one in a chain."""


@frozen
class StackShape:
    """One block list, or a chain of several (`span: joined`).

    Attributes:
        name: the attribute path of the list; of a chain the paths of all of its lists, joined by `+`.
        blocks: how many blocks it has.
        transformer: the pipeline's component name.
        lists: of a chain, names and block counts of its lists.
        modulated: whether the adapter says how the first block's modulated input is evaluated; none where no adapter
            was asked.
        long_skips: whether the last blocks read what the first ones return, as the adapter says.
        keeps: whether the adapter says `between: keep`.
        joins: what the list's hidden states are made of where it follows another one in a chain, as the adapter says;
            of a chain, `apart` where one of its lists is.
    """

    name: str
    blocks: BlockCount
    transformer: str = "transformer"
    lists: tuple[tuple[str, int], ...] = ()
    modulated: bool | None = None
    long_skips: bool = False
    keeps: bool = False
    joins: Joins = "as_is"

    @property
    def qualified(self) -> str:
        return f"{self.transformer}.{self.name}"

    @property
    def members(self) -> tuple[tuple[str, int], ...]:
        """Names and block counts of the lists that it is made of, in order."""
        return self.lists or ((self.name, self.blocks),)


@frozen
class ModelShape:
    """All block lists of a model, in order of execution: all that `compile_policy` must know of it.

    Attributes:
        stacks: of every transformer.
        label: what reports call the model.
        placeless: the transformers whose latent is a row of tokens, with nothing that says where they belong.
    """

    stacks: tuple[StackShape, ...] = field(converter=tuple[StackShape, ...])
    label: str = "model"
    placeless: tuple[str, ...] = ()

    def joined(self) -> ModelShape:
        """Return the shape in which consecutive lists of one transformer are one chain."""
        chains = []
        for transformer, run in groupby(self.stacks, key=lambda stack: stack.transformer):
            stacks = tuple(run)
            members = tuple((stack.name, stack.blocks) for stack in stacks)
            name, blocks = "+".join(name for name, _ in members), sum(count for _, count in members)
            lists = members if len(members) > 1 else ()
            skips, keeps = any(s.long_skips for s in stacks), any(s.keeps for s in stacks)
            joins: Joins = "apart" if any(s.joins == "apart" for s in stacks[1:]) else "as_is"
            chains.append(StackShape(name, blocks, transformer, lists, stacks[0].modulated, skips, keeps, joins))
        return ModelShape(chains, self.label, self.placeless)
