"""What can go wrong while a policy is attached."""

from __future__ import annotations

from cachedsl.text.finding import CachedslError


class AlreadyAttached(CachedslError):
    """The pipeline, or one of its transformers, already runs under a policy, or under diffusers' own cache."""


class NotAttached(CachedslError):
    """The handle was removed, and is used to run."""


class ConcurrentRun(CachedslError):
    """A second run was started on a pipeline object whose first run has not ended."""


class PatternMismatch(CachedslError):
    """A block takes or returns something other than its adapter declares."""


class CfgMismatch(CachedslError):
    """The policy's `cfg` contradicts what the pipeline does."""


class CannotJoin(CachedslError):
    """`span: joined` over block lists whose streams have different shapes."""


class ClockUnavailable(CachedslError):
    """The predictor is to measure distance on a clock that the run does not have."""


class SkippedBlock(CachedslError):
    """The model's own loop left a unit without calling its last block, so the unit has no result."""


class StillRunning(CachedslError):
    """`remove()` was called from inside the transformer's forward."""
