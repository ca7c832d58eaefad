"""The metrics of `cachedsl.serving.metrics.RunMetrics`, through Ray, which adds the replica's name to each."""

from __future__ import annotations

from ray.serve.metrics import Counter, Histogram

from cachedsl.runtime.finished import FinishedRun
from cachedsl.serving.metrics import SHARES, STEP_SECONDS
from cachedsl.serving.names import FewNames


class ReplicaMetrics:
    """Counts the finished runs of one replica; give it to `cached.on_run`. Ray's exporter puts `ray_` before names."""

    def __init__(self) -> None:
        self._names = FewNames()
        self._runs = Counter("cachedsl_runs", "Finished runs.", ("policy", "outcome"))
        self._blocks = Counter("cachedsl_blocks", "Blocks that ran, or were reused.", ("policy", "did"))
        self._warnings = Counter("cachedsl_warnings", "Warnings about runs.", ("code",))
        # Ray wants the ends of buckets above 0
        self._share = Histogram("cachedsl_reused_share", "Blocks reused out of all.", list(SHARES[1:]), ("policy",))
        self._seconds = Histogram("cachedsl_step_seconds", "Seconds of a step.", list(STEP_SECONDS), ("policy",))

    def __call__(self, run: FinishedRun) -> None:
        policy = self._names(run.policy)
        self._runs.inc(1, {"policy": policy, "outcome": run.outcome})
        for did, blocks in (
            ("computed", run.blocks_computed),
            ("reused", run.blocks_total - run.blocks_computed),
        ):
            if blocks > 0:
                self._blocks.inc(blocks, {"policy": policy, "did": did})
        if run.steps:
            self._share.observe(run.reused_share, {"policy": policy})
        for seconds in run.step_seconds:
            self._seconds.observe(seconds, {"policy": policy})
        for code, count in run.warnings.items():
            self._warnings.inc(count, {"code": code})
