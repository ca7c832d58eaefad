"""Tell those who asked that a run is over: callbacks, and the log `cachedsl.run`."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from attrs import define, field

from cachedsl.runtime.finished import FinishedRun, Tally

Listener = Callable[[FinishedRun], object]

log = logging.getLogger("cachedsl.run")
_errors = logging.getLogger("cachedsl")


@define(eq=False)
class Listeners:
    """Who is told of the finished runs of one attachment."""

    _callbacks: list[Listener] = field(factory=list)

    def add(self, listener: Listener) -> Callable[[], None]:
        """Add one, and return what takes it out again; a second call of that does nothing."""
        entry: Listener = lambda run: listener(run)  # noqa: E731 - an entry of its own, where one is added twice
        self._callbacks.append(entry)
        return lambda: self._callbacks.remove(entry) if entry in self._callbacks else None

    def tally(self) -> Tally | None:
        """Return what a run that begins now is counted by; None where nobody would hear of it."""
        return Tally() if self._callbacks or log.isEnabledFor(logging.INFO) else None

    def tell(self, run: FinishedRun) -> None:
        """Log the run, and call everyone; what a callback raises is logged, and disturbs neither run nor others."""
        log_run(run)
        for callback in tuple(self._callbacks):
            try:
                callback(run)
            except Exception:
                _errors.exception("a callback of on_run raised at run %d of %s", run.number, run.model)


def log_run(run: FinishedRun) -> None:
    """Write one record of a finished run to the log `cachedsl.run`, with `fields` beside the message."""
    if log.isEnabledFor(logging.INFO):
        log.info(
            "%s under %s: %s, %d steps in %.3f s, %.1f %% of the blocks reused",
            run.model,
            run.policy,
            run.outcome,
            run.steps,
            run.seconds,
            100 * run.reused_share,
            extra=fields(run),
        )


def fields(run: FinishedRun) -> dict[str, Any]:
    """Return what the log's record of a run has beside its message."""
    return {
        "policy": run.policy,
        "model": run.model,
        "run": run.number,
        "run_id": run.id,
        "outcome": run.outcome,
        "aborted": run.outcome != "completed",
        "reason": run.reason,
        "steps": run.steps,
        "planned_steps": run.planned_steps,
        "blocks_computed": run.blocks_computed,
        "blocks_total": run.blocks_total,
        "reused_share": run.reused_share,
        "seconds": run.seconds,
        "warnings": dict(run.warnings),
    }
