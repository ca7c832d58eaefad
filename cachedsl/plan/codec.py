"""Plans as JSON, both ways. The format is named and versioned; what is read is checked as strictly as what is made."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import attrs
from cattrs.errors import BaseValidationError
from cattrs.v import transform_error

from cachedsl.plan.frozen import freeze, thaw
from cachedsl.plan.ir import Guidance, Plan, Rules, StackPlan, StepEntry, Unit
from cachedsl.plan.model_shape import StackShape
from cachedsl.plan.strict import strict_converter
from cachedsl.text.finding import CachedslError

FORMAT = "cachedsl.plan"
VERSION = 1
MOST_STEPS = 1_000_000


class PlanError(CachedslError):
    """A text is no plan, or one of another version."""


CONVERTER = strict_converter()


def to_json(plan: Plan) -> str:
    """Return indented JSON with sorted keys and a final newline; what governs several stacks is written once."""
    return json.dumps(to_tree(plan), indent=2, sort_keys=True, allow_nan=False) + "\n"


def to_tree(plan: Plan) -> dict[str, Any]:
    """Return the plan as a tree of dicts, lists and scalars."""
    rules = list(dict.fromkeys(stack.rules for stack in plan.stacks))
    return {
        "format": FORMAT,
        "version": VERSION,
        "policy": plan.policy_name,
        "model": plan.model,
        "num_inference_steps": plan.num_inference_steps,
        "cfg": attrs.asdict(plan.cfg),
        "rules": [_lean(CONVERTER.unstructure(one)) for one in rules],
        "stacks": [_stack_tree(stack, rules.index(stack.rules)) for stack in plan.stacks],
    }


def _stack_tree(stack: StackPlan, rules: int) -> dict[str, Any]:
    table = None if stack.table is None else [[*pair] for pair in _runs(stack.table)]
    return {
        "shape": _lean(thaw(CONVERTER.unstructure(stack.shape))),
        "rules": rules,
        "front": stack.front,
        "back": stack.back,
        "units": [[unit.start, unit.stop, unit.kind] for unit in stack.units],
        "mask": stack.mask,
        "table": table,
        "note": stack.note,
    }


def _lean(tree: Any) -> Any:
    """Leave out what is null or empty in a tree."""
    if isinstance(tree, Mapping):
        return {key: _lean(value) for key, value in tree.items() if value is not None and value != {}}
    return tree


def _runs(table: tuple[StepEntry, ...]) -> list[tuple[int, str, str]]:
    """Return runs of equal entries as their length, verdict and reason."""
    runs: list[tuple[int, str, str]] = []
    for entry in table:
        if runs and runs[-1][1:] == (entry.verdict, entry.reason):
            runs[-1] = (runs[-1][0] + 1, entry.verdict, entry.reason)
        else:
            runs.append((1, entry.verdict, entry.reason))
    return runs


def from_json(text: str) -> Plan:
    """Read what `to_json` wrote, as an equal plan.

    Raises:
        PlanError: it is no JSON, no plan, or of another version; the message names the place.
    """
    try:
        tree = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PlanError(f"not a plan: no JSON ({error}); `Plan.to_json` writes one") from None
    return from_tree(tree)


def from_tree(tree: Any) -> Plan:
    """Read a plan from its tree. Raises `PlanError`."""
    if not isinstance(tree, Mapping) or tree.get("format") != FORMAT:
        found = tree.get("format") if isinstance(tree, Mapping) else type(tree).__name__
        raise PlanError(f"not a plan: expected format {FORMAT!r}, got {found!r}; `Plan.to_json` writes one")
    if tree.get("version") != VERSION:
        raise PlanError(
            f"a plan of version {tree.get('version')!r}, but this cachedsl reads version {VERSION}; compile it anew"
        )
    rest = {key: value for key, value in tree.items() if key not in ("format", "version")}
    try:
        written = _read(rest, _Written, "plan")
        rules = [_read(one, Rules, f"plan.rules[{i}]") for i, one in enumerate(written.rules)]
        stacks = [
            _stack(_read(stack, _WrittenStack, f"plan.stacks[{i}]"), rules, f"plan.stacks[{i}]")
            for i, stack in enumerate(written.stacks)
        ]
        cfg = _read(written.cfg, Guidance, "plan.cfg")
    except (ValueError, TypeError, IndexError, KeyError, RecursionError) as error:
        raise PlanError(f"not a plan: {error}") from None
    return Plan(written.policy, written.model, written.num_inference_steps, cfg, stacks)


T = TypeVar("T")


def _read(tree: Any, cls: type[T], place: str) -> T:
    """Make a part of a plan of its tree. Raises `PlanError`, which names the place."""
    try:
        return CONVERTER.structure(tree, cls)
    except BaseValidationError as error:
        raise PlanError(f"not a plan: {'; '.join(transform_error(error, path=place)[:5])}") from None


@attrs.frozen
class _Written:
    policy: str
    model: str
    num_inference_steps: int | None
    cfg: dict[str, str]
    rules: list[dict[str, Any]]
    stacks: list[dict[str, Any]]


@attrs.frozen
class _WrittenStack:
    shape: dict[str, Any]
    rules: int
    front: int
    back: int
    units: list[list[Any]]
    mask: str | None
    table: list[list[Any]] | None
    note: str | None


def _stack(written: _WrittenStack, rules: list[Rules], place: str) -> StackPlan:
    shape = _read(freeze_lists(written.shape), StackShape, f"{place}.shape")
    if not 0 <= written.rules < len(rules):
        raise ValueError(f"{place}: there are no rules {written.rules}, only {len(rules)}")
    units = []
    for index, (start, stop, kind) in enumerate(written.units):
        unit = {"index": index, "start": start, "stop": stop, "kind": kind}
        read = _read(unit, Unit, f"{place}.units[{index}]")
        if not 0 <= read.start < read.stop <= shape.blocks:
            raise ValueError(f"{place}: unit {index} from {start} to {stop} is not in its {shape.blocks} blocks")
        units.append(read)
    if written.mask is not None and set(written.mask) - {"0", "1"}:
        raise ValueError(f"{place}: the mask has other characters than 0 and 1")
    table = None if written.table is None else tuple(_table(written.table, f"{place}.table"))
    return StackPlan(shape, rules[written.rules], written.front, written.back, units, written.mask, table, written.note)


def _table(runs: list[list[Any]], place: str) -> Iterator[StepEntry]:
    for index, (count, verdict, reason) in enumerate(runs):
        if type(count) is not int or not 1 <= count <= MOST_STEPS:
            raise ValueError(f"{place}[{index}]: expected a number of steps from 1 to {MOST_STEPS}, got {count!r}")
        entry = {"verdict": verdict, "reason": reason}
        yield from (_read(entry, StepEntry, f"{place}[{index}]"),) * count


def freeze_lists(tree: Any) -> Any:
    """Return a tree whose lists are tuples, as shapes have them."""
    return {key: freeze(value) if isinstance(value, list) else value for key, value in tree.items()}
