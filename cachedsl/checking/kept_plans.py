"""The plans that the `plans` table of a repository names: compared with what policies come to now, and written."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

from attrs import frozen

from cachedsl.checking.plans_table import BAD_TABLE, PlansEntry, PlansTable, no_policy
from cachedsl.explain.diff import Change, PlanDiff, diff
from cachedsl.explain.diff_report import Compared
from cachedsl.language.policy import Policy, stem_of
from cachedsl.loading import bundled_path, load_document, load_policy
from cachedsl.lower.compile import compile_policy
from cachedsl.matching.reading import shape_called
from cachedsl.plan.codec import FORMAT, PlanError, from_json, to_json
from cachedsl.plan.ir import Plan
from cachedsl.text.document import read_document
from cachedsl.text.finding import CachedslError, Finding, PolicyError
from cachedsl.text.globs import files_that_match, is_pattern
from cachedsl.text.paths import real_path, reason
from cachedsl.text.tree import Node
from cachedsl.text.writing import write_whole

_KEPT = re.compile(r".+\.[A-Za-z0-9._-]+\.\d+\.json", re.DOTALL)


@frozen
class KeptPlan:
    """One plan of the table: the policy (a file below the root, or a bundled name), what it is for, and its file."""

    policy: str
    model: str
    steps: int
    file: Path


@frozen
class Kept:
    """A plan of the table, what became of it, and its text as it must be; None where it cannot be made."""

    plan: KeptPlan
    compared: Compared
    text: str | None


def kept_plans(table: PlansTable) -> tuple[KeptPlan, ...]:
    """Return every plan that the table names.

    Raises:
        PolicyError: an entry names no policy, or two plans would be in one file.
    """
    found: dict[Path, KeptPlan] = {}
    wrong: list[Finding] = []
    for entry in table.entries:
        files = [str(path) for path in files_that_match(table.root, entry.policy)]
        if not files and bundled_path(entry.policy) is not None:
            files = [entry.policy]
        if not files:
            wrong += filter(None, [no_policy(table.root, entry)])
        for plan in (
            _kept(entry, file, model, steps) for file in files for model in entry.models for steps in entry.steps
        ):
            other = found.setdefault(plan.file, plan)
            if other != plan:
                message = f"plans: {other.policy} and {plan.policy} would both be in {plan.file}"
                wrong.append(BAD_TABLE.finding(message, entry.span, "give one of them another folder"))
    if wrong:
        raise PolicyError(wrong)
    return tuple(found.values())


def _kept(entry: PlansEntry, policy: str, model: str, steps: int) -> KeptPlan:
    """Return where the plan is: below the folder as the policy is below the part of the pattern without signs."""
    fixed = Path(*_fixed(Path(entry.policy).parts[:-1]))
    inside = Path(policy).parent.relative_to(fixed) if Path(policy).is_relative_to(fixed) else Path()
    spelt = Path(model).stem if model.endswith((".yaml", ".yml")) else model
    name = f"{stem_of(policy)}.{re.sub(r'[^A-Za-z0-9._-]+', '-', spelt)}.{steps}.json"
    return KeptPlan(policy, model, steps, Path(entry.folder) / inside / name)


def _fixed(parts: tuple[str, ...]) -> Iterator[str]:
    for part in parts:
        if is_pattern(part):
            return
        yield part


def compare_kept(table: PlansTable) -> Iterator[Kept]:
    """Yield what became of every plan of the table, in its order."""
    policies: dict[str, Policy | CachedslError] = {}
    for plan in kept_plans(table):
        if plan.policy not in policies:
            policies[plan.policy] = _load(table, plan.policy)
        yield _compared(table, plan, policies[plan.policy])


def _load(table: PlansTable, name: str) -> Policy | CachedslError:
    path = table.root / name
    try:
        return load_document(read_document(path, shown(path)), real_path(path)) if path.is_file() else load_policy(name)
    except CachedslError as error:
        return error


def shown(path: Path) -> str:
    """Return a path as seen from where the user is."""
    try:
        return os.path.relpath(path)
    except ValueError:  # another drive
        return str(path)


def _compared(table: PlansTable, kept: KeptPlan, policy: Policy | CachedslError) -> Kept:
    try:
        if isinstance(policy, CachedslError):
            raise policy
        plan = compile_policy(policy, shape_called(_model(table, kept.model)), kept.steps)
    except CachedslError as error:
        return Kept(kept, Compared(kept.policy, "refused", kept.model, kept.steps, why=str(error)), None)
    text = to_json(plan)
    try:
        before = (table.root / kept.file).read_text(encoding="utf-8")
    except FileNotFoundError:
        return Kept(kept, Compared(kept.policy, "added", kept.model, kept.steps, plan=plan), text)
    except (OSError, UnicodeDecodeError) as error:
        said = reason(error) if isinstance(error, OSError) else "it is no UTF-8 text"
        why = f"{shown(table.root / kept.file)} cannot be read: {said}"
        return Kept(kept, Compared(kept.policy, "changed", kept.model, kept.steps, why=why), text)
    if before == text:
        return Kept(kept, Compared(kept.policy, "same", kept.model, kept.steps), text)
    return Kept(kept, _changed(table, kept, policy, before, plan), text)


def _model(table: PlansTable, name: str) -> str:
    """Return a model's name, or the path of an adapter that is named from the table's folder."""
    path = table.root / name
    return str(path) if name.endswith((".yaml", ".yml")) and path.is_file() else name


def _changed(table: PlansTable, kept: KeptPlan, policy: Policy, before: str, plan: Plan) -> Compared:
    name = shown(table.root / kept.file)
    try:
        found = diff(from_json(before), plan)
    except PlanError as error:
        return Compared(kept.policy, "changed", kept.model, kept.steps, why=f"{name}: {error}")
    if not found:
        why = f"{name} means the same, but is not written as this version of cachedsl writes it"
        return Compared(kept.policy, "changed", kept.model, kept.steps, why=why)
    return Compared(kept.policy, "changed", kept.model, kept.steps, found, because=causes(policy, found))


def causes(policy: Policy, found: PlanDiff) -> tuple[str, ...]:
    """Return the places in a policy's parents that say what has changed; nothing where it says so itself."""
    if policy.origin is None or len(policy.origin.roots) < 2:
        return ()
    everywhere = {stack.shape.qualified for stack in found.new.stacks}
    changes = [change for change in found.changes if change.key and change.what != "steps"]
    places = (_cause(policy, change, set(change.stacks) < everywhere) for change in changes)
    return tuple(dict.fromkeys(place for place in places if place))


def _cause(policy: Policy, change: Change, some: bool) -> str:
    """Return the place in a parent; of a change of `some` stacks, that in an entry of `stacks` where there is one."""
    assert policy.origin is not None
    own, *parents = policy.origin.roots
    name = ".".join(change.key)
    for root in (own, *parents):
        entries = root.mapping.get("stacks")
        paths = [("stacks", entry, *change.key) for entry in ({} if entries is None else entries.mapping)]
        for path in (*paths, change.key) if some else (change.key, *paths):
            node = _written(root, path)
            if node is not None:
                return "" if root is own else f"{node.span} ({name}), which {own.span.file} extends"
    files = " nor ".join(dict.fromkeys(root.span.file for root in (own, *parents)))
    return f"{name}, which neither {files} writes any more"


def _written(root: Node, path: tuple[str, ...]) -> Node | None:
    """Return the node at `path`, or the shorthand that stands for it; None where neither is written."""
    node = root
    for step in path:
        if step not in node.mapping:
            return node if node is not root and not isinstance(node.value, dict) else None
        node = node.mapping[step]
    return node


def stale_files(table: PlansTable) -> tuple[Path, ...]:
    """Return the plans in the table's folders that no entry asks for, relative to the root, sorted.

    Only files with such a name as `write_kept` gives are looked at: a plan by another name is somebody else's.
    """
    wanted = {plan.file for plan in kept_plans(table)}
    found = set()
    for folder in {entry.folder for entry in table.entries}:
        for inside in (Path(folder) / file for file in files_that_match(table.root / folder, "**/*.json")):
            if inside not in wanted and _KEPT.fullmatch(inside.name) and _is_plan(table.root / inside):
                found.add(inside)
    return tuple(sorted(found))


def _is_plan(path: Path) -> bool:
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(tree, dict) and tree.get("format") == FORMAT


def write_kept(table: PlansTable, kept: Kept) -> bool:
    """Write one plan whole where it is not as it must be; tell whether it was written.

    Raises:
        OSError: the system refused; the file is as it was.
    """
    if kept.text is None or kept.compared.status == "same":
        return False
    path = table.root / kept.plan.file
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, kept.text)
    return True
