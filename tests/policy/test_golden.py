"""Every diagnostic has a policy that triggers it, and its exact text."""

from __future__ import annotations

from pathlib import Path

import pytest

from cachedsl import PolicyError, load_policy
from cachedsl.loading import check_file, parse_policy
from cachedsl.lower.compile import check_fit, compile_policy
from cachedsl.plan.model_shape import Joins, ModelShape, StackShape
from cachedsl.rules.registry import rules
from cachedsl.text.document import MAX_BYTES
from cachedsl.text.finding import Rule
from tests.golden import matches_golden

GOLDEN = Path(__file__).parent / "golden"
RULES = Path(__file__).parents[1] / "rules" / "cases"
CASES = sorted(path.name for path in GOLDEN.iterdir())


@pytest.mark.parametrize("case", CASES)
def test_the_findings_of_a_file(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(GOLDEN / case)
    findings = check_file(Path("policy.yaml"), "policy.yaml")
    assert findings
    assert list(findings) == sorted(findings, key=lambda d: d.span)
    matches_golden("".join(f"{finding}\n" for finding in findings), GOLDEN / case / "expected.txt")


NOTATIONS = {
    "F8B0_X": "<notation>:1:6: error[notation]: `F8B0_X`: unknown letter `X` (after F<n>B<n> come W I M MC R T S SCM CFG, "
    "in groups joined by `_`)",
    "F8B0_W": "<notation>:1:6: error[notation]: `F8B0_W`: `W` lacks its value (after F<n>B<n> come W I M MC R T S SCM CFG, "
    "in groups joined by `_`)",
    "F8B0_W4_W8": "<notation>:1:9: error[notation]: `F8B0_W4_W8`: `W` stands twice (keep one of the two)",
    "F8B0_S_R0.1": "<notation>:1:6: error[notation]: `F8B0_S_R0.1`: `S` and `R` contradict each other (static reuse "
    "measures nothing)",
    "F0B0_R0.1": "<notation>:1:1: error[notation]: `F0B0_R0.1`: F0 has no front block whose movement could be measured "
    "(compute at least F1, or add S)",
    "F8B0_T11": "<notation>:1:6: error[notation]: `F8B0_T11`: order 11 is above 10",
    "F8B0_W1000001": "<notation>:1:6: error[notation]: `F8B0_W1000001`: a number is at most 1000000",
    "F8B0_W8_MC9999999": "<notation>:1:9: error[notation]: `F8B0_W8_MC9999999`: a number is at most 1000000",
    "F8B0_T2O3": "<notation>:1:6: error[notation]: `F8B0_T2O3`: before O<order>, T is 0 or 1",
}


@pytest.mark.parametrize("text", NOTATIONS)
def test_the_findings_of_a_notation_point_at_the_column(text: str) -> None:
    with pytest.raises(PolicyError) as caught:
        load_policy(text)
    assert str(caught.value) == NOTATIONS[text]


def test_what_has_no_such_name_lists_what_was_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PolicyError) as caught:
        load_policy("f9b9.yaml")
    message = str(caught.value)
    assert message.startswith(
        "f9b9.yaml:1:1: error[not-found]: `f9b9.yaml` is no policy: as a path, no such file; as a"
    )
    assert "as a bundled name, not one of dbcache-fast, " in message
    assert message.endswith("as notation, it does not begin with F<n>B<n>")
    (tmp_path / "f9b9.yaml").mkdir()
    with pytest.raises(PolicyError, match="as a path, a folder, not a file"):
        load_policy("f9b9.yaml")


def test_a_document_over_the_limit(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text("version: 1\n#" + "x" * MAX_BYTES)
    assert [str(f) for f in check_file(file, "policy.yaml")] == [
        "policy.yaml:1:1: error[too-large]: the document is larger than 1024 KiB (the limit is 1024 KiB)"
    ]


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    (finding,) = check_file(tmp_path, "policy.yaml")
    assert str(finding) == "policy.yaml:1:1: error[cannot-read]: the file cannot be read: is a directory"


SHAPE = ModelShape(
    [StackShape("double_blocks", 4, modulated=True), StackShape("single_blocks", 20, modulated=False)], "TinyModel"
)
SKIPPING = ModelShape([StackShape("blocks", 20, long_skips=True)], "SkippingModel")
HOURGLASS = ModelShape([StackShape("down", 8, long_skips=True), StackShape("up", 8, long_skips=True)], "Hourglass")
FITS = {
    ("stacks: {tripel_*: {tail: 1}}", 10): "p.yaml:2:20: error[unknown-stack]: stacks: 'tripel_*' matches no stack of "
    "TinyModel (its stacks are transformer.double_blocks, transformer.single_blocks)",
    ("compute: F12B12", 10): "p.yaml:2:10: error[too-many-blocks]: compute: 12 front and 12 back blocks always run, but "
    "transformer.double_blocks of TinyModel has 4, so nothing could be reused (front and back together must be at most 3)\n"
    "p.yaml:2:10: error[too-many-blocks]: compute: 12 front and 12 back blocks always run, but transformer.single_blocks "
    "of TinyModel has 20, so nothing could be reused (front and back together must be at most 19)",
    ("stacks: {double_*: {compute: F2B2}}", 10): "p.yaml:2:30: error[too-many-blocks]: compute: 2 front and 2 back blocks "
    "always run, but transformer.double_blocks of TinyModel has 4, so nothing could be reused (front and back together "
    "must be at most 3)",
    ('steps: "110100"', 10): "p.yaml:2:8: error[mask-length]: steps: the mask has 6 steps, but the run has 10 (write a "
    "mask for this count, or use runs, which adapt)",
    ("steps: {at: [0, 12]}", 10): "p.yaml:2:8: error[mask-length]: steps: the mask computes step 12, but the run has 10 "
    "(0 to 9) (write a mask for this count, or use runs, which adapt)",
    ("tail: 2", None): "p.yaml:2:7: error[unknown-step-count]: tail: 2 needs the run's step count, which is not known "
    "(give num_inference_steps, or start the run with its step count)",
    ('steps: "1101"', None): "p.yaml:2:8: error[unknown-step-count]: steps: a mask needs the run's step count, which is "
    "not known (give num_inference_steps, or start the run with its step count)",
    ("compute: F0B0\nreuse: {signal: {tap: magnitude, ratios: [1, 1.1]}}", None): "p.yaml:3:17: error[unknown-step-count]: "
    "reuse.signal: magnitude ratios go by the run's step count, which is not known (give num_inference_steps, or start the "
    "run with its step count)",
    ("compute: F0B0\nreuse: {signal: modulated_input}", 4): "p.yaml:3:17: error[signal-unavailable]: reuse.signal: the "
    "adapter of TinyModel does not say how the modulated input of transformer.single_blocks is evaluated (take another "
    "signal, or let the adapter say it with `modulated_input`)",
    ("compute: F0B0\nspan: joined\nreuse: {signal: modulated_input}", 4): None,
    ("compute: F1B0\nstacks: {double_blocks: {compute: {front: 0}, reuse: {threshold: always}}, double_*: {reuse: "
     "{threshold: 0.2}}, '*_blocks': {reuse: {threshold: 0.2}}}", 4): None,
}  # fmt: skip


SKIPS = {
    ("compute: F1B2", "SkippingModel"): "p.yaml:2:10: error[long-skips]: compute: F1B2, but transformer.blocks of "
    "SkippingModel has long skips, so that blocks which always run would read what reused ones return (let at most as many "
    "back blocks run as front blocks)",
    ("compute: F3B0", "SkippingModel"): None,
    ("compute: F1B2\nprune: {}\nreuse: {threshold: 0.1}", "SkippingModel"): None,
    ("compute: F3B0\nstacks: {down: {compute: F3B0}}", "Hourglass"): "p.yaml:2:10: error[long-skips]: compute: F3B0, but transformer.up "
    "of Hourglass has long skips, so that blocks which always run would read what reused ones return (let at most as many "
    "back blocks run as front blocks, and at most one front block more than back blocks, or take span: joined)\n"
    "p.yaml:3:26: error[long-skips]: compute: F3B0, but transformer.down of Hourglass has long skips, so that blocks which "
    "always run would read what reused ones return (let at most as many back blocks run as front blocks, and at most one "
    "front block more than back blocks, or take span: joined)",
    ("compute: F3B0\nspan: joined", "Hourglass"): None,
    ("compute: F2B1", "Hourglass"): None,
}  # fmt: skip


@pytest.mark.parametrize("case", SKIPS, ids=lambda case: f"{case[0][:20]}-{case[1]}")
def test_blocks_that_always_run_read_nothing_of_reused_ones(case: tuple[str, str]) -> None:
    policy = parse_policy(f"version: 1\n{case[0]}\n", "p.yaml")
    shape = SKIPPING if case[1] == SKIPPING.label else HOURGLASS
    if SKIPS[case] is None:
        compile_policy(policy, shape, 10)
        return
    with pytest.raises(PolicyError) as caught:
        compile_policy(policy, shape, 10)
    assert str(caught.value) == SKIPS[case]


@pytest.mark.parametrize("joins", ["as_is", "encoder_first", "hidden_first", "apart"])
def test_lists_that_do_not_hand_their_hidden_states_on_cannot_join(joins: Joins) -> None:
    policy = parse_policy("version: 1\ncompute: F1B0\nspan: joined\n", "p.yaml")
    shape = ModelShape([StackShape("refiner", 4, joins="apart"), StackShape("layers", 20, joins=joins)], "Refined")
    if joins != "apart":  # how the first of them would join another one does not matter
        compile_policy(policy, shape, 10)
        return
    with pytest.raises(PolicyError) as caught:
        compile_policy(policy, shape, 10)
    assert str(caught.value) == (
        "p.yaml:3:7: error[lists-apart]: span: joined, but the block lists of Refined.transformer (refiner, layers) do not "
        "hand their hidden states on to each other, so that they cannot be one chain (take span: stack)"
    )


@pytest.mark.parametrize("case", FITS, ids=lambda case: f"{case[0][:20]}-{case[1]}")
def test_the_findings_of_a_fit(case: tuple[str, int | None]) -> None:
    policy = parse_policy(f"version: 1\n{case[0]}\n", "p.yaml")
    if FITS[case] is None:
        compile_policy(policy, SHAPE, case[1])
        return
    with pytest.raises(PolicyError) as caught:
        compile_policy(policy, SHAPE, case[1])
    assert str(caught.value) == FITS[case]


def test_overrides_that_only_together_leave_the_signal_without_a_front() -> None:
    text = "version: 1\nreuse: {threshold: always}\nstacks:\n  t*s: {compute: F0B0}\n  double_blocks: {reuse: {threshold: 0.2}}\n"
    with pytest.raises(PolicyError) as caught:
        compile_policy(parse_policy(text, "p.yaml"), SHAPE, 10)
    assert str(caught.value) == (
        "p.yaml:4:18: error[signal-needs-front]: compute: signal `residual` is measured after the front blocks, but "
        "transformer.double_blocks has none under F0 (compute at least F1, take a signal that is there before "
        "(`block_input`, `modulated_input`, ...), or reuse without measuring (`threshold: always`))"
    )


TOGETHER = {
    "'single*': {compute: {back: 2, back_blocks: [0], back_threshold: 0.1}}\n  '*e_blocks': {compute: {back_threshold: null}}":
    "p.yaml:4:26: error[back-blocks]: compute: `back_blocks` has no effect without `back_threshold`, on "
    "transformer.single_blocks with all that is said of it (back_blocks lists the back blocks that always run, "
    "back_threshold decides over the others)",
    "'single*': {compute: {back: 4, back_blocks: [3], back_threshold: 0.1}}\n  '*gle_blocks': {compute: {back: 2}}":
    "p.yaml:4:28: error[back-blocks]: compute.back_blocks: 3 is not in the back, which has 2 blocks, on "
    "transformer.single_blocks with all that is said of it (indices count from 0 within the back)",
    "'single*': {prune: {}}\n  '*e_blocks': {predict: probe_gain}":
    "p.yaml:4:26: error[no-effect]: predict.method: `probe_gain` goes by what the front blocks show of the middle as a "
    "whole, which `prune` has not, on transformer.single_blocks with all that is said of it (take another predictor)",
    "'single*': {prune: {}}\n  '*e_blocks': {predict: {repay: 0.5}}":
    "p.yaml:4:34: error[no-effect]: predict.repay: what is paid back is what the middle as a whole was off by, which "
    "`prune` has not, on transformer.single_blocks with all that is said of it (leave it out here)",
    "'*le_blocks': {predict: {method: foca, horizon: 2}}\n  's*': {predict: taylor}\n  '*e_blocks': {warmup: 2}": None,
    "'*': {predict: taylor}\n  'single*': {predict: {horizon: 2}}\n  '*e_blocks': {predict: copy}": None,
    "'*': {predict: taylor}\n  'single_*': {predict: {horizon: 2}}\n  '*blocks': {predict: copy}":
    "p.yaml:4:35: error[no-effect]: predict.horizon: `copy` has no horizon, so this has no effect, on "
    "transformer.single_blocks with all that is said of it (it belongs to taylor, newton, hermite, foca, dmd, probe_gain; "
    "leave it out here)",
}  # fmt: skip


@pytest.mark.parametrize("text", TOGETHER)
def test_overlapping_globs_are_judged_together_where_they_meet_a_stack(text: str) -> None:
    """On loading nobody knows that both match `single_blocks`; the machine must not be the one that finds out."""
    policy = parse_policy(f"version: 1\nstacks:\n  {text}\n", "p.yaml")
    shape = ModelShape([StackShape("double_blocks", 19), StackShape("single_blocks", 38)])
    if TOGETHER[text] is None:
        compile_policy(policy, shape, 10)
        return
    for fit in (lambda: check_fit(policy, shape), lambda: compile_policy(policy, shape, 10)):
        with pytest.raises(PolicyError) as caught:
            fit()
        assert str(caught.value) == TOGETHER[text]


def test_every_rule_of_a_file_has_a_case() -> None:
    """A finding that nobody has triggered may say anything; a new rule needs a case here."""
    said = {f"{rule.severity}[{rule.code}]" for rule in rules() if rule.stage not in ("adapter", "run")}
    expected = [path.read_text(encoding="utf-8") for path in (*GOLDEN.glob("*/expected.txt"), *RULES.glob("*.yaml"))]
    this = Path(__file__).read_text(encoding="utf-8")
    missing = {one for one in said if one not in "".join([*expected, this])}
    assert missing == set()
    assert len(said) > 30


def test_a_finding_is_one_line() -> None:
    rule = Rule("code", "shape", "summary", severity="warning")
    finding = rule.finding("message", load_policy("f8b0").place("warmup"), "hint")
    assert str(finding) == "<bundled>/f8b0.yaml:8:9: warning[code]: message (hint)"
