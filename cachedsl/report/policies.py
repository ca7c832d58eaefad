"""The bundled policies: what each is, and what it holds in memory."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen

from cachedsl.loading import bundled_policies, load_policy
from cachedsl.lower.compile import compile_policy
from cachedsl.matching.reading import find_adapter
from cachedsl.text.finding import PolicyError

MODEL = "flux.1-dev"
STEPS = 28
SHAPES = {"hidden": (1, 4096, 3072), "encoder": (1, 512, 3072), "latent": (1, 4096, 64)}
"""One image of 1024 x 1024 on FLUX.1-dev: 4096 image tokens and 512 of text, bfloat16, guidance distilled."""


@frozen
class Entry:
    """One bundled policy; `memory` is in bytes, None where the model cannot have the policy."""

    name: str
    description: str
    memory: int | None


def catalogue() -> Iterator[Entry]:
    """Yield every bundled policy, in the order of their names."""
    shape = find_adapter(MODEL).shape()
    for name in bundled_policies():
        policy = load_policy(name)
        try:
            memory = compile_policy(policy, shape, STEPS).memory(SHAPES).total
        except PolicyError:
            memory = None
        yield Entry(name, policy.description, memory)


def to_markdown() -> str:
    """Write the catalogue as the page `docs/policies.md`."""
    rows = [
        f"| `{entry.name}` | {entry.description} | {'–' if entry.memory is None else megabytes(entry.memory)} |"
        for entry in catalogue()
    ]
    head = (
        "# Bundled policies\n\n"
        'These policies come with cachedsl. Use one by its name, such as `load_policy("f8b0")` or '
        "`cachedsl explain f8b0`, which says in words what it does. [Choosing a policy](choosing.md) says which one to "
        "try first, and what the names of the papers mean.\n\n"
        "`F8B0` means that the first 8 blocks and the last 0 blocks of each block list always run. A *computed* step "
        "runs all blocks. Figures in a description are those of its source, not ours.\n\n"
        "*Memory* is the most that a run holds on FLUX.1-dev: one image of 1024 x 1024 in bfloat16, "
        f"{STEPS} steps, as `Plan.memory` counts it. A dash means that this model cannot have the policy. "
        "`cachedsl policies --markdown` writes this page.\n\n"
        "| policy | what it is | memory |\n|---|---|---:|\n"
    )
    return head + "\n".join(rows) + "\n"


def megabytes(count: int) -> str:
    """Write bytes as binary megabytes."""
    return f"{count / 2**20:,.0f} MiB"
