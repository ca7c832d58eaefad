"""What a policy file means, and that writing and reading it changes nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from cachedsl import CachedslError, Policy, PolicyError, bundled_policies, load_policy
from cachedsl.language.dump import to_yaml
from cachedsl.language.masks import AtMask, BitMask, BudgetMask, EveryMask, PresetMask, RunsMask
from cachedsl.language.parts import (
    Accumulated,
    Cfg,
    Compute,
    Dynamic,
    Predict,
    Prune,
    Refresh,
    Reuse,
    Signal,
    Warmup,
)
from cachedsl.language.ratios import Ratios
from cachedsl.loading import check_file, parse_policy
from tests.strategies import policies

ROOT = Path(__file__).resolve().parent.parent.parent


def read(text: str) -> Policy:
    return parse_policy(f"version: 1\n{text}\n")


def test_version_alone_is_a_policy_with_every_default() -> None:
    policy = read("")
    assert policy == Policy(name="string")
    assert (policy.compute, policy.warmup, policy.tail) == (Compute(8, 0), Warmup(8, 1), 0)
    assert policy.reuse == Reuse(0.08, "residual", None, None, None)
    assert (policy.predict, policy.cfg) == (Predict("copy"), Cfg("auto", "cond_first", "per_branch"))
    assert (policy.steps, policy.refresh, policy.stacks) == (None, None, ())


def test_the_example_of_the_language_page_is_the_bundled_policy() -> None:
    assert load_policy("f8b8-taylor.yaml") == Policy(
        name="f8b8-taylor",
        description="F8B8, warmup 8, at most 3 reused steps in a row, Taylor order 1, separate CFG.",
        compute=Compute(8, 8),
        warmup=Warmup(8),
        reuse=Reuse(0.12, max_continuous=3),
        predict=Predict("taylor", 1),
        cfg=Cfg("separate"),
    )


@pytest.mark.parametrize(
    ("text", "field", "expected"),
    [
        ("compute: F1B2", "compute", Compute(1, 2)),
        ("compute: {back: 3}", "compute", Compute(8, 3)),
        ("warmup: 3", "warmup", Warmup(3, 1)),
        ("warmup: {steps: 6, interval: 2}", "warmup", Warmup(6, 2)),
        ("warmup: {interval: 2}", "warmup", Warmup(8, 2)),
        ("warmup: 0o17", "warmup", Warmup(15)),
        ("warmup: 017", "warmup", Warmup(17)),
        ("tail: 2", "tail", 2),
        ("tail: 2.0", "tail", 2),
        ("reuse: {threshold: always}", "reuse", Reuse("always")),
        ("reuse: {threshold: 1e-1}", "reuse", Reuse(0.1)),
        ("reuse: {threshold: 0}", "reuse", Reuse(0.0)),
        ("reuse: {max_total: 9, max_continuous: null}", "reuse", Reuse(max_total=9)),
        ("reuse: {max_accumulated: 0.5}", "reuse", Reuse(max_accumulated=Accumulated(0.5, "on_compute"))),
        (
            "reuse: {max_accumulated: {limit: 1, reset: never}}",
            "reuse",
            Reuse(max_accumulated=Accumulated(1.0, "never")),
        ),
        ("reuse: {signal: hidden_states}", "reuse", Reuse(signal="hidden_states")),
        ("predict: taylor", "predict", Predict("taylor", 1)),
        ("predict: {method: taylor, order: 4}", "predict", Predict("taylor", 4)),
        ("cfg: fused", "cfg", Cfg("fused")),
        ("cfg: {decision: follow_first}", "cfg", Cfg(decision="follow_first")),
        ('steps: "1101"', "steps", BitMask("1101", "dynamic")),
        ('steps: {bits: "1101", otherwise: static}', "steps", BitMask("1101", "static")),
        ("steps: {compute: [6, 1], cache: [2]}", "steps", RunsMask((6, 1), (2,))),
        ("steps: {at: [9, 0, 1, 9], otherwise: static}", "steps", AtMask((0, 1, 9), "static")),
        ("compute: {back: 3, back_blocks: [2, 0], back_threshold: 0.1}", "compute", Compute(8, 3, (0, 2), 0.1)),
        ("span: joined", "span", "joined"),
        ("prune: {}", "prune", Prune()),
        ("prune: {keep: [3, 1], dynamic: {}, update_interval: 2}", "prune", Prune((1, 3), Dynamic(), 2)),
        ("prune: {dynamic: {relax: 2, max: 0.5}}", "prune", Prune((), Dynamic(2.0, 0.5))),
        ("steps: fast", "steps", PresetMask("fast")),
        ("steps: {preset: slow, otherwise: static}", "steps", PresetMask("slow", "static")),
        ("steps: {every: 4, from: 8}", "steps", EveryMask(4, 8)),
        ("steps: {every: 3}", "steps", EveryMask(3)),
        ("steps: {budget: 14, power: 1.25}", "steps", BudgetMask(14, 1.25)),
        ("steps: {budget: 14, power: null}", "steps", BudgetMask(14)),
        ("refresh: 25", "refresh", Refresh(25)),
        ("refresh: {at: 10, repeat: true}", "refresh", Refresh(10, True)),
        ("description: on", "description", "on"),
        ("name: no", "name", "no"),
    ],
)
def test_what_a_key_means(text: str, field: str, expected: Any) -> None:
    assert getattr(read(text), field) == expected


def test_policies_are_hashable_and_compare_without_their_origin() -> None:
    one, other = parse_policy("version: 1", "a.yaml"), parse_policy("version: 1\n\nname: a", "b.yaml")
    assert one == other
    assert len({one, other, load_policy("f8b0")}) == 2
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        one.tail = 3  # type: ignore[misc]


def test_overrides_of_stacks_are_laid_in_order_of_specificity() -> None:
    policy = read(
        "tail: 1\nstacks:\n  single_blocks: {reuse: {threshold: 0.3}}\n  '*': {tail: 2, reuse: {threshold: 0.1}}\n"
        "  single_*: {reuse: {max_total: 5}, warmup: 3}\n  transformer_2.*: {tail: null}"
    )
    single = policy.for_stack("transformer", "single_blocks")
    assert (single.tail, single.reuse) == (2, Reuse(0.3, max_total=5))
    assert single.warmup == Warmup(3)
    assert policy.for_stack("transformer_2", "blocks").tail == 0
    assert policy.for_stack("transformer", "blocks").tail == 2
    assert policy.for_stack("transformer", "blocks").reuse == Reuse(0.1)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "sub").mkdir()
    return tmp_path


def test_extends_merges_key_by_key(tree: Path) -> None:
    (tree / "base.yaml").write_text(
        "version: 1\nname: base\ndescription: the base\nwarmup: {steps: 6, interval: 2}\npredict: {method: taylor, order: 3}\n"
        "reuse: {threshold: 0.3, max_total: 9, max_accumulated: 0.4}\nsteps: {compute: [3], cache: [2]}\n"
        "stacks: {blocks: {tail: 4}, other: {tail: 5}, third: {warmup: 2}}\n"
    )
    (tree / "sub" / "child.yaml").write_text(
        "version: 1\nextends: ../base.yaml\nwarmup: 4\npredict: copy\nreuse: {threshold: 0.2, max_total: null}\n"
        "steps: {at: [0, 1]}\nstacks: {blocks: {warmup: 3}, other: null, third: {warmup: null}}\n"
    )
    child = load_policy(tree / "sub" / "child.yaml")
    assert (child.name, child.description) == ("child", "")
    assert child.warmup == Warmup(4, 1)  # a shorthand is a whole value
    assert child.predict == Predict("copy")
    assert child.reuse == Reuse(0.2, max_accumulated=Accumulated(0.4))
    assert child.steps == AtMask((0, 1))
    blocks = child.for_stack("t", "blocks")
    assert (blocks.tail, blocks.warmup.steps) == (4, 3)
    assert child.for_stack("t", "other").tail == 0
    assert child.for_stack("t", "third").warmup == Warmup()
    assert child.place("reuse", "threshold").file.endswith("child.yaml")
    assert child.place("reuse", "max_accumulated").file.endswith("base.yaml")


def test_extends_takes_bundled_policies_and_another_method_drops_the_parameters(tree: Path) -> None:
    (tree / "a.yaml").write_text("version: 1\nextends: f8b8-taylor\npredict: {method: copy}\ncfg: null\n")
    policy = load_policy(tree / "a.yaml")
    assert policy.predict == Predict("copy")
    assert policy.cfg == Cfg()
    assert policy.reuse.max_continuous == 3
    assert parse_policy("version: 1\nextends: f8b0.yaml").reuse.threshold == 0.08


TAYLOR = "{method: taylor, order: 3, target: hidden_states, repay: 1, clock: sigma}"
PREDICTORS = {
    "{method: newton}": Predict("newton"),
    "{method: newton, order: 2}": Predict("newton", 2),
    "{method: null}": Predict(),
    "{repay: null}": Predict("taylor", 3, target="hidden_states", clock="sigma"),
    "{method: taylor, order: 2}": Predict("taylor", 2, target="hidden_states", repay=1.0, clock="sigma"),
    "newton": Predict("newton"),
}


@pytest.mark.parametrize("text", PREDICTORS)
def test_another_method_begins_anew_over_a_parent_and_over_the_policy_of_a_stack(tree: Path, text: str) -> None:
    """What was chosen for one predictor says nothing of another, even where both read it."""
    (tree / "a.yaml").write_text(f"version: 1\npredict: {TAYLOR}\nstacks: {{x: {{predict: {TAYLOR}}}}}\n")
    (tree / "b.yaml").write_text(f"version: 1\nextends: a.yaml\npredict: {text}\nstacks: {{x: {{predict: {text}}}}}\n")
    child = load_policy(tree / "b.yaml")
    assert child.predict == PREDICTORS[text]
    assert child.for_stack("t", "x").predict == PREDICTORS[text]
    stack = read(f"predict: {TAYLOR}\nstacks: {{x: {{predict: {text}}}}}").for_stack("t", "x")
    assert stack.predict == PREDICTORS[text]


def test_a_method_over_a_parent_s_entry_that_left_it_open(tree: Path) -> None:
    (tree / "a.yaml").write_text("version: 1\npredict: taylor\nstacks: {x: {predict: {order: 3}}}\n")
    (tree / "b.yaml").write_text("version: 1\nextends: a.yaml\nstacks: {x: {predict: {method: copy}}}\n")
    assert load_policy(tree / "b.yaml").for_stack("t", "x").predict == Predict()


def test_another_tap_of_a_bundled_policy_leaves_its_coefficients_behind(tree: Path) -> None:
    (tree / "a.yaml").write_text(
        "version: 1\nextends: teacache-flux\nreuse: {signal: {tap: filtered_latent, stride: 2}}\n"
    )
    assert load_policy(tree / "a.yaml").reuse.signal == attrs.evolve(Signal("filtered_latent"), stride=2)


def test_stacks_are_laid_over_the_policy_key_by_key_down_to_the_last_mapping() -> None:
    policy = read(
        "reuse: {max_accumulated: {limit: 1, reset: never}}\n"
        "prune: {dynamic: {relax: 2, max: 1}, keep: [9], update_interval: 2}\n"
        "stacks:\n  a: {reuse: {max_accumulated: {limit: 2}}, prune: {keep: [1]}}\n"
        "  b: {reuse: {max_accumulated: 3}, prune: {dynamic: {relax: null}}}\n"
        "  c: {reuse: {max_accumulated: null}, prune: {dynamic: null, keep: null}}\n  d: {prune: null}\n  e: {prune: {}}\n"
    )
    stacks = {name: policy.for_stack("t", name) for name in "abcde"}
    assert [stacks[name].reuse.max_accumulated for name in "abc"] == [
        Accumulated(2.0, "never"), Accumulated(3.0, "on_compute"), None,
    ]  # fmt: skip
    assert [stacks[name].prune for name in "abcde"] == [
        Prune((1,), Dynamic(2.0, 1.0), 2), Prune((9,), Dynamic(1.25, 1.0), 2), Prune((), None, 2), None, policy.prune,
    ]  # fmt: skip
    absent = read("stacks: {x: {prune: {dynamic: {max: 1}}, reuse: {max_accumulated: {limit: 2}}}}").for_stack("t", "x")
    assert (absent.prune, absent.reuse.max_accumulated) == (Prune((), Dynamic(1.25, 1.0)), Accumulated(2.0))
    assert policy.expand() == policy


IDLE = {
    "compute: {back: 2, back_blocks: [0], back_threshold: 0.1}": "compute: {back_blocks: [0, 1]}",
    "predict: {method: taylor, repay: 0.5}": "predict: {streams: [encoder]}",
    "cfg: {mode: separate, order: uncond_first}": "cfg: {mode: fused}",
    "prune: {dynamic: {}}": "reuse: {threshold: always}",
    "prune: {dynamic: {relax: 2}}": "steps: {every: 2, otherwise: static}",
    "prune: {dynamic: {max: 0.2}}": "reuse: {threshold: 0.3}",
}


@pytest.mark.parametrize("parent", IDLE)
def test_what_is_inherited_may_lose_its_effect_but_what_is_written_may_not(tree: Path, parent: str) -> None:
    """The child's author wrote nothing wrong; what the child means is then written without the idle key."""
    (tree / "a.yaml").write_text(f"version: 1\n{parent}\n")
    (tree / "b.yaml").write_text(f"version: 1\nextends: a.yaml\n{IDLE[parent]}\n")
    child = load_policy(tree / "b.yaml")
    assert child.expand() == child
    (tree / "c.yaml").write_text(f"version: 1\nextends: b.yaml\n{parent}\n")
    if parent.startswith(("prune", "predict")):
        (finding,) = check_file(tree / "c.yaml", "c.yaml")
        assert (finding.code, finding.span.file) == ("no-effect", "c.yaml")


def test_a_key_that_a_stack_gives_an_effect_has_one() -> None:
    policy = read("reuse: {threshold: always}\nprune: {dynamic: {}}\nstacks: {x: {reuse: {threshold: 0.1}}}")
    assert policy.for_stack("t", "x").prune == Prune((), Dynamic())


def test_extends_stays_inside_the_tree_even_through_a_link(tree: Path, tmp_path_factory: Any) -> None:
    outside = tmp_path_factory.mktemp("outside") / "secret.yaml"
    outside.write_text("version: 1\n")
    (tree / "link.yaml").symlink_to(outside)
    for target in ("link.yaml", str(outside)):
        (tree / "a.yaml").write_text(f"version: 1\nextends: {target}\n")
        (finding,) = check_file(tree / "a.yaml", "a.yaml")
        assert finding.code == "extends-outside"


def test_a_path_beats_a_bundled_name_and_a_bundled_name_beats_notation(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_policy("f8b0").reuse.threshold == 0.08
    Path("f8b0").write_text("version: 1\nreuse: {threshold: 0.5}\n")
    assert load_policy("f8b0").reuse.threshold == 0.5
    assert load_policy(Path("f8b0")).name == "f8b0"
    assert load_policy("F8B0").name == "f8b0"
    assert load_policy("F8B0").description == ""


@settings(max_examples=120, deadline=None)
@given(policies(), st.booleans())
@example(Policy(name="017", description="1e3"), False)
def test_what_to_yaml_writes_loads_as_an_equal_policy(policy: Policy, full: bool) -> None:
    again = parse_policy(to_yaml(policy, full=full))
    assert again == policy
    assert again.expand() == policy
    assert hash(again) == hash(policy)


@settings(max_examples=120, deadline=None)
@given(policies())
def test_notation_says_what_the_policy_is_or_raises(policy: Policy) -> None:
    try:
        text = policy.notation
    except CachedslError as error:
        assert "notation cannot express" in str(error)
        return
    again = Policy.from_notation(text)
    assert attrs.evolve(again, name=policy.name, description=policy.description) == policy
    assert again.notation == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("F8B0_W4MC3_R0.12_T1", Policy(compute=Compute(8), warmup=Warmup(4), reuse=Reuse(0.12, max_continuous=3),
                                       predict=Predict("taylor", 1))),
        ("F8B0_W4MC0_R0.08", Policy(warmup=Warmup(4))),
        ("F24B24_W2MC1_R0.8", Policy(compute=Compute(24, 24), warmup=Warmup(2), reuse=Reuse(0.8, max_continuous=1))),
        ("F8B0_W8I2M20_R0.1_T1O2_CFG1", Policy(warmup=Warmup(8, 2), reuse=Reuse(0.1, max_total=20),
                                               predict=Predict("taylor", 2), cfg=Cfg("separate"))),
        ("F0B0W1S", Policy(compute=Compute(0), warmup=Warmup(1), reuse=Reuse("always"))),
        ("F8B0_SCM1101_CFG0_T0O2", Policy(steps=BitMask("1101"), cfg=Cfg("fused"))),
    ],
)  # fmt: skip
def test_published_notation(text: str, expected: Policy) -> None:
    assert attrs.evolve(load_policy(text), name="policy") == expected


@pytest.mark.parametrize("count", [0, 999_999, 1_000_000])
def test_notation_reads_every_count_that_it_writes(count: int) -> None:
    policy = Policy(warmup=Warmup(count, max(count, 1)), reuse=Reuse(count, max_total=count or None))
    again = Policy.from_notation(policy.notation)
    assert attrs.evolve(again, name=policy.name) == policy


@pytest.mark.parametrize(
    "policy",
    [
        Policy(warmup=Warmup(1_000_001)),
        Policy(warmup=Warmup(8, 1_000_001)),
        Policy(reuse=Reuse(max_total=1_000_001)),
        Policy(reuse=Reuse(max_continuous=1_000_001)),
        Policy(reuse=Reuse(1e17)),
    ],
)
def test_notation_writes_no_number_that_it_would_not_read(policy: Policy) -> None:
    with pytest.raises(CachedslError, match="notation cannot express a number above 1000000"):
        _ = policy.notation


def test_every_bundled_policy_loads_and_names_itself() -> None:
    assert set(bundled_policies()) >= {"f8b0", "f8b8", "f1b0", "f8b8-taylor", "f4b0-mc3", "static-every-4"}
    for name in bundled_policies():
        policy = load_policy(name)
        assert policy.name == name
        assert len(policy.description) > 30


@settings(max_examples=400)
@given(st.text(st.sampled_from(list("version: 1\n\n\tabc{}[],&*#'\"-?|>%@!0x.~<=é\x00")), max_size=60))
@example("version: 1\nstacks: {? [a] : b}")
@example("version: 1\nreuse: {threshold: 1e999}")
@example("version: 1\nwarmup: 99999999999999999999999999")
def test_no_text_raises_anything_but_policy_error(text: str) -> None:
    for candidate in (text, f"version: 1\n{text}"):
        try:
            parse_policy(candidate)
        except PolicyError as error:
            assert error.diagnostics
            assert all("\n" not in str(d) for d in error.diagnostics)


@settings(max_examples=100, deadline=None)
@given(policies(), st.data())
def test_no_mutated_policy_raises_anything_but_policy_error(policy: Policy, data: Any) -> None:
    text = to_yaml(policy)
    at = data.draw(st.integers(0, len(text)))
    cut = data.draw(st.integers(0, 4))
    try:
        parse_policy(text[:at] + data.draw(st.text(max_size=3)) + text[at + cut :])
    except PolicyError as error:
        assert error.diagnostics


def test_bundled_files_hold_under_the_schema_as_plain_yaml() -> None:
    """What an editor sees through the schema line must be what cachedsl sees."""
    for path in sorted((ROOT / "policies").glob("*.yaml")):
        text = path.read_text(encoding="utf-8")
        assert text.startswith("# yaml-language-server: $schema=../schemas/policy.schema.json\n")
        Draft202012Validator(json.loads((ROOT / "schemas" / "policy.schema.json").read_text())).validate(
            yaml.safe_load(text)
        )


@pytest.mark.parametrize("name", bundled_policies())
def test_every_bundled_policy_is_the_same_when_written_out(name: str) -> None:
    policy = load_policy(name)
    assert policy.expand() == policy
    assert parse_policy(policy.to_yaml()) == policy


def test_a_signal_s_name_stands_for_its_parameters() -> None:
    probe = parse_policy("version: 1\nreuse: {signal: probe}").reuse.signal
    assert (probe.reference, probe.accumulate) == ("previous_step", "until_compute")
    spelled = (
        "version: 1\nreuse: {signal: {tap: probe, reference: previous_step, accumulate: until_compute, stride: 1}}"
    )
    assert parse_policy(spelled).reuse.signal == probe
    assert Reuse(signal="probe").signal == probe


def test_a_signal_is_merged_key_by_key_and_another_tap_leaves_the_parameters_behind(tmp_path: Path) -> None:
    (tmp_path / "parent.yaml").write_text("version: 1\nreuse: {signal: {tap: probe, stride: 4, metric: cosine}}\n")

    def extended(signal: str) -> Signal:
        child = tmp_path / "child.yaml"
        child.write_text(f"version: 1\nextends: parent.yaml\nreuse: {{signal: {signal}}}\n")
        return load_policy(child).reuse.signal

    assert extended("{tap: probe, metric: relative_l2}") == Signal(
        "probe", reference="previous_step", accumulate="until_compute", stride=4, metric="relative_l2"
    )
    assert extended("hidden_states") == Signal("hidden_states")
    assert extended("{tap: transform_rate}") == Signal("transform_rate")


def test_ratios_may_stand_in_a_file_beside_the_policy(tmp_path: Path) -> None:
    (tmp_path / "ratios.yaml").write_text("ratios: {cond: [1.0, 1.2], uncond: [1, 0.9]}\n")
    file = tmp_path / "policy.yaml"
    file.write_text("version: 1\ncompute: F0B0\nreuse: {signal: {tap: magnitude, ratios: ratios.yaml}}\n")
    signal = load_policy(file).reuse.signal
    assert signal.ratios == Ratios(branches=(("cond", (1.0, 1.2)), ("uncond", (1.0, 0.9))))
    assert parse_policy(load_policy(file).to_yaml()) == load_policy(file), "what is written has them in it"
