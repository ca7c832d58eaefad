"""Which step and which CFG branch a transformer call belongs to, from the best source there is."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from itertools import count
from typing import Any, Literal

from attrs import define, field, frozen

from cachedsl.language.parts import Cfg, ClockName
from cachedsl.runtime.errors import CfgMismatch, ClockUnavailable
from cachedsl.runtime.given import Given, alike

FUSED_BRANCH = "cond_uncond"
_BRANCHES = {"cond_first": ("cond", "uncond"), "uncond_first": ("uncond", "cond")}


@frozen
class CallContext:
    """What a pipeline says about a call through diffusers' `cache_context`."""

    name: str
    step_index: int | None = None
    num_inference_steps: int | None = None


@frozen
class Call:
    """One transformer call: the run's step index from 0, and the CFG branch."""

    step: int
    branch: str


@define
class Clock:
    """Places every call of one run. It serves all transformers of a pipeline, so steps are the run's own.

    The branch is the name in the pipeline's `cache_context`, else counted: where the scheduler shows the step, calls
    are told apart by their order within it; elsewhere, under `cfg: auto`, by what they are given (`heed`), or else they
    alternate as `cfg` says. The step is the context's index, else the scheduler's, else counted. Calls are counted as
    they are: a separate-CFG family that runs without guidance makes one call a step, and one branch. A pipeline whose
    own scheduler is never stepped, because it steps copies of it, has its calls counted by name, up to the pipeline's
    own `num_timesteps`.

    A pipeline's call may hold several denoising loops (chunks, pyramid stages), or calls before the loop (a prefill):
    where the step index goes back, or the scheduler's timesteps are set anew, another loop has begun.

    Attributes:
        cfg: the policy's.
        declared: what the adapter says of the family, for `cfg: auto`.
        scheduler: the pipeline's, or None for a bare transformer.
        steps: the run's step count where the caller gave one.
        announced: returns the pipeline's own count of the steps of its loop, or None.
    """

    cfg: Cfg
    declared: Literal["fused", "separate"]
    scheduler: Any = None
    steps: int | None = None
    announced: Callable[[], int | None] = lambda: None
    _calls: Counter[str] = field(factory=Counter)
    _unnamed: int = 0
    _at: tuple[int, int] = (-1, 0)
    _named_at: tuple[int, str] | None = None
    _tables: dict[str, list[float]] = field(factory=dict)
    _apart: set[str] = field(factory=set)
    _last: dict[tuple[str, str], int] = field(factory=dict)
    _index: int = 0
    _timesteps: Any = None
    _standing: bool = False
    _given: Given | None = None
    _here: list[tuple[Any, ...]] = field(factory=list)
    _direction: float = 0.0
    _verdict: Literal["step", "branch"] | None = None
    _top: int = -1

    @property
    def branches(self) -> tuple[str, ...]:
        """The branches that are expected where the pipeline does not name its calls, in order."""
        mode = self.declared if self.cfg.mode == "auto" else self.cfg.mode
        return (FUSED_BRANCH,) if mode == "fused" else _BRANCHES[self.cfg.order]

    def begins_anew(self, context: CallContext | None) -> bool:
        """Tell whether the call that is about to be made is the first of another loop; if so, forget the last one."""
        index = self._shown(context) or 0
        timesteps = getattr(self.scheduler, "timesteps", None)
        stable = timesteps is getattr(self.scheduler, "timesteps", None)
        exchanged = stable and self._timesteps is not None and timesteps is not self._timesteps
        anew = index < self._index or (exchanged and index == 0) or self._over()
        self._index, self._timesteps = index, timesteps
        if anew:
            self._calls, self._unnamed, self._at, self._named_at = Counter(), 0, (-1, 0), None
            self._tables, self._apart, self._last, self._standing = {}, set(), {}, False
        return anew

    def heed(self, read: Callable[[], Given | None]) -> bool:
        """Take note of what the next call is given, where nothing else shows the step.

        A step has one timestep and one latent. A call that repeats those of the last one is another branch's, unless
        all else is as in a call of this step too: then a step goes by in which nothing moves.

        Returns:
            Whether it begins another run: the timestep goes back, the latent is of other noise though the timestep
            stayed, or the steps are over.
        """
        self._verdict = None
        if self.scheduler is not None and (len(self.branches) == 1 or self._scheduler_index() is not None):
            return False  # a pipeline calls as its family is declared to
        given = read()
        before, self._given = self._given, given
        if given is None or before is None:
            self._here = [] if given is None else [given.others]
            return False
        turned = False
        if not given.same_timestep(before):
            change = given.level - before.level
            turned = change * self._direction < 0
            self._direction = self._direction or change
        elif given.same_latent(before):
            if not any(alike(given.others, others) for others in self._here):
                self._here.append(given.others)
                self._verdict = "branch"
                return False
        else:
            turned = self._top == 0 and not given.same_image(before)
        self._verdict, self._here = "step", [given.others]
        return turned or (self.steps is not None and self._top + 1 >= self.steps)

    def recount(self) -> int | None:
        """Return the loop's step count as the pipeline has it, once the scheduler has turned out to stand still."""
        return self.announced() if self._standing and self.steps is None else None

    def _over(self) -> bool:
        """Tell whether every branch of a loop that the scheduler does not show has had all its steps."""
        steps = self.recount()
        return steps is not None and min(self._calls.values(), default=0) >= steps

    def locate(self, context: CallContext | None, component: str = "transformer") -> Call:
        """Return the step and branch of the call that is about to be made to the pipeline's `component`.

        Raises:
            CfgMismatch: the policy's explicit `cfg` contradicts the pipeline's own names.
        """
        index = self._shown(context)
        call = self._unnamed_call(index) if context is None else self._named_call(context.name, index, component)
        self._calls[call.branch] += 1
        self._top = max(self._top, call.step)
        return call

    def num_steps(self, context: CallContext | None) -> int | None:
        """Return the run's step count: the context's, the caller's, else the scheduler's from its begin index."""
        if context is not None and context.num_inference_steps is not None:
            return context.num_inference_steps
        if self.steps is not None:
            return self.steps
        timesteps = getattr(self.scheduler, "timesteps", None)
        return None if timesteps is None else len(timesteps) - self._begin_index()

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
            self._tables[clock] = [float(value) for value in table][self._begin_index() :]
        return self._tables[clock]

    def finished(self) -> bool:
        """Tell whether every branch that was expected or seen has had all its steps."""
        told = self._unnamed == 0 or self._at[0] > 0  # by names, or by a first step that is over
        expected = tuple(self._calls) if told else self.branches
        return self.steps is not None and bool(expected) and all(self._calls[b] >= self.steps for b in expected)

    def _shown(self, context: CallContext | None) -> int | None:
        """Return the step that the pipeline or its scheduler shows, None where neither does."""
        index = context.step_index if context is not None else None
        return self._scheduler_index() if index is None else index

    def _named_call(self, name: str, index: int | None, component: str) -> Call:
        step, branch = self._calls[name] if index is None else index, name
        last = self._last.get((component, branch), -1)
        if index is not None and last >= step:  # the name comes again in a step
            if getattr(self.scheduler, "step_index", index) is None:
                step, self._standing = last + 1, True
            else:
                others = (f"{name}_{number}" for number in count(2))
                branch = next(b for b in others if self._last.get((component, b), -1) < step)
        self._last[component, branch] = step
        if self.cfg.mode == "separate" and branch == FUSED_BRANCH:
            raise CfgMismatch(
                f"cfg: separate, but the pipeline runs all CFG branches in one call, which it names '{branch}'; "
                "set cfg: auto or fused"
            )
        if self.cfg.mode == "fused" and self._named_at is not None:
            other_step, other = self._named_at
            if other_step == step and other != branch:
                raise CfgMismatch(
                    f"cfg: fused, but the pipeline calls the transformer once per CFG branch ('{other}', '{branch}'); "
                    "set cfg: auto or separate"
                )
        self._named_at = (step, branch)
        return Call(step, branch)

    def _unnamed_call(self, index: int | None) -> Call:
        names = self.branches
        step, place = self._at
        if index is None:
            verdict = self._verdict if self.cfg.mode == "auto" else None
            another = step < 0 or (verdict == "step" if verdict else place + 1 >= len(names))
            step, place = (step + 1, 0) if another else (step, place + 1)
        else:
            step, place = index, place + 1 if step == index else 0
        self._at = (step, place)
        self._unnamed += 1
        return Call(step, names[place] if place < len(names) else f"branch_{place + 1}")

    def _begin_index(self) -> int:
        return getattr(self.scheduler, "begin_index", None) or 0

    def _scheduler_index(self) -> int | None:
        if self.scheduler is None or not hasattr(self.scheduler, "step_index"):
            return None
        index = self.scheduler.step_index
        return 0 if index is None else int(index) - self._begin_index()
