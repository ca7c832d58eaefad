"""Where the steps of a run are on the scheduler's clocks: timesteps, sigmas, and how much noise there is."""

from __future__ import annotations

import math
from typing import Any

from attrs import define, field

from cachedsl.language.parts import ClockName
from cachedsl.runtime.errors import ClockUnavailable


@define(eq=False)
class Timeline:
    """One loop's steps on the clocks of its scheduler.

    Attributes:
        scheduler: the pipeline's, or None for a bare transformer.
        offset: where in the scheduler's tables the loop's step 0 is.
    """

    scheduler: Any = None
    offset: int = 0
    _tables: dict[str, list[float]] = field(factory=dict)
    _apart: set[str] = field(factory=set)

    def position(self, step: int, clock: ClockName) -> float:
        """Return where step `step` is on `clock`: its index, or the scheduler's timestep or sigma there.

        Raises:
            ClockUnavailable: there is no scheduler, it has no such table, or two of its steps are at one place, between
                which there is no slope.
        """
        if clock == "step":
            return float(step)
        table = self._table(clock, f"predict.clock: {clock}", "use clock: step")
        if clock not in self._apart:
            steps = len(self._table("timestep", f"predict.clock: {clock}", "use clock: step"))  # sigmas have one more
            twice = next((i for i in range(1, min(steps, len(table))) if table[i] == table[i - 1]), None)
            if twice is not None:
                raise ClockUnavailable(
                    f"predict.clock: {clock} needs `{clock}s` that differ from step to step, and steps {twice - 1} "
                    f"and {twice} of this run's {type(self.scheduler).__name__} are both at {table[twice]:g}; use "
                    "clock: step"
                )
            self._apart.add(clock)
        return table[min(step, len(table) - 1)]

    def mixing(self, step: int) -> tuple[float, float]:
        """Return `(a, b)` of the latent at step `step`, a · signal + b · noise, from the scheduler's noise schedule.

        A scheduler without sigmas has them in its `alphas_cumprod`: `(sqrt(alpha), sqrt(1 - alpha))` at the timestep.
        A scheduler whose sigmas stay within 1 is taken for rectified flow, `(1 - sigma, sigma)`; else sigma is noise
        per signal of a variance-preserving process, `(1, sigma) / sqrt(1 + sigma^2)`.

        Raises:
            ClockUnavailable: there is no scheduler, or it has neither.
        """
        alphas = getattr(self.scheduler, "alphas_cumprod", None)
        if alphas is not None and getattr(self.scheduler, "sigmas", None) is None:
            alpha = float(alphas[round(self.position(step, "timestep"))])
            return math.sqrt(alpha), math.sqrt(1 - alpha)
        sigmas = self._table("sigma", "reuse.signal: filtered_latent", "take another signal")
        sigma = sigmas[min(step, len(sigmas) - 1)]
        if max(sigmas) <= 1:
            return 1 - sigma, sigma
        norm = math.hypot(1, sigma)
        return 1 / norm, sigma / norm

    def _table(self, clock: ClockName, wanted_by: str, way_out: str) -> list[float]:
        if clock not in self._tables:
            table = getattr(self.scheduler, f"{clock}s", None)
            if table is None:
                there_is = "none" if self.scheduler is None else type(self.scheduler).__name__
                raise ClockUnavailable(
                    f"{wanted_by} needs a scheduler with `{clock}s`, this run has {there_is}; {way_out}, or give a "
                    "bare transformer's run one: cached.run(steps=..., scheduler=...)"
                )
            self._tables[clock] = [float(value) for value in table][self.offset :]
        return self._tables[clock]
