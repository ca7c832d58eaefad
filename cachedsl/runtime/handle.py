"""The handle of an attached policy."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from cachedsl.language.policy import Policy
from cachedsl.loading import as_policy
from cachedsl.matching.adapter import Adapter
from cachedsl.plan.ir import Plan
from cachedsl.runtime.errors import NotAttached, StillRunning
from cachedsl.runtime.listeners import Listener
from cachedsl.summary import Summary, summarise
from cachedsl.trace import Trace

if TYPE_CHECKING:
    from cachedsl.runtime.session import Session


def check_steps(steps: Any) -> int:
    """Return a step count that can be one.

    Raises:
        ValueError: it cannot.
    """
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise ValueError(f"the step count of a run: expected a whole number of at least 1, got {steps!r}")
    return steps


def _check_id(id: Any) -> None:
    try:
        hash(id)
    except TypeError:
        raise TypeError(
            f"the id of a run: expected a value that can be a key, such as a request's number, got {id!r}"
        ) from None


_SHOWN = ("timesteps", "sigmas", "step_index")
"""What a scheduler shows to those who ask."""


def _check_scheduler(scheduler: Any) -> None:
    if scheduler is not None and not any(hasattr(scheduler, name) for name in _SHOWN):
        raise TypeError(
            "the scheduler of a run: expected one like those of diffusers, with timesteps, sigmas or a step_index, got "
            f"{scheduler!r}; without one, leave it out"
        )


def _check_callable(name: str, given: Any) -> None:
    if not callable(given):
        raise TypeError(f"{name}: expected a function, got {given!r}")


class Cached:
    """The handle of an attached policy; `Policy.apply` returns it.

    `remove` it when the model is to be as before, or use it in a `with` statement, which does so at its end.

    Example:
        ```python
        cached = policy.apply(pipe)
        pipe(...)
        print(cached.summary())  # what was computed and reused
        cached.remove()
        ```
    """

    def __init__(self, session: Session, detach: Callable[[], None]) -> None:
        self._session = session
        self._detach: Callable[[], None] | None = detach

    @property
    def policy(self) -> Policy:
        """The policy that is attached, or that `using` has put in its place."""
        return self._session.policy

    @property
    def trace(self) -> Trace:
        """What happened, step by step, since attaching."""
        return self._session.trace

    @property
    def learnt(self) -> Adapter | None:
        """The adapter that was learned of a model that no adapter knew; None before its first call."""
        found = list(self._session.learnt.values())
        if not found:
            return None
        known = {one.class_name: one.transformer for one in found}
        return Adapter(found[0].class_name.lower(), known)

    @property
    def attached(self) -> bool:
        """Whether the policy is still attached."""
        return self._detach is not None

    def plan(
        self, num_inference_steps: int | None = None, policy: Policy | str | os.PathLike[str] | None = None
    ) -> Plan:
        """Return the plan of a run: what the policy comes to on this model.

        Args:
            num_inference_steps: the run's step count; None where it is not known, which leaves the step table out.
            policy: another policy, or what `load_policy` takes; by default the attached one.

        Raises:
            PolicyError: it does not hold, or does not fit the model or the step count.
            ValueError: the step count is none.
        """
        if num_inference_steps is not None:
            check_steps(num_inference_steps)
        return self._session.plan_for(num_inference_steps, None if policy is None else as_policy(policy))

    @contextmanager
    def run(
        self,
        steps: int | None = None,
        scheduler: Any = None,
        id: Hashable = None,
    ) -> Iterator[Cached]:
        """Delimit a run on a bare transformer, as a `with` block; what it holds is freed when it ends.

        With an `id` of the caller's own, several runs may be under way. Entering an `id` again goes on with its run
        where it was left, under the policy that it began with. Such a run is over with its last step, with `end(id)`,
        or with an exception inside.

        Args:
            steps: how many denoising steps the run has. It may be left out where a run of this `id` is under way.
            scheduler: the scheduler, where there is one. It tells the step of each call, and gives timesteps and sigmas
                to predictors that go by them.
            id: any value that can be a key, such as a request's number.

        Raises:
            ConcurrentRun: a run is going on; it is not disturbed.
            AlreadyAttached: another cache was switched on since.
            NotAttached: the handle was removed.
            ValueError: the step count is no whole number of at least 1, or another one than the run of this `id` has.
            TypeError: the `id` cannot be a key, or the scheduler is none.

        Example:
            ```python
            with cached.run(steps=28):
                transformer(...)  # 28 times, or 56 times with two CFG branches
            ```
        """
        self._check_attached()
        _check_id(id)
        _check_scheduler(scheduler)
        known = None if id is None else self._session.known_run(id)
        if known is None or steps is not None:
            check_steps(steps)
        if known is not None and steps not in (None, known.state.rules.steps):
            raise ValueError(
                f"run {id!r} is under way with {known.state.rules.steps} steps, and was entered again with {steps}; "
                "end it with end(id), or give each request an id of its own"
            )
        with self._session.run(steps, scheduler, id):
            yield self

    def end(self, id: Hashable) -> bool:
        """End the run of this `id`, whatever steps it has had, and free what it holds.

        Args:
            id: what `run` was entered with.

        Returns:
            Whether there was one; it may have ended with its last step.

        Raises:
            ConcurrentRun: it is going on at this moment.
        """
        _check_id(id)
        return self._session.end(id)

    @contextmanager
    def using(self, policy: Policy | str | os.PathLike[str]) -> Iterator[Cached]:
        """Go by another policy for the runs inside a `with` block, without attaching anew.

        Args:
            policy: a policy, or what `load_policy` takes: a path, a bundled name or notation.

        Raises:
            PolicyError: it does not hold, or does not fit the model; the attached one goes on.
            ConcurrentRun: a run is going on; it is not disturbed.
            EngineRefused: its `runtime` asks for something else than that of the attached one.
            NotAttached: the handle was removed.

        Example:
            ```python
            with cached.using("f8b0"):
                pipe(...)
            ```
        """
        self._check_attached()
        with self._session.using(as_policy(policy)):
            yield self

    def _check_attached(self) -> None:
        if not self.attached:
            raise NotAttached(f"policy {self.policy.name!r} was removed from {self.label}; apply it again")

    def summary(self) -> Summary:
        """Return a summary of the last run; it prints as a table. A run that is open ends here."""
        self._session.end_open_run()
        return summarise(self._session.trace)

    def held_bytes(self) -> int:
        """Return how many bytes of features are held at this moment, by all runs that are not over."""
        held = [tensor.untyped_storage() for run in self._session.all_runs() for tensor in run.tensors()]
        return sum({storage.data_ptr(): storage.nbytes() for storage in held}.values())

    @property
    def label(self) -> str:
        """The class name of what the policy is attached to."""
        return self._session.label

    @contextmanager
    def watching(self, watch: Callable[[str, str, torch.Tensor], None]) -> Iterator[None]:
        """Show a function what the blocks of every chain added, after each step on which they were computed.

        Args:
            watch: is called with the transformer's name, the CFG branch, and the residual of `hidden_states` of the
                chain's first unit, `(batch, tokens, channels)` in the block's dtype. It must not change the tensor.
        """
        _check_callable("watching", watch)
        self._session.watchers.append(watch)
        try:
            yield
        finally:
            self._session.watchers.remove(watch)

    def on_run(self, listener: Listener) -> Callable[[], None]:
        """Call a function with a `FinishedRun` when a run is over: completed, aborted or failed.

        Args:
            listener: hears of runs that begin from now on, on the thread that ended them. It must not begin or end
                runs. What it raises is logged to `cachedsl`, and disturbs nothing.

        Returns:
            A function that takes the listener out again. Where nobody listens, nothing is counted.
        """
        _check_callable("on_run", listener)
        return self._session.listeners.add(listener)

    def remove(self) -> None:
        """Detach the policy, so that the model is as it was before. A second call does nothing.

        What the policy's `runtime` did to the model stays: quantised and split models remain so.

        Raises:
            StillRunning: called from inside the transformer's forward.
        """
        if self._detach is None:
            return
        if self._session.in_forward():
            raise StillRunning("remove() was called from inside the transformer's forward; call it between steps")
        self._session.end_all()
        self._session.fail("removed")
        self._detach()
        self._detach = None
        self._session.let_go()

    def __enter__(self) -> Cached:
        self._check_attached()
        return self

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError(
            f"the handle of {self._session.label} cannot be copied or pickled; copy the pipeline or the model, which "
            "gives one without a policy, and apply the policy to the copy"
        )

    def __exit__(self, *exception: object) -> None:
        if exception[0] is not None:
            self._session.fail("exception")
        self.remove()

    def __repr__(self) -> str:
        state = "attached to" if self.attached else "removed from"
        return f"<cachedsl policy {self.policy.name} {state} {self._session.label}>"
