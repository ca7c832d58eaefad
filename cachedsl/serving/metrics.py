"""Metrics of finished runs in the format of Prometheus, by its client library."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Lock
from typing import TYPE_CHECKING

from cachedsl.extras import need

need("prometheus_client", to="count runs for Prometheus", extra="metrics")

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest  # noqa: E402

from cachedsl.serving.names import FewNames  # noqa: E402

if TYPE_CHECKING:
    from cachedsl.runtime.finished import FinishedRun
    from cachedsl.runtime.handle import Cached

CONTENT_TYPE = CONTENT_TYPE_LATEST
"""What `RunMetrics.text` is, for the header of an answer."""

STEP_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


class RunMetrics:
    """Counts finished runs; give it to `cached.on_run`, and answer `/metrics` with `text()`.

    ```python
    metrics = RunMetrics()
    cached.on_run(metrics)
    ```

    Of each policy's name there are `cachedsl_runs_total` by outcome, `cachedsl_blocks_total` by what became of them,
    `cachedsl_reused_share`, a histogram over runs of at least one step, and `cachedsl_step_seconds`, a histogram over
    steps. `cachedsl_warnings_total` counts warnings by code.

    Args:
        registry: where the metrics are; one of its own by default. `prometheus_client.REGISTRY` is the process's.
        most_policies: names of policies that are told apart; later ones are counted as `other`.
        step_seconds: the upper ends of the buckets of `cachedsl_step_seconds`, in seconds.

    Raises:
        MissingPackages: on import, where prometheus-client is not installed.
        ValueError: the registry has metrics of these names, or `most_policies` is below 1.
    """

    def __init__(
        self,
        registry: CollectorRegistry | None = None,
        *,
        most_policies: int = 50,
        step_seconds: Sequence[float] = STEP_SECONDS,
    ) -> None:
        self.registry = to = CollectorRegistry() if registry is None else registry
        self._names, self._lock = FewNames(most_policies), Lock()
        self._runs = Counter("cachedsl_runs", "Finished runs.", ["policy", "outcome"], registry=to)
        self._blocks = Counter(
            "cachedsl_blocks", "Transformer blocks that ran, or were reused.", ["policy", "did"], registry=to
        )
        self._share = Histogram(
            "cachedsl_reused_share", "Blocks reused out of all, by run.", ["policy"], buckets=SHARES, registry=to
        )
        self._seconds = Histogram(
            "cachedsl_step_seconds", "Seconds of a step.", ["policy"], buckets=step_seconds, registry=to
        )
        self._warnings = Counter("cachedsl_warnings", "Warnings about runs.", ["code"], registry=to)

    def __call__(self, run: FinishedRun) -> None:
        """Count a run."""
        with self._lock:
            policy = self._names(run.policy)
        self._runs.labels(policy, run.outcome).inc()
        self._blocks.labels(policy, "computed").inc(run.blocks_computed)
        self._blocks.labels(policy, "reused").inc(max(0, run.blocks_total - run.blocks_computed))
        if run.steps:
            self._share.labels(policy).observe(run.reused_share)
        for seconds in run.step_seconds:
            self._seconds.labels(policy).observe(seconds)
        for code, count in run.warnings.items():
            self._warnings.labels(code).inc(count)

    def watch(self, cached: Cached) -> Callable[[], None]:
        """Count the runs of `cached` that begin from now on; returns what ends that."""
        return cached.on_run(self)

    def text(self) -> bytes:
        """Return the whole registry in Prometheus' text format, whose type is `CONTENT_TYPE`."""
        return generate_latest(self.registry)
