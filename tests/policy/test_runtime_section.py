"""The `runtime` section: read, merged and written like every part, and of no effect on the plan."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import evolve

from cachedsl import Policy, PolicyError, compile_policy, load_policy
from cachedsl.language.runtime import Parallel, Quantize, Runtime
from cachedsl.loading import parse_policy
from cachedsl.plan.model_shape import ModelShape, StackShape

SHAPE = ModelShape([StackShape("blocks", 20)])
TEXT = """\
version: 1
runtime:
  quantize: {transformer: {kind: int8_weight_only, exclude: [proj_out]}, vae: int8_dynamic}
  parallel: {ulysses: 2, ring: 3}
"""


def test_it_is_read_and_written() -> None:
    policy = parse_policy(TEXT)
    assert policy.runtime == Runtime(
        (("transformer", Quantize("int8_weight_only", ("proj_out",))), ("vae", Quantize("int8_dynamic"))),
        Parallel(2, 3),
    )
    assert parse_policy(policy.to_yaml()) == evolve(policy, name="string")
    assert list(policy.runtime.asked()) == ["quantize", "parallel"], "in the order that they are engaged in"
    assert Runtime().asked() == {}
    assert Policy(runtime={"parallel": {"ulysses": 2}}).runtime.parallel == Parallel(ulysses=2)


def test_it_never_changes_the_plan() -> None:
    with_it, without = (Policy(name="p", compute="F1B0", runtime=r) for r in (parse_policy(TEXT).runtime, None))
    assert compile_policy(with_it, SHAPE, 9).to_json() == compile_policy(without, SHAPE, 9).to_json()


def test_a_child_changes_single_keys_of_it(tmp_path: Path) -> None:
    (tmp_path / "parent.yaml").write_text(TEXT, "utf-8")
    child = "version: 1\nextends: parent.yaml\nruntime: {parallel: {ring: 1}, quantize: {vae: null}}\n"
    (tmp_path / "child.yaml").write_text(child, "utf-8")
    runtime = load_policy(tmp_path / "child.yaml").runtime
    assert runtime.parallel == Parallel(ulysses=2)
    assert [name for name, _ in runtime.quantize] == ["transformer"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("parallel: {ulysses: 0}", "runtime.parallel.ulysses: expected a whole number of at least 1, got `0`"),
        ("parallel: {ulises: 2}", "did you mean `ulysses`?"),
        ("quantize: {transformer: int7}", "int8_weight_only"),
        ("quantize: {transformer: {exclude: [x]}}", "key `kind` is missing in `runtime.quantize.transformer`"),
        ("quantize: {'a b': int8_dynamic}", "expected the name of a pipeline's component"),
        ("quantize: [transformer]", "expected a mapping of components to kinds of quantisation"),
        ("{}\nstacks: {a: {runtime: {}}}", "unknown key `runtime` in `stacks.a`"),
    ],
)
def test_what_it_may_not_say_is_named(text: str, message: str) -> None:
    with pytest.raises(PolicyError) as error:
        parse_policy(
            f"version: 1\nruntime: {'' if text.startswith('{}') else '{'}{text}{'' if text.startswith('{}') else '}'}\n"
        )
    assert message in str(error.value)


def test_notation_says_that_it_cannot_express_it() -> None:
    with pytest.raises(Exception, match="runtime"):
        _ = parse_policy(TEXT).notation
