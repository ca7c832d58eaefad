"""Check a plan that was written to a file: it must be one that this version reads, and would write."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from cachedsl.plan.codec import FORMAT, VERSION, PlanError, from_tree, to_json
from cachedsl.plan.ir import Plan
from cachedsl.text.finding import Finding, Rule
from cachedsl.text.scalars import printable, shortened
from cachedsl.text.tree import Document, Node

MAX_STEPS = 100_000
"""Steps that the tables of a plan may have in all."""

BAD_PLAN = Rule(
    "bad-plan",
    "shape",
    "a plan that cannot be read, or that contradicts itself",
    why="A plan is made by compiling a policy, and cachedsl reads it as strictly as it writes it. A plan that "
    "was edited by hand, cut off, or written by another version of cachedsl may say something else than "
    "the policy does.",
    bad=f"format: {FORMAT}\nversion: 0",
    good="# cachedsl plan POLICY --model MODEL -o plan.json",
)
OTHER_FORM = Rule(
    "plan-form",
    "shape",
    "a plan that is not written the way this version writes it",
    severity="warning",
    why="The plan can be read, but compiling the policy again would give another file. The next person to do "
    "so would see a difference although nothing has changed.",
    bad='"tables": [[[1, "compute", "warmup"], [1, "compute", "warmup"]]]',
    good='"tables": [[[2, "compute", "warmup"]]]',
    category="style",
)
RULES = (BAD_PLAN, OTHER_FORM)
HINT = "compile the policy anew: cachedsl plan POLICY --model MODEL -o FILE"

Path = tuple["str | int", ...]


def plan_findings(document: Document) -> Iterator[Finding]:
    """Yield what is wrong with a plan."""
    yield from document.findings
    root = document.root
    if root is None or document.findings:
        return
    tree = root.plain()
    excess = _excess(tree)
    if excess is not None:
        yield BAD_PLAN.finding(excess, root.span, HINT)
        return
    try:
        plan = from_tree(tree)
        written = json.loads(to_json(plan))
    except PlanError as error:
        at = _find(root, ("version",) if tree.get("version") != VERSION else ())
        yield BAD_PLAN.finding(shortened(str(error), 400), at.span, HINT)
        return
    except (ValueError, TypeError, ArithmeticError, AttributeError) as error:
        yield BAD_PLAN.finding(f"not a plan: {shortened(str(error), 400)}", root.span, HINT)
        return
    contradictions = list(_contradictions(plan))
    for path, message in contradictions:
        yield BAD_PLAN.finding(message, _find(root, path).span, HINT)
    difference = None if contradictions else _difference(tree, written)
    if difference is not None:
        where = printable(".".join(map(str, difference))) or "the plan"
        message = f"{where}: this version of cachedsl writes something else here"
        yield OTHER_FORM.finding(message, _find(root, difference).span, HINT)


def _excess(tree: Mapping[str, Any]) -> str | None:
    """Say that the tables are longer than any run, before they are written out."""
    total = 0
    tables = tree.get("tables")
    for table in tables if isinstance(tables, list) else ():
        for entry in table if isinstance(table, list) else ():
            count = entry[0] if isinstance(entry, list) and entry else 0
            if isinstance(count, bool) or not isinstance(count, int) or count < 1:
                return "a run of the table has no length of at least 1"
            total += count
    if total > MAX_STEPS:
        return f"the tables have {shortened(str(total), 40)} steps; at most {MAX_STEPS} are read"
    return None


def _contradictions(plan: Plan) -> Iterator[tuple[Path, str]]:
    steps = plan.num_inference_steps
    if not plan.stacks:
        yield ("stacks",), "the plan has no stacks"
    for index, stack in enumerate(plan.stacks):
        place: Path = ("stacks", index)
        name = shortened(stack.shape.qualified)
        if stack.front < 0 or stack.back < 0 or stack.front + stack.back > stack.blocks:
            ends = f"{stack.front} front and {stack.back} back blocks"
            yield (*place, "front"), f"{name}: {ends} do not fit in its {stack.blocks} blocks"
        for key, value in (("table", stack.table), ("mask", stack.mask)):
            if value is not None and len(value) != steps:
                yield (*place, key), f"{name}: the {key} has {len(value)} steps, the plan {steps}"
        behind = 0
        for number, unit in enumerate(stack.units):
            if unit.start < behind:
                yield (*place, "units", number), f"{name}: unit {number} begins before block {behind}"
                break
            behind = unit.stop


def _difference(tree: Any, other: Any) -> Path | None:
    """Return where two trees first differ."""
    if isinstance(tree, Mapping) and isinstance(other, Mapping):
        if tree.keys() != other.keys():
            extra = next(iter(tree.keys() - other.keys()), None)
            return () if extra is None else (extra,)
        steps: Any = other
    elif isinstance(tree, list) and isinstance(other, list) and len(tree) == len(other):
        steps = range(len(tree))
    else:
        same = tree == other and isinstance(tree, bool) == isinstance(other, bool)
        return None if same else ()
    for step in steps:
        below = _difference(tree[step], other[step])
        if below is not None:
            return (step, *below)
    return None


def _find(root: Node, path: Path) -> Node:
    """Return the node at `path`, or the nearest one around it."""
    node = root
    for step in path:
        inner: Any = node.value
        there = isinstance(inner, dict) and step in inner
        there = there or (isinstance(inner, list) and isinstance(step, int) and step < len(inner))
        if not there:
            break
        node = inner[step]
    return node
