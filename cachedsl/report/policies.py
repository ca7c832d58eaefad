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
        "`cachedsl policies --markdown` writes this page. *Memory* is what a run holds at most on FLUX.1-dev with one "
        f"image of 1024 x 1024 in bfloat16 and {STEPS} steps, as `Plan.memory` counts it; a dash where a model cannot "
        "have the policy. `cachedsl explain NAME` says in words what a policy does.\n\n"
        "| policy | what it is | memory |\n|---|---|---:|\n"
    )
    return head + "\n".join(rows) + "\n"


def megabytes(count: int) -> str:
    """Write bytes as binary megabytes."""
    return f"{count / 2**20:,.0f} MiB"
