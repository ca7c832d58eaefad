"""Plans as JSON, both ways. The format is named and versioned; what is read is checked as strictly as what is made.

Nothing is written once a stack. Stacks refer to what they share by index: rules, layouts, masks and tables. The first
of the rules, and of the layouts, is written in full, the others as JSON merge patches (RFC 7386) of the first. So one
change of a policy is one change in the JSON of its plan.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, TypeVar

import attrs
from cattrs.errors import BaseValidationError
from cattrs.v import transform_error

from cachedsl.plan.frozen import thaw
from cachedsl.plan.ir import Guidance, Plan, StackPlan, StepEntry, Unit, Verdict
from cachedsl.plan.layout import Layout, layout_of, layout_tree, read_layout
from cachedsl.plan.marks import MOST_BLOCKS, MOST_STEPS, Bits, FirstThenPatches, Index, StepCount
from cachedsl.plan.merge_patch import patch_between, patched
from cachedsl.plan.model_shape import StackShape
from cachedsl.plan.rules import Rules
from cachedsl.plan.strict import strict_converter
from cachedsl.text.finding import CachedslError

FORMAT: Literal["cachedsl.plan"] = "cachedsl.plan"
VERSION: Literal[2] = 2


class PlanError(CachedslError):
    """A text is no plan, or one of another version."""


CONVERTER = strict_converter()


def to_json(plan: Plan) -> str:
    """Return indented JSON with sorted keys and a final newline; what several stacks share is written once."""
    return json.dumps(to_tree(plan), indent=2, sort_keys=True, allow_nan=False) + "\n"


def to_tree(plan: Plan) -> dict[str, Any]:
    """Return the plan as a tree of dicts, lists and scalars."""
    rules = list(dict.fromkeys(stack.rules for stack in plan.stacks))
    layouts = list(dict.fromkeys(layout_of(stack) for stack in plan.stacks))
    masks = list(dict.fromkeys(stack.mask for stack in plan.stacks if stack.mask is not None))
    tables = list(dict.fromkeys(stack.table for stack in plan.stacks if stack.table is not None))

    def tree_of(stack: StackPlan) -> dict[str, Any]:
        return {
            "shape": _lean(thaw(CONVERTER.unstructure(stack.shape))),
            "rules": rules.index(stack.rules),
            "layout": layouts.index(layout_of(stack)),
            "mask": None if stack.mask is None else masks.index(stack.mask),
            "table": None if stack.table is None else tables.index(stack.table),
            "note": stack.note,
        }

    return {
        "format": FORMAT,
        "version": VERSION,
        "policy": plan.policy_name,
        "model": plan.model,
        "num_inference_steps": plan.num_inference_steps,
        "cfg": attrs.asdict(plan.cfg),
        "rules": _as_patches([_lean(thaw(CONVERTER.unstructure(one))) for one in rules]),
        "layouts": _as_patches([thaw(layout_tree(one)) for one in layouts]),
        "masks": masks,
        "tables": [[[*run] for run in _runs(table)] for table in tables],
        "stacks": [tree_of(stack) for stack in plan.stacks],
    }


def _as_patches(trees: list[Any]) -> list[Any]:
    """Return the first tree, and what each other one changes in it."""
    return [*trees[:1], *(patch_between(trees[0], tree) for tree in trees[1:])]


def _from_patches(trees: list[Any]) -> list[Any]:
    return [*trees[:1], *(patched(trees[0], patch) for patch in trees[1:])]


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
        tree = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise PlanError(f"not a plan: no JSON ({error}); `Plan.to_json` writes one") from None
    return from_tree(tree)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no value of JSON")


def from_tree(tree: Any) -> Plan:
    """Read a plan from its tree. Raises `PlanError`."""
    if not isinstance(tree, Mapping) or tree.get("format") != FORMAT:
        found = tree.get("format") if isinstance(tree, Mapping) else type(tree).__name__
        raise PlanError(f"not a plan: expected format {FORMAT!r}, got {found!r}; `Plan.to_json` writes one")
    if tree.get("version") != VERSION:
        raise PlanError(
            f"a plan of version {tree.get('version')!r}, but this cachedsl reads version {VERSION}; compile it anew"
        )
    written = _read(tree, WrittenPlan, "plan")
    try:
        shared = _Shared(
            [_read(one, Rules, f"plan.rules[{i}]") for i, one in enumerate(_from_patches(written.rules))],
            [_layout(one, f"plan.layouts[{i}]") for i, one in enumerate(_from_patches(written.layouts))],
            [_mask(one, f"plan.masks[{i}]") for i, one in enumerate(written.masks)],
            [tuple(_table(one, f"plan.tables[{i}]")) for i, one in enumerate(written.tables)],
        )
        stacks = [_stack(stack, shared, f"plan.stacks[{i}]") for i, stack in enumerate(written.stacks)]
        if sum(len(stack.units) for stack in stacks) > MOST_BLOCKS:
            raise ValueError(f"more than {MOST_BLOCKS} units in all stacks")
    except (ValueError, TypeError, IndexError, KeyError, RecursionError) as error:
        raise PlanError(f"not a plan: {error}") from None
    return Plan(written.policy, written.model, written.num_inference_steps, written.cfg, stacks)


T = TypeVar("T")


def _read(tree: Any, cls: type[T], place: str) -> T:
    """Make a part of a plan of its tree. Raises `PlanError`, which names the place."""
    try:
        return CONVERTER.structure(tree, cls)
    except BaseValidationError as error:
        raise PlanError(f"not a plan: {'; '.join(transform_error(error, path=place)[:5])}") from None


Run = tuple[StepCount, Verdict, str]
"""How many steps, their verdict, and the reason of it."""


@attrs.frozen
class WrittenStack:
    """A block list, or a chain of them; what governs it is named by index.

    Attributes:
        shape: which list, and its block count.
        rules: index into `rules` of what governs it.
        layout: index into `layouts` of how its blocks are parted.
        mask: index into `masks` of its step mask; null without one.
        table: index into `tables` of what is known of its steps beforehand; null without a step count.
        note: why it runs in full, where it does; else null.
    """

    shape: StackShape
    rules: Index
    layout: Index
    mask: Index | None
    table: Index | None
    note: str | None


@attrs.frozen
class WrittenPlan:
    """What a policy comes to on one model.

    Attributes:
        format: the name of this format.
        version: its version.
        policy: the policy's name.
        model: what the model is called.
        num_inference_steps: steps of the run; null where the count is not known.
        cfg: how classifier-free guidance reaches the transformer.
        rules: what governs stacks. The first is whole, each other one a JSON merge patch (RFC 7386) of the first.
        layouts: how the blocks of stacks are parted. The first is whole, each other one a patch of the first.
        masks: step masks, one digit a step; 1 is computed.
        tables: what is known of every step beforehand, as runs of equal steps: how many, verdict and reason.
        stacks: of every transformer, in execution order.
    """

    format: Literal["cachedsl.plan"]
    version: Literal[2]
    policy: str
    model: str
    num_inference_steps: int | None
    cfg: Guidance
    rules: Annotated[list[dict[str, Any]], FirstThenPatches(Rules)]
    layouts: Annotated[list[dict[str, Any]], FirstThenPatches(Layout)]
    masks: list[Bits]
    tables: list[list[Run]]
    stacks: list[WrittenStack]


@attrs.frozen
class _Shared:
    """What stacks refer to by index."""

    rules: list[Rules]
    layouts: list[Layout]
    masks: list[str]
    tables: list[tuple[StepEntry, ...]]


def _stack(written: WrittenStack, shared: _Shared, place: str) -> StackPlan:
    shape = written.shape
    if not 0 <= shape.blocks <= MOST_BLOCKS:
        raise ValueError(f"{place}: {shape.blocks} blocks; expected a number from 0 to {MOST_BLOCKS}")
    layout = _taken(shared.layouts, written.layout, "layout", place)
    units = []
    for index, (start, stop, kind) in enumerate(layout.spans(shape.blocks)):
        if not 0 <= start < stop <= shape.blocks:
            raise ValueError(f"{place}: unit {index} from {start} to {stop} is not in its {shape.blocks} blocks")
        units.append(Unit(index, start, stop, kind))
    return StackPlan(
        shape,
        _taken(shared.rules, written.rules, "rules", place),
        layout.front_of(shape.blocks),
        layout.back,
        units,
        None if written.mask is None else _taken(shared.masks, written.mask, "mask", place),
        None if written.table is None else _taken(shared.tables, written.table, "table", place),
        written.note,
    )


def _taken(shared: list[T], index: int, what: str, place: str) -> T:
    if not 0 <= index < len(shared):
        raise ValueError(f"{place}: there is no {what} {index}; there are {len(shared)}")
    return shared[index]


def _layout(tree: Any, place: str) -> Layout:
    try:
        return read_layout(tree)
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None


def _mask(bits: str, place: str) -> str:
    if set(bits) - {"0", "1"}:
        raise ValueError(f"{place}: the mask has other characters than 0 and 1")
    return bits


def _table(runs: list[Run], place: str) -> Iterator[StepEntry]:
    for index, (count, verdict, reason) in enumerate(runs):
        if not 1 <= count <= MOST_STEPS:
            raise ValueError(f"{place}[{index}]: expected a number of steps from 1 to {MOST_STEPS}, got {count!r}")
        yield from (StepEntry(verdict, reason),) * count
