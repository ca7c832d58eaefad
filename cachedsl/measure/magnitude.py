"""Magnitude ratios of a pipeline, for `signal: magnitude` (MagCache, arXiv 2506.09045, eq. 3)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
import yaml
from attrs import field, frozen

from cachedsl.language.parts import Compute, Reuse, Warmup
from cachedsl.language.policy import Policy
from cachedsl.language.ratios import Ratios
from cachedsl.text.document import printable
from cachedsl.text.finding import CachedslError
from cachedsl.text.paths import reason
from cachedsl.text.writing import write_whole

_EVERY_STEP = 1_000_000
Place = tuple[str, str]


class NotCalibrated(CachedslError):
    """The pipeline's run shows no ratios."""


class NotWritten(CachedslError):
    """The ratios were measured, but the file that they belong into cannot be written."""


@frozen
class Calibration:
    """Ratios as measured, one a step, and what they were measured on."""

    ratios: Ratios
    steps: int
    pipeline: str
    runs: int = field(default=1)

    def write(self, path: Path) -> None:
        """Write the file that `reuse.signal.ratios` may name, over what is there.

        Raises:
            NotWritten: the file cannot be written; the message has the ratios, for the run that they took.
        """
        rows = {branch: [round(value, 5) for value in row] for branch, row in self.ratios.branches}
        head = (
            f"# Magnitude ratios of {self.pipeline}, {self.steps} steps, mean of {self.runs} "
            f"run{'s' * (self.runs > 1)}; written by `cachedsl calibrate magnitude`.\n"
        )
        body = yaml.safe_dump({"ratios": rows}, sort_keys=False, default_flow_style=None, width=116)
        try:
            write_whole(path, head + body)
        except (OSError, ValueError) as error:  # ValueError: a NUL in the path
            raise NotWritten(
                f"{printable(str(path))}: the ratios cannot be written: {reason(error)}; expected a file that may be "
                "written in a folder that exists (put these into a file that `reuse.signal.ratios` names)"
                f"\n{head}{body}"
            ) from error


def calibrate_magnitude(pipe: Any, calls: Iterable[Callable[[], Any]]) -> Calibration:
    """Measure how the magnitude of what all blocks add changes from step to step.

    Every step is computed. The ratio of a step is the mean over tokens of the residual's norm over that of the step
    before, in float32; the first step of each transformer has 1.

    Args:
        pipe: a diffusers pipeline that no policy is attached to, or a transformer.
        calls: each makes one run of it, all with the same step count; their ratios are averaged.

    Returns:
        The ratios of each CFG branch.

    Raises:
        NotCalibrated: no run called the transformer, or two runs had different steps or branches.
    """
    policy = Policy(
        name="calibrate",
        compute=Compute(0, 0),
        span="joined",
        warmup=Warmup(_EVERY_STEP),
        reuse=Reuse(threshold="always"),
    )
    measured: list[dict[str, list[float]]] = []
    with policy.apply(pipe) as cached:
        label = cached.label
        for call in calls:
            before: dict[Place, torch.Tensor] = {}
            rows: dict[str, list[float]] = {}

            def watch(component: str, branch: str, residual: torch.Tensor) -> None:
                last = before.get((component, branch))  # noqa: B023
                norm = residual.float().norm(dim=-1)
                changed = last is None or last.shape != norm.shape
                rows.setdefault(branch, []).append(1.0 if changed else float((norm / last).mean()))  # noqa: B023
                before[component, branch] = norm  # noqa: B023

            with cached.watching(watch):
                call()
            measured.append(rows)
    return Calibration(_mean(measured), len(next(iter(measured[0].values()))), label, len(measured))


def _mean(measured: list[dict[str, list[float]]]) -> Ratios:
    shapes = {tuple((branch, len(row)) for branch, row in rows.items()) for rows in measured}
    if len(shapes) != 1 or not measured[0]:
        what = "no run called the transformer" if not any(measured) else "the runs differ in their steps or branches"
        raise NotCalibrated(f"magnitude ratios cannot be told: {what}")
    return Ratios(
        branches=tuple(
            (branch, tuple(sum(rows[branch][step] for rows in measured) / len(measured) for step in range(len(row))))
            for branch, row in measured[0].items()
        )
    )
