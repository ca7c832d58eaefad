"""What can go wrong while a policy is attached."""

from __future__ import annotations

from cachedsl.text.finding import CachedslError


class AlreadyAttached(CachedslError):
    """The pipeline, or one of its transformers, already runs under a policy or under another cache.

    `attached(pipe)` gives the handle of the policy; `remove()` it first.
    """


class NotAttached(CachedslError):
    """The handle was removed, and is used to run. Apply the policy again."""


class ConcurrentRun(CachedslError):
    """A run was started, or a policy exchanged, while another run is going on; that run is not disturbed."""


class PatternMismatch(CachedslError):
    """A block takes or returns something other than its adapter declares.

    The text names the block, the declaration and what came.
    """


class CfgMismatch(CachedslError):
    """The policy's `cfg` contradicts the pipeline, such as `fused` where each branch has a call of its own."""


class CannotJoin(CachedslError):
    """`span: joined` is asked for over block lists whose streams have different shapes."""


class ClockUnavailable(CachedslError):
    """`predict.clock` is `timestep` or `sigma`, and the run has no scheduler that tells them."""


class SkippedBlock(CachedslError):
    """The model's own loop left a unit without calling its last block, so the unit has no result."""


class StillRunning(CachedslError):
    """`remove()` was called from inside the transformer's forward; call it between steps."""
