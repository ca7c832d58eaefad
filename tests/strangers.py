"""Transformers unlike any in diffusers, that no adapter knows."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

DIM = 16
TOKENS = 6


def latent(step: int, total: int, *shape: int) -> torch.Tensor:
    """Return noise on a smooth path."""
    start, end = (torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2))
    angle = 0.5 * math.pi * step / total
    return math.cos(angle) * start + math.sin(angle) * end


class Mixer(nn.Module):
    """Attends over tokens, under a condition that scales it."""

    def __init__(self) -> None:
        super().__init__()
        self.attend = nn.MultiheadAttention(DIM, 2, batch_first=True)
        self.feed = nn.Sequential(nn.Linear(DIM, 2 * DIM), nn.GELU(), nn.Linear(2 * DIM, DIM))

    def forward(self, x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        normed = nn.functional.layer_norm(x, (DIM,)) * (1 + c[:, None])
        x = x + self.attend(normed, normed, normed, need_weights=False)[0]
        return x + self.feed(nn.functional.layer_norm(x, (DIM,)))


class Stranger(nn.Module):
    """Base of them all: fixed weights, eval mode."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.make()
        self.eval().requires_grad_(False)

    def make(self) -> None:
        raise NotImplementedError

    def example_inputs(self, step: int = 2, total: int = 8) -> dict[str, Any]:
        return {"sample": latent(step, total, 1, TOKENS, DIM), "t": torch.tensor([1 - step / total])}

    def condition(self, t: torch.Tensor) -> torch.Tensor:
        return torch.sin(t[:, None] * torch.arange(1, DIM + 1) / DIM)


class Hourglass(Stranger):
    """Two lists deep inside a ModuleDict, with long skips from the one to the other, taken in the opposite order."""

    class Up(Mixer):
        def __init__(self) -> None:
            super().__init__()
            self.join = nn.Linear(2 * DIM, DIM)

        def forward(self, x: torch.Tensor, c: torch.Tensor, skip: torch.Tensor | None = None) -> torch.Tensor:
            assert skip is not None
            return super().forward(self.join(torch.cat([x, skip], dim=-1)), c)

    def make(self) -> None:
        down, up = ([cls() for _ in range(4)] for cls in (Mixer, Hourglass.Up))
        self.trunk = nn.ModuleDict({"down": nn.ModuleList(down), "up": nn.ModuleList(up)})

    def forward(self, sample: torch.Tensor, t: torch.Tensor) -> dict[str, torch.Tensor]:
        c, skips = self.condition(t), []
        for block in self.trunk["down"]:  # type: ignore[attr-defined]
            sample = block(sample, c)
            skips.append(sample)
        for block in self.trunk["up"]:  # type: ignore[attr-defined]
            sample = block(sample, c=c, skip=skips.pop())
        return {"prediction": sample}


class TwoRivers(Stranger):
    """Text before image in arguments and results, both joined for a second list that is gone through twice."""

    class Pair(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mix = Mixer()

        def forward(self, txt: torch.Tensor, img: torch.Tensor, *, c: torch.Tensor) -> list[torch.Tensor]:
            both = self.mix(torch.cat([txt, img], dim=1), c)
            return [both[:, : txt.shape[1]], both[:, txt.shape[1] :]]

    def make(self) -> None:
        self.pairs = nn.ModuleList([TwoRivers.Pair() for _ in range(4)])
        self.joint = nn.ModuleList([Mixer() for _ in range(4)])

    def example_inputs(self, step: int = 2, total: int = 8) -> dict[str, Any]:
        text = torch.randn(1, 3, DIM, generator=torch.Generator().manual_seed(3))
        control = [0.3 * torch.randn(1, TOKENS, DIM, generator=torch.Generator().manual_seed(4 + i)) for i in range(4)]
        return {**super().example_inputs(step, total), "text": text, "control": control}

    def forward(
        self, sample: torch.Tensor, t: torch.Tensor, text: torch.Tensor, control: list[torch.Tensor] | None = None
    ) -> torch.Tensor:
        c = self.condition(t)
        for i, pair in enumerate(self.pairs):
            text, sample = pair(text, sample, c=c)
            if control is not None:
                sample = sample + control[i]
        x = torch.cat([text, sample], dim=1)
        for _ in range(2):
            for i in range(len(self.joint)):
                x = self.joint[i](x, c)
        return x[:, text.shape[1] :]


class Terraces(Stranger):
    """A list of levels whose widths differ, so that only the lists inside them are lists of blocks."""

    class Level(nn.Module):
        def __init__(self, last: bool) -> None:
            super().__init__()
            self.steps = nn.ModuleList([Mixer() for _ in range(4)])
            self.last = last

        def forward(self, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
            x = state["x"]
            for step in self.steps:
                x = step(x, state["c"])
            return {**state, "x": x if self.last else x[:, ::2]}

    def make(self) -> None:
        self.levels = nn.ModuleList([Terraces.Level(False), Terraces.Level(True)])

    def forward(self, sample: torch.Tensor, t: torch.Tensor) -> tuple[torch.Tensor]:
        state = {"x": sample, "c": self.condition(t)}
        for level in self.levels:
            state = level(state)
        return (state["x"],)


class Noisy(Stranger):
    """Gives another output every time."""

    def make(self) -> None:
        self.blocks = nn.ModuleList([Mixer() for _ in range(4)])

    def forward(self, sample: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            sample = block(sample, self.condition(t))
        return sample + torch.rand_like(sample)


class Sealed(Stranger):
    """Its blocks hand on something that is no tensor."""

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mix = Mixer()

        def forward(self, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
            return {**state, "x": self.mix(state["x"], state["c"])}

    def make(self) -> None:
        self.blocks = nn.ModuleList([Sealed.Block() for _ in range(4)])

    def forward(self, sample: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        state = {"x": sample, "c": self.condition(t)}
        for block in self.blocks:
            state = block(state)
        return state["x"]


STRANGERS = (Hourglass, TwoRivers, Terraces)
