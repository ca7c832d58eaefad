"""Look at a finished run for what should not pass in silence; the rules are in `cachedsl/rules/run`.

There is at most one warning of a kind for a run. It counts what it names, and its advice is one that works.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from attrs import evolve

from cachedsl.language.policy import Policy
from cachedsl.rules.registry import run_checks
from cachedsl.rules.run.facts import RunFacts
from cachedsl.rules.run.uncached import check as uncached_check
from cachedsl.trace import Trace, WarningRecord

__all__ = ["RunFacts", "findings", "uncached_calls"]


def findings(trace: Trace, facts: RunFacts) -> Iterator[WarningRecord]:
    """Yield one warning for each thing that makes a run differ from what its policy is for."""
    steps = trace.steps(run=facts.run)
    # what goes before the last loop may be of another kind
    facts = evolve(facts, steps=tuple(s for s in steps if s.loop == steps[-1].loop))
    for finding in run_checks("run", facts):
        yield WarningRecord(facts.run, finding.code, finding.message)


def uncached_calls(run: int, uncached: Mapping[str, int], num_steps: int | None, policy: Policy) -> WarningRecord:
    """Return the warning about calls that belonged to no step of the run, which ran uncached."""
    (finding,) = uncached_check(RunFacts(run, None, policy, uncached, announced=num_steps))
    return WarningRecord(run, finding.code, finding.message)
