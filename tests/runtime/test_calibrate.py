"""Magnitude ratios are measured on real runs, and written where a policy finds them."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from cachedsl import attached, load_policy
from cachedsl.cli.main import main
from cachedsl.language.ratios import Ratios
from cachedsl.measure.magnitude import Calibration, NotCalibrated, NotWritten, calibrate_magnitude
from cachedsl.text.finding import LONGEST_WORD
from tests.tiny import call, inputs, tiny_pipeline, tiny_transformer

STEPS = 6


def by_hand(pipe: Any, seeds: range) -> list[float]:
    """The mean over tokens of the residual norm's ratio to that of the step before, averaged over the runs."""
    runs = []
    for seed in seeds:
        entries: list[torch.Tensor] = []
        exits: list[torch.Tensor] = []
        blocks = pipe.transformer.transformer_blocks
        handles = [
            blocks[0].register_forward_hook(lambda m, args, output: entries.append(args[0])),  # noqa: B023
            blocks[-1].register_forward_hook(lambda m, args, output: exits.append(output)),  # noqa: B023
        ]
        call(pipe, STEPS, seed)
        for handle in handles:
            handle.remove()
        norms = [(after - entry).norm(dim=-1) for entry, after in zip(entries, exits, strict=True)]
        runs.append([1.0] + [float((now / before).mean()) for before, now in pairwise(norms)])
    return [sum(values) / len(runs) for values in zip(*runs, strict=True)]


def test_ratios_are_those_of_the_formula() -> None:
    pipe = tiny_pipeline("dit")
    found = calibrate_magnitude(pipe, [partial(call, pipe, STEPS, seed) for seed in (3, 4)])
    ((branch, row),) = found.ratios.branches
    assert branch == "cond_uncond"
    assert row == pytest.approx(by_hand(pipe, range(3, 5)), rel=1e-5)
    assert (found.steps, found.runs, found.pipeline) == (STEPS, 2, "DiTPipeline")


def test_each_branch_and_a_switch_of_transformers(caplog: pytest.LogCaptureFixture) -> None:
    pipe = tiny_pipeline("wan22")
    found = dict(calibrate_magnitude(pipe, [partial(call, pipe, 8)]).ratios.branches)
    assert set(found) == {"cond", "uncond"}
    assert found["cond"] != found["uncond"]
    assert all(len(row) == 8 and row.count(1.0) == 2 for row in found.values()), "each transformer begins with 1"
    assert not caplog.records, "computing everything is what this is for"


def test_nothing_to_calibrate_is_an_error() -> None:
    pipe = tiny_pipeline("dit")
    with pytest.raises(NotCalibrated, match="no run called the transformer"):
        calibrate_magnitude(pipe, [lambda: None])
    with pytest.raises(NotCalibrated, match="differ in their steps"):
        calibrate_magnitude(pipe, [partial(call, pipe, 4), partial(call, pipe, 5)])
    assert load_policy("f1b0").apply(pipe).attached, "and nothing stays attached"


def test_the_command_writes_the_file_that_the_policy_names(tmp_path: Path) -> None:
    policy = tmp_path / "mine.yaml"
    policy.write_text("version: 1\ncompute: F0B0\nreuse: {signal: {tap: magnitude, ratios: mine-ratios.yaml}}\n")
    said = CliRunner().invoke(main, ["calibrate", "magnitude", str(policy), "--steps", "4", "--runs", "2"])
    assert said.exit_code == 0, said.output
    assert (
        (tmp_path / "mine-ratios.yaml")
        .read_text()
        .startswith("# Magnitude ratios of DiTPipeline, 4 steps, mean of 2 runs;")
    )
    ratios = load_policy(policy).reuse.signal.ratios
    assert ratios is not None
    assert len(ratios.of("cond_uncond")) == 4
    assert ratios.of("cond_uncond")[0] == 1.0


def test_the_command_says_what_to_set_where_the_policy_names_no_file(tmp_path: Path) -> None:
    policy = tmp_path / "mine.yaml"
    policy.write_text("version: 1\ncompute: F0B0\n")
    said = CliRunner().invoke(main, ["calibrate", "magnitude", str(policy), "--steps", "2"])
    assert "set reuse.signal: {tap: magnitude, ratios: mine.ratios.yaml}" in said.output
    assert (tmp_path / "mine.ratios.yaml").exists()


UNPAID = "tests.runtime.test_calibrate:not_made"


def not_made() -> None:
    raise AssertionError("the place is looked at before anything is made or run")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../../x/r.yaml", "it leaves the policy's own tree; expected a path inside `{tree}`"),
        ("/elsewhere/r.yaml", "it leaves the policy's own tree; expected a path inside `{tree}`"),
        ("away/r.yaml", "it leaves the policy's own tree; expected a path inside `{tree}`"),
        ("nodir/r.yaml", "there is no folder `{tree}/nodir`; expected one that exists"),
        ("folder", "it is a folder; expected a file"),
        ("mine.yaml", "it is the policy itself; expected a file of its own"),
        ("n" * 300, "file name too long; expected the path of a file"),
    ],
)
def test_a_place_that_cannot_be_is_refused_before_the_run(tmp_path: Path, name: str, reason: str) -> None:
    tree = tmp_path / "a" / "b"
    for folder in (tree / "folder", tmp_path / "x"):
        folder.mkdir(parents=True)
    (tree / "away").symlink_to(tmp_path / "x")
    policy = tree / "mine.yaml"
    policy.write_text(f"version: 1\ncompute: F0B0\nreuse: {{signal: {{tap: magnitude, ratios: {name}}}}}\n")
    before = policy.read_text()
    said = CliRunner().invoke(main, ["calibrate", "magnitude", str(policy), "--pipeline", UNPAID])
    assert (said.exit_code, said.exception.__class__) == (1, SystemExit)
    shown = name if len(name) <= LONGEST_WORD else f"{name[: LONGEST_WORD - 3]}..."
    assert said.output == (
        f"{policy}:3:42: error[bad-ratios]: reuse.signal.ratios: `{shown}` cannot be written: "
        f"{reason.format(tree=tree)} (name a file beside the policy, such as `r.yaml`)\n"
    )
    assert not list((tmp_path / "x").iterdir())
    assert policy.read_text() == before


def test_a_file_that_is_there_is_overwritten_and_the_help_says_so(tmp_path: Path) -> None:
    policy = tmp_path / "mine.yaml"
    policy.write_text("version: 1\ncompute: F0B0\nreuse: {signal: {tap: magnitude, ratios: r.yaml}}\n")
    (tmp_path / "r.yaml").write_text("ratios: [9, 9]\n")
    assert CliRunner().invoke(main, ["calibrate", "magnitude", str(policy), "--steps", "2"]).exit_code == 0
    assert "9, 9" not in (tmp_path / "r.yaml").read_text()
    assert "overwritten" in CliRunner().invoke(main, ["calibrate", "magnitude", "--help"]).output


def test_a_policy_that_is_a_link_has_its_ratios_where_it_is_read(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    real, link = tmp_path / "real" / "mine.yaml", tmp_path / "link.yaml"
    real.write_text("version: 1\ncompute: F0B0\nreuse: {signal: {tap: magnitude, ratios: r.yaml}}\n")
    link.symlink_to(real)
    assert CliRunner().invoke(main, ["calibrate", "magnitude", str(link), "--steps", "2"]).exit_code == 0
    assert load_policy(link).reuse.signal.ratios is not None


def test_what_was_measured_is_not_lost_where_it_cannot_be_written_after_all(tmp_path: Path) -> None:
    found = Calibration(Ratios(branches=(("cond", (1.0, 0.5)),)), 2, "Pipe")
    with pytest.raises(
        NotWritten, match=r"r\.yaml: the ratios cannot be written: .*expected(.|\n)*cond: \[1\.0, 0\.5\]"
    ):
        found.write(tmp_path / "nodir" / "r.yaml")


@pytest.mark.parametrize("spec", ["no_such_module:make", "cachedsl.measure.digits:nothing", "cachedsl:load_policy"])
def test_a_pipeline_that_cannot_be_made_is_wrong_use(tmp_path: Path, spec: str) -> None:
    policy = tmp_path / "mine.yaml"
    policy.write_text("version: 1\n")
    said = CliRunner().invoke(main, ["calibrate", "magnitude", str(policy), "--pipeline", spec])
    assert said.exit_code == 2
    assert "MODULE:FUNCTION" in said.output


def test_a_bare_transformer_is_calibrated_too() -> None:
    model = tiny_transformer("dit")

    def run() -> None:
        with torch.no_grad():
            for step in range(STEPS):
                model(**inputs("dit", step, STEPS))

    def delimited() -> None:
        cached = attached(model)
        assert cached is not None
        with cached.run(steps=STEPS):
            run()

    (row,) = (row for _, row in calibrate_magnitude(model, [delimited]).ratios.branches)
    assert len(row) == STEPS


def wrong_call() -> Any:
    return tiny_pipeline("dit"), {"no_such_argument": 1}


def no_pair() -> Any:
    return tiny_pipeline("dit")


def three() -> Any:
    return tiny_pipeline("dit"), {}, 3


@pytest.mark.parametrize(
    ("function", "status", "said"),
    [
        ("wrong_call", 1, "the pipeline raised TypeError: "),
        ("no_pair", 2, "it returned a DiTPipeline, not such a pair"),
        ("three", 2, "it returned a tuple of DiTPipeline, dict, int, not such a pair"),
    ],
)
def test_a_pipeline_that_is_called_or_given_wrongly_is_no_fault_of_ours(
    tmp_path: Path, function: str, status: int, said: str
) -> None:
    policy = tmp_path / "p.yaml"
    policy.write_text("version: 1\n")
    named = ["--steps", "2", "--pipeline", f"{__name__}:{function}"]
    told = CliRunner().invoke(main, ["calibrate", "magnitude", str(policy), *named])
    assert (told.exit_code, said in told.output) == (status, True), told.output
    assert "Traceback" not in told.output
    assert not list(tmp_path.glob("*.ratios.yaml"))


def test_a_file_that_is_no_yaml_is_told_before_the_run(tmp_path: Path) -> None:
    policy = tmp_path / "p.yaml"
    policy.write_text("version: 1\nreuse: {signal: {tap: magnitude, ratios: r.yaml}\n")
    told = CliRunner().invoke(main, ["calibrate", "magnitude", str(policy), "--pipeline", UNPAID])
    assert told.exit_code == 1
    assert "error[syntax]" in told.output
