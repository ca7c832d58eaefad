"""Sum up a run from its trace: what was computed, what was reused, what was measured."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable

from attrs import frozen
from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from cachedsl.trace import RunRecord, StepRecord, Trace


@frozen
class BranchSummary:
    """One stack in one CFG branch over one run.

    Attributes:
        transformer: the pipeline's name of the component.
        stack: the block list, or the chain of lists.
        branch: the CFG branch.
        steps: how many steps there were, `computed` and `reused` ones together.
        computed: steps on which no unit was reused.
        reused: steps on which one was.
        blocks_run: how many blocks were executed.
        blocks: how many would have been without a policy.
        percentiles: the 10th, 50th and 90th percentile of the measured values, by nearest rank. Values have no unit;
            they are what is compared with the threshold, before any sum. None where nothing was measured.
    """

    transformer: str
    stack: str
    branch: str
    steps: int
    computed: int
    reused: int
    blocks_run: int
    blocks: int
    percentiles: tuple[float, float, float] | None


@frozen
class Summary:
    """What the last run computed and reused; it prints as a table. `Cached.summary` returns it.

    Attributes:
        policy: the policy's name.
        run: which run since attaching, from 0; None where there was none yet.
        num_inference_steps: the step count that was announced, None where nobody did.
        branches: one entry for each stack in each CFG branch.
        warnings: what is worth a look, with its numbers.

    Example:
        ```python
        summary = cached.summary()
        print(summary.computed_fraction, [branch.reused for branch in summary.branches])
        ```
    """

    policy: str
    run: int | None
    num_inference_steps: int | None
    branches: tuple[BranchSummary, ...]
    warnings: tuple[str, ...]

    @property
    def blocks_run(self) -> int:
        """How many blocks were executed, over all stacks and branches."""
        return sum(b.blocks_run for b in self.branches)

    @property
    def blocks(self) -> int:
        """How many blocks would have been executed without a policy."""
        return sum(b.blocks for b in self.branches)

    @property
    def computed_fraction(self) -> float:
        """Blocks run out of all, between 0 and 1; 1 for a run without steps."""
        return self.blocks_run / self.blocks if self.blocks else 1.0

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        head = "no run yet" if self.run is None else f"run {self.run}, {self.num_inference_steps} steps"
        table = Table(title=Text(f"{self.policy}: {head}", "table.title"), title_justify="left", box=SIMPLE_HEAD)
        for name in ("stack", "branch"):
            table.add_column(name, no_wrap=True)
        for name in ("steps", "computed", "reused", "blocks run", "measured p10 / p50 / p90"):
            table.add_column(name, justify="right")
        for b in self.branches:
            measured = " / ".join(f"{p:.3g}" for p in b.percentiles) if b.percentiles else "-"
            share = f"{b.blocks_run} of {b.blocks}"
            table.add_row(
                f"{b.transformer}.{b.stack}", b.branch, str(b.steps), str(b.computed), str(b.reused), share, measured
            )
        yield table
        if self.blocks:
            yield f"blocks run: {self.blocks_run} of {self.blocks} ({self.computed_fraction:.1%})"
        for warning in self.warnings:
            yield Text(f"warning: {warning}")  # as text: brackets would be markup

    def __str__(self) -> str:
        buffer = io.StringIO()
        Console(file=buffer, width=140, highlight=False).print(self, markup=False)
        return buffer.getvalue().rstrip()


def summarise(trace: Trace) -> Summary:
    """Summarise the last run of `trace` that left a record."""
    heads = [r for r in trace if isinstance(r, RunRecord)]
    if not heads:
        return Summary("cachedsl", None, None, (), ())
    head = heads[-1]
    steps = trace.steps(run=head.run)
    keys = dict.fromkeys((s.transformer, s.stack, s.branch) for s in steps)
    branches = tuple(_branch(key, [s for s in steps if (s.transformer, s.stack, s.branch) == key]) for key in keys)
    warnings = tuple(w.message for w in trace.warnings(run=head.run))
    return Summary(head.policy, head.run, head.num_inference_steps, branches, warnings)


def _branch(key: tuple[str, str, str], steps: list[StepRecord]) -> BranchSummary:
    reused = sum(s.outcome == "reused" for s in steps)
    return BranchSummary(
        *key,
        steps=len(steps),
        computed=len(steps) - reused,
        reused=reused,
        blocks_run=sum(s.blocks_run for s in steps),
        blocks=sum(s.blocks for s in steps),
        percentiles=_percentiles(u.value for s in steps for u in s.units if u.value is not None),
    )


def _percentiles(values: Iterable[float]) -> tuple[float, float, float] | None:
    """Return the 10th, 50th and 90th percentile of the finite values, by nearest rank."""
    ordered = sorted(v for v in values if math.isfinite(v))
    if not ordered:
        return None
    low, middle, high = (ordered[min(len(ordered) - 1, math.ceil(q * len(ordered)) - 1)] for q in (0.1, 0.5, 0.9))
    return low, middle, high
