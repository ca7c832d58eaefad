"""`cachedsl convert`, as a user meets it."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cachedsl.cli.main import main
from cachedsl.loading import load_policy

FOREIGN = Path(__file__).parent / "foreign"


def run(*arguments: str, stdin: str = "") -> Result:
    return CliRunner().invoke(main, ["convert", *arguments], input=stdin)


def test_a_policy_is_printed_or_written_and_loads(tmp_path: Path) -> None:
    source = str(FOREIGN / "cache-dit-0.3.py")
    printed = run(source)
    assert printed.exit_code == 0
    assert printed.stdout.startswith("# yaml-language-server: $schema=")
    assert run(source, "--name", "mine", "-o", str(tmp_path / "mine.yaml")).stdout == ""
    policy = load_policy(tmp_path / "mine.yaml")
    assert (policy.name, policy.predict.method, policy.cfg.mode) == ("mine", "taylor", "separate")


def test_what_would_be_lost_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    output = tmp_path / "out.yaml"
    output.write_text("as it was")
    lost = run(str(FOREIGN / "cache-dit-u1_unknown_in_cache.yaml"), "-o", str(output))
    assert lost.exit_code == 1
    assert "u1_unknown_in_cache.yaml:3:3: error[bad-option]: enable_sperate_cfg" in lost.stderr
    assert "did you mean `enable_separate_cfg`?" in lost.stderr
    assert "--partial writes the rest" in lost.stderr
    assert output.read_text() == "as it was"
    partial = run(str(FOREIGN / "cache-dit-u1_unknown_in_cache.yaml"), "--partial", "-o", str(output))
    assert partial.exit_code == 1
    assert load_policy(output).compute.front == 1


def test_nothing_at_all_is_not_written_as_the_default_policy() -> None:
    nothing = run(str(FOREIGN / "vllm-omni-step.json"), "--partial")
    assert nothing.exit_code == 1
    assert nothing.stdout == ""
    assert "nothing can be carried over" in nothing.stderr


def test_policies_are_written_for_other_engines() -> None:
    written = run("f4b0-mc3", "--to", "sglang")
    assert written.exit_code == 0
    assert "export SGLANG_CACHE_DIT_MC=3\n" in written.stdout
    refused = run("f4b0-mc3", "--to", "stable-diffusion.cpp")
    assert refused.exit_code == 1
    assert refused.stdout == ""
    assert "error[not-carried-over]: stable-diffusion.cpp has no `max_continuous_cached_steps`" in refused.stderr
    assert "--cache-mode dbcache" in run("f4b0-mc3", "--to", "stable-diffusion.cpp", "--partial").stdout


def test_from_one_engine_to_another() -> None:
    text = "SGLANG_CACHE_DIT_ENABLED=1 SGLANG_CACHE_DIT_RDT=0.3"
    there = run("-", "--from", "sglang", "--to", "vllm-omni", stdin=text)
    assert there.exit_code == 0
    assert "residual_diff_threshold: 0.3" in there.stdout


def test_whose_settings_they_are_is_told_by_the_content_whatever_is_written(tmp_path: Path) -> None:
    """With `--to`, too; what no engine knows is a policy."""
    text = "cache_config: {Fn_compute_blocks: 4, residual_diff_threshold: 0.12}\n"
    (tmp_path / "cache.yaml").write_text(text)
    named = run("-", "--from", "cache-dit", "--to", "sglang", stdin=text)
    assert named.exit_code == 0
    assert run("-", "--to", "sglang", stdin=text).stdout == named.stdout
    assert run(str(tmp_path / "cache.yaml"), "--to", "sglang").stdout == named.stdout
    policy = "version: 1\ncompute: F4B0\nreuse: {threshold: 0.12}\n"
    assert "SGLANG_CACHE_DIT_FN=4" in run("-", "--to", "sglang", stdin=policy).stdout
    for unknown in ("version: 1\nwarmpu: 4\n", "a: 1\n"):
        refused = run("-", "--to", "sglang", stdin=unknown)
        assert (refused.exit_code, refused.stdout) == (1, "")
        assert "error[unknown-key]" in refused.stderr
        assert refused.stderr.startswith("<stdin>:")
    bytes_of_latin_1 = CliRunner().invoke(main, ["convert", "-", "--to", "sglang"], input=b"# \xe9\nversion: 1\n")
    assert "error[not-text]" in bytes_of_latin_1.stderr


def test_what_is_a_policy_already_needs_an_engine_to_write_it_for(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("version: 1\ncompute: F4B0\n")
    for source in (str(tmp_path / "mine.yaml"), "f8b0", "F4B0_R0.1"):
        refused = run(source)
        assert refused.exit_code == 2
        assert f"{source} is a policy already; name the engine to write it for: --to, with one of " in refused.stderr
    assert "nowhere cannot be read" in run("nowhere").stderr


def test_what_the_target_lacks_is_said_of_the_file_that_was_named(tmp_path: Path) -> None:
    source = tmp_path / "cache.yaml"
    source.write_text("cache_config: {Fn_compute_blocks: 1, enable_taylorseer: true}\n")
    refused = run(str(source), "--to", "sglang")
    assert refused.exit_code == 1
    assert refused.stderr.startswith(
        f"{source}:1:1: error[not-carried-over]: SGLang has no `enable_encoder_taylorseer`"
    )


def test_what_one_decision_for_all_lists_cannot_say_has_a_way_out() -> None:
    refused = run("F1B0_W2_R0.1", "--to", "diffusers").stderr
    assert "span: diffusers decides once for all block lists (write `span: joined`)" in refused
    assert "warmup: First Block Cache has none (write `warmup: 1`)" in refused


def test_presets_are_bits_of_the_step_count_that_is_said() -> None:
    text = "SGLANG_CACHE_DIT_ENABLED=1 SGLANG_CACHE_DIT_SCM_PRESET=fast"
    assert 'steps: "11111101000000000001"' in run("-", "--steps", "20", stdin=text).stdout
    unknown = run("-", stdin=text)
    assert unknown.exit_code == 1
    assert "for which the step count must be known" in unknown.stderr


def test_a_model_that_is_named_gives_its_coefficients() -> None:
    text = '{"cache_backend": "tea_cache", "cache_config": {}}'
    assert "rescale: [498.651651, " in run("-", "--model", "black-forest-labs/FLUX.1-dev", stdin=text).stdout
    assert run("-", stdin=text).exit_code == 1
    assert "no coefficients of `flux.2-dev`" in run("-", "--model", "flux.2-dev", stdin=text).stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name what to convert"),
        (["nowhere.yaml"], "cannot be read"),
        (["-", "--from", "nope"], "there is no engine `nope`"),
        (["f8b0", "--to", "comfyui"], "nothing is written for comfyui"),
        (["f8b0", "--to", "nope"], "there is no engine `nope`"),
        (["-"], "no engine knows what <stdin> is"),
    ],
)
def test_wrong_use(arguments: list[str], message: str) -> None:
    refused = run(*arguments, stdin="a: 1\n")
    assert refused.exit_code == 2
    assert message in refused.output


def test_engines_are_listed() -> None:
    listed = run("--list")
    assert listed.exit_code == 0
    assert all(name in listed.output for name in ("cache-dit", "lightx2v", "stable-diffusion.cpp", "xdit"))
