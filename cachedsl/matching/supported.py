"""What is supported: families, transformer classes and pipelines, as the adapters have them."""

from __future__ import annotations

from attrs import frozen

from cachedsl.matching.reading import load_adapters


@frozen
class Supported:
    """One transformer class.

    Attributes:
        family: of the adapter.
        transformer: the class's name in diffusers.
        stacks: its block lists in execution order, each with the pattern of its blocks.
        cfg: what its pipelines do with guidance on.
        pipelines: names of the pipeline classes that have it.
        verified: the diffusers version on which the tests run it.
    """

    family: str
    transformer: str
    stacks: tuple[tuple[str, str], ...]
    cfg: str
    pipelines: tuple[str, ...]
    verified: str


def supported_matrix() -> tuple[Supported, ...]:
    """Return every transformer class that an adapter knows, by family. docs/adapters.md is the same as a table.

    Example:
        >>> from cachedsl import supported_matrix
        >>> next(row.stacks for row in supported_matrix() if row.transformer == "DiTTransformer2DModel")
        (('transformer_blocks', 'hidden_only'),)
    """
    return tuple(
        Supported(
            family=adapter.family,
            transformer=name,
            stacks=tuple((path, stack.pattern) for path, stack in transformer.stacks.items()),
            cfg=transformer.cfg,
            pipelines=tuple(transformer.pipelines),
            verified=adapter.verified,
        )
        for adapter in load_adapters()
        for name, transformer in adapter.transformers.items()
    )


def supported_pipelines() -> tuple[str, ...]:
    """Return the names of the pipeline classes of diffusers whose transformer an adapter knows, sorted.

    Example:
        >>> from cachedsl import supported_pipelines
        >>> "FluxPipeline" in supported_pipelines()
        True
    """
    return tuple(sorted({pipeline for row in supported_matrix() for pipeline in row.pipelines}))
